"""Doubts about single trials, from what was seen of the machine while their steps were timed.

A trial is ``valid``, ``suspect`` (some WARNING: its time may not be that of an undisturbed machine) or ``invalid``
(INVALID: its time is not that of the thing it is booked under). Suspect trials count; invalid ones are left out, and
said to be.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from bench.analysis.findings import DRIFT_RATIO, OTHER_CORES, Finding, FindingKind, halves
from bench.analysis.language import tr, tr_later
from bench.analysis.statistics import median

TIMED_REGION = "timed"       # the region of a trial whose seconds are the figure
MANY_TRIALS = 0.2            # share of the trials above which what weakens one weakens the case: the estimate holds
                             # against fewer (Hodges-Lehmann breaks down at 29 %; Hampel et al. 1986)

THROTTLED = 0.05             # of the timed steps, with clocks held down: as much as would be called a difference
MOSTLY = 0.5                 # of them, by the hardware itself: the figure is that of the cooler or the supply then
CLOCK_DROP = 0.05            # of the mean clock below the highest one seen
STEAL = 0.01                 # of the time of all cores
STEAL_S = 0.03               # and at least so many seconds: Linux counts it in ticks of 0.01 s
PRESSURE = 0.10              # of the time, with some process waiting for a core: "some" of Linux's accounting/psi.rst
RUN_QUEUE_WAIT = 0.05        # of the time that the trial's threads ran
LEAST_WAIT = 0.01            # and of the time that passed: a host that hardly works, beside a GPU, may wait
QUOTA_STOPPED = 0.01         # of the time, stopped by the control group's quota
MAJOR_FAULTS_PER_S = 1.0     # each is a read from disk, of milliseconds
ENERGY_ERROR = 0.05          # of the energy, as its bound
FROZEN_S = 5.0               # within which a power that is measured moves; sensors renew it each 0.02 to 0.1 s
FROZEN_BUSY = 0.05           # busy ratio above which power moves
OVERRUNS = 0.05              # of the samples
COVERED = 0.9                # of the timed steps
RATE_FALL = 1.05             # of the step time of the later half of the trials over the earlier: as within a trial
FEWEST_FOR_FALL = 6          # trials


class Validity(StrEnum):
    VALID = "valid"
    SUSPECT = "suspect"
    INVALID = "invalid"


@dataclass(frozen=True, kw_only=True)
class TrialFinding(Finding):
    """A doubt about one trial; ``size`` tells the worst of many."""

    size: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Watched:
    """One device while the steps of a trial were timed; units are those of the fields' names."""

    kind: str
    name: str
    is_used: bool | None                     # by the trial; None where that cannot be told
    facts: Mapping[str, Any]
    values: Mapping[str, Mapping[str, float | None]]
    unknown: Mapping[str, str]               # field: why
    events: Mapping[str, float]              # share of the time in each clock event
    duration_s: float
    coverage: float | None
    energy_j: float | None
    energy_method: str | None
    energy_bound_j: float | None
    energy_check: Mapping[str, Any] | None   # the other method's energy and bound, where there are two

    def mean(self, name: str) -> float | None:
        return self._of(name, "mean")

    def max(self, name: str) -> float | None:
        return self._of(name, "max")

    def difference(self, name: str) -> float | None:
        return self._of(name, "difference")

    def share(self, name: str) -> float | None:
        """Seconds that a counter grew by, over the seconds that passed; None where it is not known."""
        seconds = self.difference(name)
        return None if seconds is None or self.duration_s <= 0 else seconds / self.duration_s

    def _of(self, name: str, which: str) -> float | None:
        number = (self.values.get(name) or {}).get(which)
        return None if number is None or math.isnan(number) else float(number)


