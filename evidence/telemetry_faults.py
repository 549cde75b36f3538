"""Claim: whatever a driver does, the trial continues, nothing unknown becomes a number, and the doubt is reported.

A simulated NVIDIA driver (tests/telemetry/nvml_simulator.c) under NVIDIA's own binding simulates one fault after the
other. First each kind of fault of tests/telemetry/faults.py at each time of a trial (before its warm-up, in it, in the
first quarter of the timed steps, in the middle, in the last quarter, in the last step, after it), judged as a trial on
the card that has the fault and as one on the other card; simulated time stands still between reads. Then, in real
time, the recorder that serves real trials records a trial of a second of warm-up and six of timed steps for each fault
that concerns the driver as a whole, or hangs. Only findings about the GPU count, since this machine causes others.
Nothing here ran on a GPU.

Run: .venv/bin/python evidence/telemetry_faults.py [--table]       # the first part alone takes half a minute
Prints what the record states about each fault, and ends with exit code 1 if that is wrong, if the error of an energy is
above its bound, or if a mark delayed the trial by more than 10 ms.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

sys.path.insert(0, str(Path(__file__).parent.parent))

from rigmark.bench.analysis.results.validity import judge
from rigmark.bench.store import stored
from tests.telemetry import faults, simulator
from tests.telemetry.trial import NO_COUNTER, NO_INSTANT_POWER, NO_POWER, Trial, recorded

TIMED_S = 6.0                # busy ratios of less are not believed
LONGEST_MARK_S = 0.01
WORK = "set 0 power_w training 70 300 0.237\nset 0 busy_ratio constant 0.9\nprocess 0 own 1000\n"
AVERAGE = NO_INSTANT_POWER.format(0) + "sensor 0 power_w 0.1 1.0\ncapability 0 8 6\n"
SCENARIOS = {        # what is played, and what is to be found in the row
    "none": ("", "counter_ticks"),
    "no driver to talk to": ("init 9", "not loaded"),
    "library and driver differ": ("init 18", "different versions"),
    "no permission": ("init 4", "no permission"),
    "no GPU": ("gpus 0", "sees no GPU"),
    "no energy counter": (NO_COUNTER.format(0), "power_integral_instant"),
    "no counter, averaged power": (NO_COUNTER.format(0) + AVERAGE, "power_integral_average"),
    "no counter, no power": (NO_COUNTER.format(0) + NO_POWER.format(0), "unknown: not_supported"),
    "lost in the warm-up": ("fault 0 * 0.5 1e9 error 15", "gpu_lost"),
    "lost while timed": ("fault 0 * 3 1e9 error 15", "gpu_lost"),
    "hot in the warm-up": ("event 0 0x40 0.1 0.9", "counter_ticks"),
    "hot while timed": ("event 0 0x40 1.5 1e9", "throttled"),
    "power brake while timed": ("event 0 0x80 1.2 2.5", "throttled"),
    "at its power cap": ("event 0 0x4 0 1e9", "power_capped"),
    "driver takes 30 s to open": ("opens 30", "still being opened"),
    "another GPU hangs for 10 s": ("gpus 2\nfault 1 GetFieldValues 3 13 hang", "counter_ticks"),
    "hangs for 10 s": ("fault 0 GetFieldValues 3 13 hang", "nvml did not answer"),
    "every third call times out": (
        "fault 0 GetFieldValues 0 1e9 every 3 10\nfault 0 GetUtilizationRates 0 1e9 every 3 10", "counter_"
    ),
    "power stands still": ("fault 0 field:186 1 1e9 frozen", "frozen_sensor"),
    "all sensors stand still": ("fault 0 * 1 1e9 frozen", "frozen_sensor"),
    "counter begins anew": ("reset 0 3", "power_integral_instant"),
    "no watts at all": ("set 0 power_w constant 0", "unknown: implausible"),
    "link at half its width": ("set 0 pcie_link_width constant 8", "link_below_maximum"),
    "memory errors": ("set 0 ecc_uncorrected_per_s constant 1", "ecc_uncorrected"),
    "power limit lowered": ("set 0 power_limit_w constant 250", "power_limit_lowered"),
    "divided (MIG)": ("mig 0 2", "counter_ticks"),
    "another process computes": ("process 0 1 1000", "contended"),
}


def kill_sampler() -> None:
    for child in psutil.Process().children():
        if "rigmark.bench.telemetry.sampler" in child.cmdline():
            child.kill()


def outcome(
    name: str, scenario: str, says: str, *, is_old: bool = False, meanwhile: Callable[[], None] = lambda: None
) -> bool:
    """Prints a fault's row; whether it kept the claim."""
    with tempfile.TemporaryDirectory() as folder:
        trial = recorded(WORK + scenario, Path(folder), timed_s=TIMED_S, meanwhile=meanwhile, is_old=is_old)
        energy, kept = _energy(trial)
    block = trial.recording.block
    times_s = [0.1] * round(TIMED_S / 0.1)
    judged = judge({
        "device": "cuda:0", "telemetry": stored.TELEMETRY.decode(json.dumps(_of_gpus(block))),
        "timings_s": times_s, "host_times_s": times_s, "local_batch": 1, "steps_per_timing": 1,
    })
    doubts = sorted({finding.id for finding in judged.findings})
    said = block["problem"] or block["unavailable"].get("nvml") or ""
    row = (
        f"{name:28} {judged.validity:8} {energy:52} {1e3 * trial.longest_mark_s:5.1f} ms {trial.end_s:4.1f} s  "
        f"{', '.join(doubts)}{'; ' if doubts and said else ''}{said}"
    )
    print(row, flush=True)
    return kept and says in row and trial.longest_mark_s <= LONGEST_MARK_S


