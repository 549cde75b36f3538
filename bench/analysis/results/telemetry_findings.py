"""Findings about single trials, from what telemetry observed while their steps were timed: one function per rule."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from rigmark.bench.analysis.results import pcie_links
from rigmark.bench.analysis.results.findings import DRIFT_RATIO, OTHER_CORES, Finding, FindingKind, halves
from rigmark.bench.analysis.results.observed import Seen, Watched
from rigmark.bench.document import formatting
from rigmark.bench.document.language import tr, tr_later
from rigmark.bench.store.stored import Sampler

THROTTLED = 0.05             # share of the timed steps with reduced clocks: the smallest difference that counts
MOSTLY = 0.5                 # share with clocks reduced by the hardware: the figure then measures cooling or supply
CLOCK_DROP = 0.05            # of the mean clock below the highest clock
STEAL = 0.01                 # of the time of all cores
STEAL_S = 0.03               # and at least this many seconds, since Linux counts it in ticks of 0.01 s
PRESSURE = 0.10              # share of the time in which a process waited for a core ("some" in Linux's psi.rst)
RUN_QUEUE_WAIT = 0.05        # of the time that the trial's threads ran
LEAST_WAIT = 0.01            # and of the wall time: a host that hardly works, beside a GPU, may wait
QUOTA_STOPPED = 0.01         # share of the time in which the quota of the control group stopped the trial
MAJOR_FAULTS_PER_S = 1.0     # each is a read from disk, of milliseconds
ENERGY_ERROR = 0.05          # of the energy, as its bound
FROZEN_S = 5.0               # a measured power changes within that time; sensors update it every 0.02 to 0.1 s
FROZEN_BUSY = 0.05           # busy ratio above which power changes
OVERRUNS = 0.05              # of the samples
COVERED = 0.9                # of the timed steps


@dataclass(frozen=True, kw_only=True)
class TrialFinding(Finding):
    """A finding about one trial; ``size`` ranks several of them, the largest is the worst."""

    size: float = 0.0


def _finding(name: str, kind: FindingKind, size: float, text: str) -> TrialFinding:
    return TrialFinding(id=name, kind=kind, size=size, text=text)


# GPUs -------------------------------------------------------------------------------------------------------------

FAULTS = {
    "thermal": tr_later("heat"), "hw_thermal": tr_later("heat"),
    "power_brake": tr_later("the power supply's brake signal"),
    "hw_slowdown": tr_later("the hardware's own protection"), "reliability": tr_later("voltage reliability"),
}
"""Clock events that are problems, with their causes. See bench.telemetry.sources.nvml."""

HARDWARE_FAULTS = ("hw_thermal", "power_brake", "hw_slowdown")
"""Those that at least halve the clocks (NVML, nvmlClocksEventReasons); thermal control by software costs less."""


def throttled(trial: Seen) -> Iterator[TrialFinding]:
    """Clocks were reduced because of heat or supply. A power cap is another finding, see ``power_capped``."""
    for gpu in trial.gpus:
        shares: dict[str, float] = {}
        for event, share in gpu.events.items():
            if event in FAULTS:              # two of them are heat
                shares[FAULTS[event]] = max(share, shares.get(FAULTS[event], 0.0))
        if (heat := gpu.share("throttled_thermal_s")) is not None:       # also events too short for clock_events
            shares["heat"] = max(heat, shares.get("heat", 0.0))
        worst = max(shares.values(), default=0.0)
        if worst > THROTTLED:
            causes = ", ".join(sorted({tr(cause) for cause, share in shares.items() if share > THROTTLED}))
            is_invalid = max((gpu.events.get(event, 0.0) for event in HARDWARE_FAULTS), default=0.0) > MOSTLY
            mostly = tr(": the figure is that of its cooling or supply, not of the GPU") if is_invalid else ""
            yield _finding(
                "throttled", FindingKind.INVALID if is_invalid else FindingKind.WARNING, worst,
                tr(
                    "clocks of {name} were reduced for {worst:.0%} of the timed steps by {causes}{mostly}; cool it, "
                    "check its supply, or lock its clocks lower (nvidia-smi --lock-gpu-clocks), then repeat",
                    name=gpu.name, worst=worst, causes=causes, mostly=mostly,
                ),
            )
    if trial.device.is_host:
        for host in trial.of_kind("host"):
            if times := host.difference("cpu_thermal_throttles"):
                yield _finding(
                    "throttled", FindingKind.WARNING, times,
                    tr(
                        "heat reduced the clocks of {name} {times:.0f} times while steps were timed; cool it, then "
                        "repeat", name=host.name, times=times,
                    ),
                )


def power_capped(trial: Seen) -> Iterator[TrialFinding]:
    """A GPU was at its power limit, for which large GPUs are designed: a fact, not a problem."""
    for gpu in trial.gpus:
        share = max(gpu.events.get("power_cap", 0.0), gpu.share("throttled_power_s") or 0.0)
        if share > THROTTLED:
            limit_w = gpu.facts.power_limit_w
            at = tr(" of {limit_w:.0f} W", limit_w=limit_w) if limit_w else ""
            yield _finding(
                "power_capped", FindingKind.NOTE, share,
                tr(
                    "{name} was at its power limit{at} for {share:.0%} of the timed steps: the figure holds for "
                    "that limit", name=gpu.name, at=at, share=share,
                ),
            )


def power_limit_lowered(trial: Seen) -> Iterator[TrialFinding]:
    for gpu in trial.gpus:
        limit_w, default_w = gpu.facts.power_limit_w, gpu.facts.power_limit_default_w
        if limit_w and default_w and limit_w < 0.99 * default_w:
            yield _finding(
                "power_limit_lowered", FindingKind.NOTE, 1 - limit_w / default_w,
                tr(
                    "the power limit of {name} is {limit_w:.0f} W, below its own {default_w:.0f} W: the figure is "
                    "not that of the card as sold; set it back with nvidia-smi --power-limit {default_w:.0f}",
                    name=gpu.name, limit_w=limit_w, default_w=default_w,
                ),
            )


def clock_drop(trial: Seen) -> Iterator[TrialFinding]:
    hosts = [(device, "cpu_clock_hz") for device in trial.of_kind("host")]
    for device, name in [*((gpu, "sm_clock_hz") for gpu in trial.gpus), *hosts]:
        mean, highest = device.mean(name), device.max(name)
        if mean and highest and mean < (1 - CLOCK_DROP) * highest:
            yield _finding(
                "clock_drop", FindingKind.WARNING, 1 - mean / highest,
                tr(
                    "the clock of {name} was at {mean:.0f} MHz in the mean, {highest:.0f} MHz at best; give it a "
                    "longer warm-up, or lock its clock", name=device.name, mean=mean / 1000000.0,
                    highest=highest / 1000000.0,
                ),
            )


def gpu_lost(trial: Seen) -> Iterator[TrialFinding]:
    for gpu in trial.gpus:
        if gpu.lost_s is not None:
            yield _finding(
                "gpu_lost", FindingKind.INVALID, 1.0,
                tr(
                    "the driver lost contact with {name} while steps were timed; look for Xid messages in dmesg, reset "
                    "the GPU or reboot", name=gpu.name,
                ),
            )
        elif gpu.is_lost_before:
            yield _finding(
                "gpu_lost", FindingKind.WARNING, 0.5,
                tr(
                    "the driver lost contact with {name} during the warm-up, and had it again while steps were timed; "
                    "look for Xid messages in dmesg, reset it, then repeat", name=gpu.name,
                ),
            )


def ecc(trial: Seen) -> Iterator[TrialFinding]:
    for gpu in trial.gpus:
        if uncorrected := gpu.difference("ecc_uncorrected_errors"):
            yield _finding(
                "ecc_uncorrected", FindingKind.INVALID, uncorrected,
                tr(
                    "{uncorrected:.0f} memory errors of {name} could not be corrected while steps were timed, so "
                    "what it computed is in doubt; reset it, and have it tested", uncorrected=uncorrected,
                    name=gpu.name,
                ),
            )
        if corrected := gpu.difference("ecc_corrected_errors"):
            yield _finding(
                "ecc_corrected", FindingKind.NOTE, corrected,
                tr(
                    "{corrected:.0f} memory errors of {name} were corrected while steps were timed; watch that card",
                    corrected=corrected, name=gpu.name,
                ),
            )
        if gpu.max("row_remap_pending"):
            yield _finding(
                "row_remap_pending", FindingKind.NOTE, 1.0,
                tr("{name} waits to remap a faulty row of memory; reset it", name=gpu.name),
            )


def link_below_maximum(trial: Seen) -> Iterator[TrialFinding]:
    """A PCIe link was below its maximum under load; idle links slow down anyway."""
    for gpu in trial.gpus:
        link = pcie_links.under_load(gpu)
        if link is not None and link.below:
            says = " and ".join(f"{what} {now} of {most}" for what, now, most in link.below)
            yield _finding(
                "link_below_maximum", FindingKind.NOTE, max(1 - now / most for _, now, most in link.below),
                tr(
                    "the PCIe link of {name} ran at {says}; look at its slot, riser and the firmware's settings",
                    name=gpu.name, says=says,
                ),
            )


# The host ---------------------------------------------------------------------------------------------------------


def contended(trial: Seen) -> Iterator[TrialFinding]:
    """Other programs used resources of the trial: its cores, or its GPU."""
    signs: list[tuple[float, float, str]] = []           # value, threshold, words
    for host in trial.of_kind("host"):
        steal, pressure = host.share("cpu_steal_s"), host.share("cpu_pressure_s")
        if steal is not None:
            cores = host.facts.logical_cores or 1
            least = max(STEAL, STEAL_S / (cores * host.duration_s))
            words = tr("the hypervisor gave {steal:.1%} of the cores' time to others", steal=steal / cores)
            signs.append((steal / cores, least, words))
        if pressure is not None:
            signs.append((pressure, PRESSURE, tr(
                "some process waited for a core {pressure:.0%} of the time", pressure=pressure,
            )))
    for process in trial.of_kind("process"):
        ran_s, waited_s = process.difference("cpu_time_s"), process.difference("run_queue_wait_s")
        if ran_s and waited_s is not None:
            share, least = waited_s / ran_s, LEAST_WAIT * process.duration_s / ran_s
            signs.append((share, max(RUN_QUEUE_WAIT, least), tr(
                "its threads waited {share:.0%} as long as they ran", share=share,
            )))
    for gpu in trial.gpus:
        others = gpu.max("other_processes")
        if others is not None:
            signs.append((others, 0.5, tr("{others:.0f} other processes were on {name}", others=others, name=gpu.name)))
    over = [(value / threshold, words) for value, threshold, words in signs if value > threshold]
    if over:
        words = "; ".join(words for _, words in over)
        yield _finding(
            "contended", FindingKind.WARNING, max(size for size, _ in over),
            tr(
                "while steps were timed {words}; stop other work, use fewer threads than free cores, and repeat",
                words=words,
            ),
        )


def quota(trial: Seen) -> Iterator[TrialFinding]:
    for host in trial.of_kind("host"):
        share = host.share("cgroup_throttled_s")
        if share is not None and share > QUOTA_STOPPED:
            yield _finding(
                "cgroup_limit", FindingKind.WARNING, share,
                tr(
                    "the control group's quota stopped its processes for {share:.0%} of the time; lift it (docker "
                    "--cpus, a pod's cpu limit), or use fewer threads than it allows cores", share=share,
                ),
            )


def swap(trial: Seen) -> Iterator[TrialFinding]:
    for host in trial.of_kind("host"):
        moved = sum(host.difference(name) or 0.0 for name in ("swap_in_bytes", "swap_out_bytes"))
        if moved > 0:
            yield _finding(
                "swap", FindingKind.WARNING, moved,
                tr(
                    "{moved:.1f} MiB went to or from swap while steps were timed; free memory, or sudo swapoff -a",
                    moved=moved / 2 ** 20,
                ),
            )


def major_faults(trial: Seen) -> Iterator[TrialFinding]:
    for process in trial.of_kind("process"):
        rate = process.share("major_faults")
        if rate is not None and rate > MAJOR_FAULTS_PER_S:
            yield _finding(
                "major_faults", FindingKind.WARNING, rate,
                tr(
                    "its processes waited for pages from disk {rate:.0f} times a second; free memory, then repeat",
                    rate=rate,
                ),
            )


def governor(trial: Seen) -> Iterator[TrialFinding]:
    slow = [name for name in trial.volatile.governors or () if name != "performance"]
    if slow and trial.device.is_host:
        yield _finding(
            "governor", FindingKind.NOTE, 1.0,
            tr(
                "cores follow the governor '{slow}', which changes their clock with load; sudo cpupower "
                "frequency-set --governor performance", slow=slow[0],
            ),
        )


def on_battery(trial: Seen) -> Iterator[TrialFinding]:
    if trial.is_on_battery:
        charge = trial.volatile.battery_ratio
        at = "" if charge is None else tr(" at {charge} of its charge", charge=formatting.share(charge))
        yield _finding(
            "on_battery", FindingKind.WARNING, 1.0,
            tr("measured on battery{at}: laptops lower their clocks and power then; plug it in and repeat", at=at),
        )


# Energy and the sampler ---------------------------------------------------------------------------------------------


def energy_uncertain(trial: Seen) -> Iterator[TrialFinding]:
    for device in trial.involved:
        if device.energy_j and device.energy_bound_j is not None:
            error = device.energy_bound_j / device.energy_j
            if error > ENERGY_ERROR:
                yield _finding(
                    "energy_uncertain", FindingKind.NOTE, error,
                    tr(
                        "energy of {name} is known to {error:.0%} only ({energy_method} over {duration_s:.1f} s); "
                        "time for 5 s or more (--min-time 5)", name=device.name, error=error,
                        energy_method=device.energy_method, duration_s=device.duration_s,
                    ),
                )


def energy_disagrees(trial: Seen) -> Iterator[TrialFinding]:
    """Two methods differ by more than their bounds: one of the sensors is wrong."""
    for device in trial.involved:
        check = device.energy_check
        if check is None or device.energy_j is None:
            continue
        apart = abs(device.energy_j - check.energy_j)
        if apart > (device.energy_bound_j or 0.0) + check.energy_bound_j:
            yield _finding(
                "energy_disagrees", FindingKind.NOTE, apart / max(device.energy_j, 1e-9),
                tr(
                    "energy of {name} is {energy_j:.1f} J by {energy_method} and {other_j:.1f} J by "
                    "{other_method}, further apart than both err; trust neither", name=device.name,
                    energy_j=device.energy_j, energy_method=device.energy_method, other_j=check.energy_j,
                    other_method=check.energy_method,
                ),
            )


def frozen_sensor(trial: Seen) -> Iterator[TrialFinding]:
    for device in trial.involved:
        if has_frozen_power(device):
            yield _finding(
                "frozen_sensor", FindingKind.NOTE, device.duration_s,
                tr(
                    "{name} said {mean:.1f} W for {duration_s:.0f} s of work without a change: its sensor is "
                    "stuck, so trust no power or energy of it", name=device.name, mean=device.mean("power_w"),
                    duration_s=device.duration_s,
                ),
            )


def has_frozen_power(device: Watched) -> bool:
    """Whether a busy device stated the same power all the time, which a working sensor never does."""
    mean, highest, busy = device.mean("power_w"), device.max("power_w"), device.mean("busy_ratio")
    return bool(
        mean and highest and device.duration_s >= FROZEN_S and busy is not None and busy > FROZEN_BUSY
        and math.isclose(mean, highest, rel_tol=1e-9)
    )


def implausible_sensor(trial: Seen) -> Iterator[TrialFinding]:
    """Implausible readings were left out of the figures."""
    for device in trial.involved:
        for field, of in device.implausible.items():
            yield _finding(
                "implausible_sensor", FindingKind.NOTE, of.reads / of.of,
                tr(
                    "{field} of {name} was read as {said:g} in {reads:.0f} of {of:.0f} reads, and can be {low:g} to "
                    "{high:g}: such reads count as unknown; update its driver, or have its sensor looked at",
                    field=tr("growth of {field} in a second", field=field) if of.per_second else field,
                    name=device.name, said=of.said, reads=of.reads, of=of.of, low=of.low, high=of.high,
                ),
            )


def power_of_module(trial: Seen) -> Iterator[TrialFinding]:
    for gpu in trial.gpus:
        if gpu.module_power_w is not None:
            yield _finding(
                "power_of_module", FindingKind.NOTE, gpu.module_power_w,
                tr(
                    "the driver tells the power of {name} for its whole module alone ({power_w:.0f} W, with processor "
                    "and memory): it is not that of a GPU, and no energy of the trial is made of it", name=gpu.name,
                    power_w=gpu.module_power_w,
                ),
            )


def sampler_late(trial: Seen) -> Iterator[TrialFinding]:
    sampler = (trial.telemetry and trial.telemetry.sampler) or Sampler()
    samples, overruns = sampler.samples, sampler.overruns
    if samples and overruns and overruns / samples > OVERRUNS:
        yield _finding(
            "sampler_late", FindingKind.NOTE, overruns / samples,
            tr(
                "telemetry missed {overruns:.0%} of its readings; sample less often (--telemetry RATE), or leave a "
                "core free", overruns=overruns / samples,
            ),
        )


def telemetry_gap(trial: Seen) -> Iterator[TrialFinding]:
    problem = trial.telemetry and trial.telemetry.problem
    if problem:
        text = tr("telemetry is incomplete: {problem}", problem=problem)
        yield _finding("telemetry_gap", FindingKind.NOTE, 1.0, text)
        return
    for device in trial.involved:
        if device.coverage is not None and device.coverage < COVERED and device.lost_s is None:      # see gpu_lost
            yield _finding(
                "telemetry_gap", FindingKind.NOTE, 1 - device.coverage,
                tr(
                    "telemetry of {name} covers {coverage:.0%} of the timed steps only", name=device.name,
                    coverage=device.coverage,
                ),
            )


# The trial's own clock ----------------------------------------------------------------------------------------------


def other_work(trial: Seen) -> Iterator[TrialFinding]:
    wall_time_s = math.fsum(trial.host_times_s)
    if trial.other_cpu_time_s is not None and wall_time_s > 0:
        cores = trial.other_cpu_time_s / wall_time_s
        if cores > OTHER_CORES:
            yield _finding(
                "contended", FindingKind.WARNING, cores,
                tr(
                    "other processes kept {cores:.1f} cores busy while steps were timed; stop them and repeat",
                    cores=cores,
                ),
            )


def drifting(trial: Seen) -> Iterator[TrialFinding]:
    ratio = halves(trial.timings_s)
    if max(ratio, 1 / ratio) > DRIFT_RATIO:
        yield _finding(
            "drifting", FindingKind.WARNING, abs(ratio - 1),
            tr(
                "step times of the second half were {ratio:.2f}x those of the first; give it a longer warm-up or a "
                "quieter machine", ratio=ratio,
            ),
        )


RULES: tuple[Callable[[Seen], Iterator[TrialFinding]], ...] = (
    gpu_lost, throttled, power_capped, power_limit_lowered, clock_drop, contended, quota, swap, major_faults, ecc,
    link_below_maximum, governor, on_battery, energy_uncertain, energy_disagrees, frozen_sensor,
    implausible_sensor, power_of_module, sampler_late, telemetry_gap,
)
TIMING_RULES: tuple[Callable[[Seen], Iterator[TrialFinding]], ...] = (other_work, drifting)
"""Rules about timings alone. The findings of a case have their own rules for these, over all its trials."""