@dataclass(frozen=True, kw_only=True)
class Seen:
    """One trial: its timings, and what telemetry says of it."""

    device: str                                      # it ran on, "cpu" or "cuda:0"
    timings_s: Sequence[float]
    host_times_s: Sequence[float]
    other_cpu_time_s: float | None
    samples: float | None                            # in all timed steps; None for a limit that has none
    telemetry: Mapping[str, Any] | None              # block of its record; None where it was off
    system: Mapping[str, Any] | None                 # block of its record
    watched: tuple[Watched, ...] = field(default=())

    def of_kind(self, kind: str) -> Iterator[Watched]:
        return (device for device in self.watched if device.kind == kind)

    @cached_property                     # every rule asks, of every trial
    def involved(self) -> tuple[Watched, ...]:
        """All devices but GPUs that it did not run on."""
        return (*(device for device in self.watched if device.kind != "gpu"), *self.gpus)

    @cached_property
    def gpus(self) -> tuple[Watched, ...]:
        """Those that it ran on, or may have run on."""
        if self.device.startswith("cpu"):
            return ()
        return tuple(gpu for gpu in self.of_kind("gpu") if gpu.is_used is not False)


def seen(trial: Mapping[str, Any]) -> Seen:
    """From a row of the table of trials."""
    block = _plain(trial.get("telemetry"))
    other, host_times_s = trial.get("other_cpu_time_s"), trial["host_times_s"]
    of_step, steps, devices = (trial.get(name) for name in ("local_batch", "steps_per_timing", "world_size"))
    batch = None if of_step is None else float(of_step) * (devices or 1)
    return Seen(
        device=str(trial.get("device", "cpu")), timings_s=trial["timings_s"], host_times_s=host_times_s,
        other_cpu_time_s=None if other is None or pd.isna(other) else float(other),
        samples=None if batch is None or steps is None else batch * float(steps) * len(host_times_s),
        telemetry=block, system=_plain(trial.get("system")), watched=() if block is None else _watched(block),
    )


def _plain(stored: Any) -> dict[str, Any] | None:
    if isinstance(stored, str):
        stored = json.loads(stored)
    return stored if isinstance(stored, dict) else None


def _watched(block: Mapping[str, Any]) -> tuple[Watched, ...]:
    timed = next((region for region in block.get("regions") or () if region["name"] == TIMED_REGION), None)
    if timed is None:
        return ()
    found = []
    for part in timed["devices"]:
        device = block["devices"][part["device"]]
        found.append(Watched(
            kind=device["kind"], name=_name(device), is_used=device.get("used"),
            facts=device.get("facts") or {}, values=part.get("values") or {},
            unknown=part.get("unknown") or {}, events=part.get("event_shares") or {}, duration_s=timed["duration_s"],
            coverage=part.get("coverage"), energy_j=part.get("energy_j"), energy_method=part.get("energy_method"),
            energy_bound_j=part.get("energy_bound_j"), energy_check=part.get("energy_check"),
        ))
    return tuple(found)


def _name(device: Mapping[str, Any]) -> str:
    """With its index, since a machine's GPUs mostly are of one kind."""
    index = (device.get("facts") or {}).get("index")
    return f"{device['name']} (GPU {index})" if device["kind"] == "gpu" and index is not None else str(device["name"])


def _finding(name: str, kind: FindingKind, size: float, text: str) -> TrialFinding:
    return TrialFinding(id=name, kind=kind, size=size, text=text)


# GPUs -------------------------------------------------------------------------------------------------------------

FAULTS = {
    "thermal": tr_later("heat"), "hw_thermal": tr_later("heat"),
    "power_brake": tr_later("the power supply's brake signal"),
    "hw_slowdown": tr_later("the hardware's own protection"), "reliability": tr_later("voltage reliability"),
}
"""Clock events that are faults, and what they are about. See bench.telemetry.sources.nvml."""

HARDWARE_FAULTS = ("hw_thermal", "power_brake", "hw_slowdown")
"""Those that halve the clocks or more (NVML, nvmlClocksEventReasons); heat that software governs costs less."""