def _of_gpus(block: dict[str, Any]) -> dict[str, Any]:
    """A record's block without what it says of the host."""
    is_gpu = [device["kind"] == "gpu" for device in block["devices"]]
    return block | {"regions": [
        region | {"devices": [part for part in region["devices"] if is_gpu[part["device"]]]}
        for region in block["regions"]
    ]}


def _energy(trial: Trial) -> tuple[str, bool]:
    """What the record says of the first GPU's energy, and whether that is true."""
    if not any(device["kind"] == "gpu" for device in trial.recording.block["devices"]):
        return "no GPU in the record", True
    gpu = trial.gpu(0)
    if gpu["energy_j"] is None:
        unknown = gpu["unknown"]
        return f"unknown: {unknown.get('energy_j', unknown.get('power_w', 'not near both ends'))}", True
    error_j = gpu["energy_j"] - trial.true_energy_j[0]
    text = f"{gpu['energy_method']} {error_j:+.1f} of {trial.true_energy_j[0]:.0f} J"
    return f"{text} (bound {gpu['energy_bound_j']:.0f})", bool(abs(error_j) <= gpu["energy_bound_j"])


def table() -> bool:
    """Prints a row for each kind of fault: how many of its cases are judged right, and those that are not."""
    count = right = 0
    with tempfile.TemporaryDirectory() as folder:
        driver = simulator.Driver(Path(folder))
        print(f"{'fault of a card':28} right  doubt when it matters")
        for fault, of in faults.FAULTS.items():
            played = list(faults.played(driver, Path(folder), fault))
            wrong = [(case, judged) for case, judged in played if not faults.is_right(case, judged)]
            count, right = count + len(played), right + len(played) - len(wrong)
            doubts = sorted({f"{validity}: {names}" for validity, names in of.expected.values()}) or ["none"]
            print(f"{fault:28} {len(played) - len(wrong):2d}/{len(played)}  {'; '.join(doubts)}")
            for case, judged in wrong:
                print(f"  {case}: {faults.in_words(judged)}")
        driver.close()
    kinds, times = len(faults.FAULTS), len(faults.WHEN)
    print(f"as it should be: {right} of {count} cases ({kinds} kinds, {times} times, 2 cards)\n")
    return right == count


def main() -> int:
    if simulator.compiler() is None:
        sys.exit(simulator.MISSING)
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--table", action="store_true", help="only the cases in which time stands still")
    is_table_alone, is_table_right = options.parse_args().table, table()
    if is_table_alone:
        return 0 if is_table_right else 1
    print(f"{'fault':28} {'trial is':8} {'energy':52} {'mark took':8} {'end':>6}  doubts; problem")
    kept = [outcome(name, *played) for name, played in SCENARIOS.items()]
    kept.append(outcome("old driver", "", "power_integral_instant", is_old=True))
    kept.append(outcome("sampler killed while timed", "", "exit code -9", meanwhile=kill_sampler))
    print(f"as it should be: {sum(kept)} of {len(kept)}")
    return 0 if all(kept) and is_table_right else 1


if __name__ == "__main__":
    sys.exit(main())
