"""Claim: the energy of a region is correct within the stated bound, for every kind of sensor.

A simulated NVIDIA driver (tests/telemetry/nvml_simulator.c) under NVIDIA's own binding plays power curves whose
integral is known in closed form: steps of training, blocks of work, a sine, each on GPUs with

- an energy counter that changes every 100 ms, and instantaneous power, updated every 100 ms,
- an energy counter that changes every 20 ms, and instantaneous power, updated every 20 ms,
- no counter, and power averaged over 1 s, updated every 100 ms.

The recorder that serves real trials reads them in real time, at its default rate and in a process of its own, with a
mark at both ends of each region, as trials send them. Regions begin at random times. Nothing here ran on a GPU.

Run: .venv/bin/python evidence/telemetry_energy.py [--regions 40] [--seconds 150] [--seed 1]
Prints the error against the integral, and ends with exit code 1 if an error is above its bound.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from rigmark.bench.telemetry import regions
from rigmark.bench.telemetry.recorder import Recorder, Recording
from tests.telemetry import simulator

DURATIONS_S = (1.0, 5.0, 10.0)
MARGIN_S = 3.0               # of readings around a region that are looked at with it
CURVES = ("training 70 300 0.237", "square 90 290 3.1 0.6", "sine 200 80 1.7")
NO_COUNTER = ("fault {} field:83 -1e9 1e9 error 3", "fault {} GetTotalEnergyConsumption -1e9 1e9 error 3")
AVERAGED = ("fault {} field:186 -1e9 1e9 error 3", "fault {} field:186:1 -1e9 1e9 error 3", "capability {} 8 6")
SENSORS = {
    "100 ms": ("counter {} 0.1", "sensor {} power_w 0.1"),
    "20 ms": ("counter {} 0.02", "sensor {} power_w 0.02"),
    "1 s average": ("sensor {} power_w 0.1 1.0", *NO_COUNTER, *AVERAGED),
}
GPUS = [(sensor, curve) for sensor in SENSORS for curve in CURVES]

Region = tuple[float, float]         # begin and end, on the clock of time.perf_counter


def scenario() -> str:
    lines = [f"gpus {len(GPUS)}", "latency 20 sleep"]
    for number, (sensor, curve) in enumerate(GPUS):
        lines += [f"set {number} power_w {curve}", *(line.format(number) for line in SENSORS[sensor])]
    return "\n".join(lines)


def recorded(folder: Path, driver: simulator.Installed, planned: list[Region]) -> tuple[Recording, list[Region]]:
    """What the recorder saw, and the regions as they came to be, of regions in seconds from the start."""
    directory = folder / "sampler"
    directory.mkdir()
    recorder = Recorder(directory)
    recorder.begin((), "cuda:0", {})
    driver.start()
    zero_s = time.perf_counter()
    came: dict[float, float] = {}
    for at_s in sorted({moment for region in planned for moment in region}):
        time.sleep(max(0.0, zero_s + at_s - time.perf_counter()))
        came[at_s] = time.perf_counter()
        recorder.marked("steady", came[at_s])
    time.sleep(MARGIN_S)
    recording = recorder.end({})
    recorder.close()
    if recording.block["problem"] is not None:
        sys.exit(f"the sampler had a problem: {recording.block['problem']}")
    return recording, [(came[begin], came[end]) for begin, end in planned]


def energies(recording: Recording, region: Region) -> list[dict[str, Any]]:
    """Of each GPU what a record would say of that region."""
    begin_ns, end_ns = ((region[0] - MARGIN_S) * 1e9, (region[1] + MARGIN_S) * 1e9)
    readings = recording.readings
    near = readings[(readings["begin_ns"] > begin_ns) & (readings["end_ns"] < end_ns)]
    marks = {"steady": region[0], "timed": region[1]}
    _, described = regions.described(near, recording.sources, marks, active=("nvml",))
    devices: list[dict[str, Any]] = described[0]["devices"]
    return devices


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--regions", type=int, default=40, help="of each duration")
    options.add_argument("--seconds", type=float, default=150.0)
    options.add_argument("--seed", type=int, default=1)
    asked = options.parse_args()
    if simulator.compiler() is None:
        sys.exit(simulator.MISSING)
    draw = random.Random(asked.seed)
    planned = []
    for duration_s in DURATIONS_S * asked.regions:
        begin_s = draw.uniform(MARGIN_S, asked.seconds - duration_s)
        planned.append((begin_s, begin_s + duration_s))
    by_method: dict[tuple[str, str, float], list[tuple[float, float]]] = defaultdict(list)
    missing = 0
    with tempfile.TemporaryDirectory() as name, simulator.Installed(scenario(), Path(name)) as driver:
        recording, came = recorded(Path(name), driver, planned)
        for region in came:
            for device in energies(recording, region):
                number = device["device"]
                true_j = driver.energy_j(number, *region)
                for said in (device, device["energy_check"]):
                    if said is None:
                        continue
                    if said["energy_j"] is None:
                        missing += 1
                        continue
                    key = (said["energy_method"], GPUS[number][0], round(region[1] - region[0]))
                    by_method[key].append(((said["energy_j"] - true_j) / true_j, said["energy_bound_j"] / true_j))
    kept = True
    columns = f"{'n':>4} {'|error|':>9} {'p95':>8} {'worst':>8} {'bound':>8}  held"
    print(f"{'method':24} {'sensor':12} {'region':>7} {columns}")
    for (method, sensor, duration_s), pairs in sorted(by_method.items()):
        errors, bounds = np.abs(np.array(pairs)).T
        held = int(np.sum(errors <= bounds))
        kept = kept and held == len(pairs)
        print(
            f"{method:24} {sensor:12} {duration_s:5} s {len(pairs):5} {np.median(errors):9.2%} "
            f"{np.percentile(errors, 95):8.2%} {np.max(errors):8.2%} {np.median(bounds):8.2%}  {held}/{len(pairs)}"
        )
    own = recording.block["sampler"]
    print(f"energies not known: {missing}; sampler: {own}")
    return 0 if kept and not missing else 1


if __name__ == "__main__":
    sys.exit(main())