def throttled(trial: Seen) -> Iterator[TrialFinding]:
    """Clocks held down by heat or supply. A power cap is another thing, see ``power_capped``."""
    for gpu in trial.gpus:
        shares: dict[str, float] = {}
        for event, share in gpu.events.items():
            if event in FAULTS:              # two of them are heat
                shares[FAULTS[event]] = max(share, shares.get(FAULTS[event], 0.0))
        if (heat := gpu.share("throttled_thermal_s")) is not None:       # also what is too short to be met by a look
            shares["heat"] = max(heat, shares.get("heat", 0.0))
        worst = max(shares.values(), default=0.0)
        if worst > THROTTLED:
            causes = ", ".join(sorted({tr(cause) for cause, share in shares.items() if share > THROTTLED}))
            is_invalid = max((gpu.events.get(event, 0.0) for event in HARDWARE_FAULTS), default=0.0) > MOSTLY
            mostly = tr(": the figure is that of its cooling or supply, not of the GPU") if is_invalid else ""
            yield _finding(
                "throttled", FindingKind.INVALID if is_invalid else FindingKind.WARNING, worst,
                tr(
                    "clocks of {name} were held down for {worst:.0%} of the timed steps by {causes}{mostly}; cool "
                    "it, check its supply, or lock its clocks lower (nvidia-smi --lock-gpu-clocks), then repeat",
                    name=gpu.name, worst=worst, causes=causes, mostly=mostly,
                ),
            )
    if trial.device.startswith("cpu"):
        for host in trial.of_kind("host"):
            if times := host.difference("cpu_thermal_throttles"):
                yield _finding(
                    "throttled", FindingKind.WARNING, times,
                    tr(
                        "heat held the clocks of {name} down {times:.0f} times while steps were timed; cool it, "
                        "then repeat", name=host.name, times=times,
                    ),
                )


