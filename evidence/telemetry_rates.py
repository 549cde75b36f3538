"""Claim: the sampler keeps its rate while NVML is slow and while another process uses Python heavily.

A simulated NVIDIA driver (tests/telemetry/nvml_simulator.c) under NVIDIA's own binding has 4 GPUs and takes 20 us
(asleep, as when a driver waits) or 100 us (busy) for each call. The recorder that serves real trials samples it, in a
process of its own, alone or beside a process that counts in pure Python. Nothing here ran on a GPU.

Run: .venv/bin/python evidence/telemetry_rates.py [--seconds 6]
Prints for each requested rate the achieved one, how late reads were, and the sampler's share of a core.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from rigmark.bench.telemetry.recorder import Recorder
from rigmark.bench.telemetry.series import table
from tests.telemetry import simulator

LATENCIES = ("0 sleep", "20 sleep", "100 busy")
RATES_HZ = (10.0, 20.0, 50.0)
GPUS = 4


@contextlib.contextmanager
def burning(is_on: bool) -> Iterator[None]:
    """A process that counts in pure Python."""
    if not is_on:
        yield
        return
    burner = subprocess.Popen([sys.executable, "-c", "n = 0\nwhile True: n += 1"])
    try:
        yield
    finally:
        burner.kill()
        burner.wait()


def measured(latency: str, rate_hz: float, seconds: float) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as name, simulator.Installed(f"gpus {GPUS}\nlatency {latency}", Path(name)):
        directory = Path(name) / "sampler"
        directory.mkdir()
        recorder = Recorder(directory, rate_hz)
        recorder.begin((), "cuda:0", {})
        begin_s = time.perf_counter()
        time.sleep(seconds)
        recording = recorder.end({"steady": begin_s, "timed": time.perf_counter()})
        recorder.close()
    if recording.block["problem"] is not None:
        sys.exit(f"the sampler had a problem: {recording.block['problem']}")
    series = table(recording.readings, recording.sources)
    power = series[series["field"] == "power_w"]
    spans_ms = power.groupby(np.arange(len(power)) // GPUS).agg({"begin_ns": "min", "end_ns": "max"})
    times_s = np.sort(power[power["device"] == power["device"].iloc[0]]["begin_ns"].to_numpy()) * 1e-9
    late_s = series[(series["field"] == "late_s") & (series["device"] == "nvml")]["value"].to_numpy(float)
    own = recording.block["sampler"]
    return {
        "reached_hz": (len(times_s) - 1) / (times_s[-1] - times_s[0]),
        "across_ms": float(np.median(spans_ms["end_ns"] - spans_ms["begin_ns"])) * 1e-6,
        "late_p50_ms": 1e3 * np.quantile(late_s, 0.5), "late_p95_ms": 1e3 * np.quantile(late_s, 0.95),
        "overruns": own["overruns"], "cpu_share": own["cpu_time_s"] / seconds,
    }


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--seconds", type=float, default=6.0, help="of each row")
    asked = options.parse_args()
    if simulator.compiler() is None:
        sys.exit(simulator.MISSING)
    print(f"{os.cpu_count()} cores, {GPUS} GPUs, load {os.getloadavg()[0]:.1f}")
    print(f"{'call (us)':10} {'beside':7} {'asked':>6} {'reached':>9} {'4 GPUs in':>10} {'late p50':>9} {'p95':>8} "
          f"{'left out':>8} {'of a core':>9}")
    for latency in LATENCIES:
        for is_burning in (False, True):
            for rate_hz in RATES_HZ:
                with burning(is_burning):
                    row = measured(latency, rate_hz, asked.seconds)
                print(
                    f"{latency:10} {'Python' if is_burning else 'nothing':7} {rate_hz:6.0f} "
                    f"{row['reached_hz']:6.1f} Hz {row['across_ms']:7.2f} ms {row['late_p50_ms']:6.1f} ms "
                    f"{row['late_p95_ms']:5.1f} ms {row['overruns']:8.0f} {row['cpu_share']:9.2%}", flush=True,
                )
    return 0


if __name__ == "__main__":
    sys.exit(main())