def power_capped(trial: Seen) -> Iterator[TrialFinding]:
    """At its power limit, where large GPUs are meant to run: a fact about the figure, no fault of it."""
    for gpu in trial.gpus:
        share = max(gpu.events.get("power_cap", 0.0), gpu.share("throttled_power_s") or 0.0)
        if share > THROTTLED:
            limit_w = gpu.facts.get("power_limit_w")
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
        limit_w, default_w = gpu.facts.get("power_limit_w"), gpu.facts.get("power_limit_default_w")
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
        if "lost" in gpu.unknown.values():
            yield _finding(
                "gpu_lost", FindingKind.INVALID, 1.0,
                tr(
                    "{name} was lost to its driver while steps were timed; look for Xid in dmesg, reset or reboot "
                    "it", name=gpu.name,
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
    """Under load, since links slow down when idle."""
    for gpu in trial.gpus:
        if not (gpu.mean("busy_ratio") or 0.0) > FROZEN_BUSY:
            continue
        below = [
            (what, now, most)
            for what, name in (("generation", "pcie_link_generation"), ("width", "pcie_link_width"))
            if (now := gpu.max(name)) and (most := gpu.facts.get(f"{name}_max")) and now < most
        ]
        if below:
            says = " and ".join(f"{what} {now:.0f} of {most}" for what, now, most in below)
            yield _finding(
                "link_below_maximum", FindingKind.NOTE, max(1 - now / most for _, now, most in below),
                tr(
                    "the PCIe link of {name} ran at {says}; look at its slot, riser and the firmware's settings",
                    name=gpu.name, says=says,
                ),
            )


# The host ---------------------------------------------------------------------------------------------------------


def contended(trial: Seen) -> Iterator[TrialFinding]:
    """Others had what the trial was to have: cores, time of a core, or its GPU."""
    found: list[tuple[float, float, str]] = []           # value, threshold, words
    for host in trial.of_kind("host"):
        steal, pressure = host.share("cpu_steal_s"), host.share("cpu_pressure_s")
        if steal is not None:
            cores = host.facts.get("logical_cores") or 1
            least = max(STEAL, STEAL_S / (cores * host.duration_s))
            words = tr("the hypervisor gave {steal:.1%} of the cores' time to others", steal=steal / cores)
            found.append((steal / cores, least, words))
        if pressure is not None:
            found.append((pressure, PRESSURE, tr(
                "some process waited for a core {pressure:.0%} of the time", pressure=pressure,
            )))
    for process in trial.of_kind("process"):
        ran_s, waited_s = process.difference("cpu_time_s"), process.difference("run_queue_wait_s")
        if ran_s and waited_s is not None:
            share, least = waited_s / ran_s, LEAST_WAIT * process.duration_s / ran_s
            found.append((share, max(RUN_QUEUE_WAIT, least), tr(
                "its threads waited {share:.0%} as long as they ran", share=share,
            )))
    for gpu in trial.gpus:
        others = gpu.max("other_processes")
        if others is not None:
            found.append((others, 0.5, tr("{others:.0f} other processes were on {name}", others=others, name=gpu.name)))
    over = [(value / threshold, words) for value, threshold, words in found if value > threshold]
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
    governors = (trial.system or {}).get("volatile", {}).get("governors") or []
    slow = [name for name in governors if name != "performance"]
    if slow and trial.device.startswith("cpu"):
        yield _finding(
            "governor", FindingKind.NOTE, 1.0,
            tr(
                "cores follow the governor '{slow}', which changes their clock with load; sudo cpupower "
                "frequency-set --governor performance", slow=slow[0],
            ),
        )


def on_battery(trial: Seen) -> Iterator[TrialFinding]:
    if (trial.system or {}).get("volatile", {}).get("on_battery"):
        yield _finding(
            "on_battery", FindingKind.WARNING, 1.0, tr("this machine ran on its battery, which slows it; plug it in")
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
    """Two methods apart by more than both may err in time: one of the sensors is wrong."""
    for device in trial.involved:
        check = device.energy_check
        if check is None or device.energy_j is None or check.get("energy_j") is None:
            continue
        apart = abs(device.energy_j - check["energy_j"])
        if apart > (device.energy_bound_j or 0.0) + (check.get("energy_bound_j") or 0.0):
            yield _finding(
                "energy_disagrees", FindingKind.NOTE, apart / max(device.energy_j, 1e-9),
                tr(
                    "energy of {name} is {energy_j:.1f} J by {energy_method} and {other_j:.1f} J by "
                    "{other_method}, further apart than both err; trust neither", name=device.name,
                    energy_j=device.energy_j, energy_method=device.energy_method, other_j=check["energy_j"],
                    other_method=check["energy_method"],
                ),
            )


def frozen_sensor(trial: Seen) -> Iterator[TrialFinding]:
    for device in trial.involved:
        mean, highest = device.mean("power_w"), device.max("power_w")
        busy = device.mean("busy_ratio")
        if (
            mean and highest and device.duration_s >= FROZEN_S and busy is not None and busy > FROZEN_BUSY
            and math.isclose(mean, highest, rel_tol=1e-9)
        ):
            yield _finding(
                "frozen_sensor", FindingKind.NOTE, device.duration_s,
                tr(
                    "{name} said {mean:.1f} W for {duration_s:.0f} s of work without a change: its sensor is "
                    "stuck, so trust no power or energy of it", name=device.name, mean=mean,
                    duration_s=device.duration_s,
                ),
            )


def sampler_late(trial: Seen) -> Iterator[TrialFinding]:
    sampler = (trial.telemetry or {}).get("sampler") or {}
    samples, overruns = sampler.get("samples"), sampler.get("overruns")
    if samples and overruns and overruns / samples > OVERRUNS:
        yield _finding(
            "sampler_late", FindingKind.NOTE, overruns / samples,
            tr(
                "telemetry missed {overruns:.0%} of its moments; sample more seldom (--telemetry RATE), or leave a "
                "core free", overruns=overruns / samples,
            ),
        )


def telemetry_gap(trial: Seen) -> Iterator[TrialFinding]:
    problem = (trial.telemetry or {}).get("problem")
    if problem:
        yield _finding("telemetry_gap", FindingKind.NOTE, 1.0, tr("telemetry is not whole: {problem}", problem=problem))
        return
    for device in trial.involved:
        if device.coverage is not None and device.coverage < COVERED:
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
    link_below_maximum, governor, on_battery, energy_uncertain, energy_disagrees, frozen_sensor, sampler_late,
    telemetry_gap,
)
TIMING_RULES: tuple[Callable[[Seen], Iterator[TrialFinding]], ...] = (other_work, drifting)
"""Of the timings alone. Findings of a case have these doubts about all its trials together, in words of their own."""


# Trials and cases ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Judged:
    """One trial with its doubts."""

    seen: Seen
    findings: tuple[TrialFinding, ...]           # of RULES
    of_timings: tuple[TrialFinding, ...]         # of TIMING_RULES

    @property
    def validity(self) -> Validity:
        return validity(finding.kind for finding in (*self.findings, *self.of_timings))


def validity(kinds: Iterable[FindingKind]) -> Validity:
    """What findings of these kinds make of what they are about."""
    found = set(kinds)
    if FindingKind.INVALID in found:
        return Validity.INVALID
    return Validity.SUSPECT if FindingKind.WARNING in found else Validity.VALID


def judge(trial: Mapping[str, Any]) -> Judged:
    """A row of the table of trials, one that is ok."""
    of = seen(trial)
    return Judged(
        seen=of, findings=tuple(finding for rule in RULES for finding in rule(of)),
        of_timings=tuple(finding for rule in TIMING_RULES for finding in rule(of)),
    )


def judge_record(record: Mapping[str, Any]) -> Judged:
    """As ``judge``, of a plain record that holds a measurement."""
    return judge({
        **record["identity"]["case"], **record["measurement"], "telemetry": record["telemetry"],
        "system": record["system"],
    })


def without_invalid(trials: pd.DataFrame) -> pd.DataFrame:
    """Trials that are ok, but for those whose time is not to be believed."""
    if "telemetry" not in trials or not trials.telemetry.notna().any():
        return trials
    watched = trials[trials.telemetry.notna()]      # only what was seen of the machine makes a trial invalid
    rows = ({str(name): fact for name, fact in row.items()} for row in watched.to_dict("records"))
    invalid = [judge(row).validity is Validity.INVALID for row in rows]
    return trials.drop(index=watched.index[invalid])


def of_case(judged: Sequence[Judged]) -> tuple[Finding, ...]:
    """Doubts about one case from its trials in the order in which they ran.

    What few trials show is a note: the estimate holds against them.
    """
    counted = [each for each in judged if each.validity is not Validity.INVALID] or list(judged)
    found = [*_left_out(judged), *_over(counted)]
    return (*found, *rate_falling(counted), *system_changed(counted))


def _left_out(judged: Sequence[Judged]) -> Iterator[Finding]:
    invalid = [each for each in judged if each.validity is Validity.INVALID]
    if not invalid:
        return
    reasons = "; ".join(dict.fromkeys(
        finding.text for each in invalid for finding in each.findings if finding.kind is FindingKind.INVALID
    ))
    if len(invalid) == len(judged):
        yield Finding(
            id="invalid_trials", kind=FindingKind.INVALID,
            text=tr(
                "all {n} trials are invalid; their figures stand here for want of better ones ({reasons})",
                n=len(judged), reasons=reasons,
            ),
        )
    else:
        yield Finding(
            id="invalid_trials", kind=FindingKind.WARNING,
            text=tr(
                "{n} of {all} trials are invalid and left out of the figures ({reasons})", n=len(invalid),
                all=len(judged), reasons=reasons,
            ),
        )


def _over(judged: Sequence[Judged]) -> Iterator[Finding]:
    by: dict[str, list[TrialFinding]] = {}
    for each in judged:
        for name in dict.fromkeys(finding.id for finding in each.findings):
            of_trial = [finding for finding in each.findings if finding.id == name]
            by.setdefault(name, []).append(max(of_trial, key=_badness))
    for name, findings in by.items():
        worst = max(findings, key=_badness)
        share = len(findings) / len(judged)
        kind = worst.kind if share > MANY_TRIALS else FindingKind.NOTE
        where = "" if len(judged) == 1 else tr("in {n} of {all} trials, at worst: ", n=len(findings), all=len(judged))
        yield Finding(id=name, kind=kind, text=where + worst.text)


def _badness(finding: TrialFinding) -> tuple[bool, bool, float]:
    return (finding.kind is FindingKind.INVALID, finding.kind is FindingKind.WARNING, finding.size)


def rate_falling(judged: Sequence[Judged]) -> Iterator[Finding]:
    """Later trials slower than earlier ones: a machine that cannot hold its peak rate, as laptops and hot rooms do."""
    medians = [median(each.seen.timings_s) for each in judged]
    if len(medians) >= FEWEST_FOR_FALL and (ratio := halves(medians)) > RATE_FALL:
        yield Finding(
            id="rate_falling", kind=FindingKind.WARNING,
            text=tr(
                "the later half of the trials took {ratio:.2f}x as long as the earlier: the machine does not hold "
                "its peak rate; plug it in, cool it, let it rest between sweeps, and repeat", ratio=ratio,
            ),
        )


def system_changed(judged: Sequence[Judged]) -> Iterator[Finding]:
    systems = [each.seen.system for each in judged if each.seen.system]
    if len({system["fingerprint"] for system in systems}) > 1:
        names = sorted({name for system in systems for name in _differing(systems[0]["facts"], system["facts"])})
        yield Finding(
            id="system_changed", kind=FindingKind.WARNING,
            text=tr(
                "the system was not the same for all trials ({names}); measure them anew in a session of their own "
                "(--session)", names=", ".join(names) or tr("in facts not known"),
            ),
        )


def _differing(left: Any, right: Any, at: str = "") -> Iterator[str]:
    if isinstance(left, dict) and isinstance(right, dict):
        for name in sorted({*left, *right}):
            yield from _differing(left.get(name), right.get(name), f"{at}.{name}" if at else name)
    elif left != right:
        yield at


def reasons(trials: Iterable[tuple[Mapping[str, Any], Judged]]) -> str:
    """As JSON: each trial that is not valid, with why."""
    return json.dumps([
        {
            "id": trial.get("id"), "repetition": int(trial["repetition"]), "validity": judged.validity,
            "findings": [
                {"id": finding.id, "kind": finding.kind, "text": finding.text}
                for finding in (*judged.findings, *judged.of_timings) if finding.kind is not FindingKind.NOTE
            ],
        }
        for trial, judged in trials if judged.validity is not Validity.VALID
    ])


# Energy of a case ---------------------------------------------------------------------------------------------------


def energy(judged: Sequence[Judged]) -> dict[str, Any]:
    """``power_w`` and ``energy_per_sample_j`` of the devices that did the work, medians over trials, and the method.

    Devices are the GPUs that a trial on GPUs used, the processor packages of one on the CPU. A trial in which the
    energy of one is not known, or whether it was used, has none; all None where no trial has any.
    """
    found = []
    for each in judged:
        of = each.seen
        devices = tuple(of.of_kind("package")) if of.device.startswith("cpu") else of.gpus
        if not all(device.is_used for device in devices):
            continue
        known = [(d.energy_j, d.duration_s, d.energy_method) for d in devices if d.energy_j is not None]
        if devices and len(known) == len(devices) and known[0][1] > 0:
            joules = math.fsum(j for j, _, _ in known)
            found.append((joules / known[0][1], of.samples and joules / of.samples, {method for _, _, method in known}))
    if not found:
        return dict.fromkeys(("power_w", "energy_per_sample_j", "energy_method"))
    per_sample = [joules for _, joules, _ in found if joules is not None]
    methods = set().union(*(methods for _, _, methods in found))
    return {
        "power_w": float(np.median([power for power, _, _ in found])),
        "energy_per_sample_j": float(np.median(per_sample)) if per_sample else None,
        "energy_method": ", ".join(sorted(str(method) for method in methods)),
    }
