"""Claim: telemetry makes a trial's steps at most 1 % slower, or so little that the difference cannot be measured.

In fresh processes, a network is timed with the real measuring loop in short blocks, alternately with and without the
real sampler, in random order within each pair: the noise of the machine, which is larger than the effect, then affects
both. Once with one thread, which leaves the sampler another core, and once with as many threads as cores, so that the
sampler takes its time from the trial. A process gives the median of its pairs' ratios; the ratio is estimated as every
comparison of Rigmark's is, by Hodges-Lehmann over processes with the 95 % interval.

Run: .venv/bin/python evidence/telemetry_overhead.py [--processes 6] [--pairs 20] [--framework numpy] [--model mlp]
Prints ratios, and the sampler's share of a core, and ends with exit code 1 if an interval is above 1.01.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from rigmark.bench import models
from rigmark.bench.analysis.statistics.estimate import estimate
from rigmark.bench.ir.weights import initial_weights, synthetic_batch
from rigmark.bench.machine import hardware
from rigmark.bench.telemetry.recorder import Recorder
from rigmark.bench.worker import frameworks, measure

RATES_HZ = (10.0, 50.0)
LIMIT = 1.01
LOCAL_BATCH = 64
BLOCK_S = 0.5


def blocks(framework: str, model: str, threads: int, rate_hz: float, pairs: int) -> dict[str, float]:
    """{"ratio": median of step times with the sampler over those without, "share": its part of a core, "late_s"}."""
    graph = models.build(model)
    adapter = frameworks.load(framework)
    compile_mode, layout = adapter.BEST["inference"]
    prepared = adapter.prepare(graph.plain(), initial_weights(graph, seed=1), {
        "mode": "inference", "precision": "fp32", "compile_mode": compile_mode, "layout": layout, "device": "cpu",
        "threads": threads, "seed": 1,
    })
    prepared.load([synthetic_batch(graph, LOCAL_BATCH, seed=1)])
    plan = {"steps_per_timing": 1, "min_timings": 5, "min_time_s": BLOCK_S, "max_time_s": 60.0, "warm_up_max_s": 2.0}
    measure.warm_up(prepared, plan)
    coin = random.Random(os.getpid())
    ratios, cpu_times_s, late_s, watched_s = [], [], [], 0.0
    with tempfile.TemporaryDirectory() as folder:
        recorder = Recorder(Path(folder), rate_hz)
        for _ in range(pairs):
            step_time_s = {}
            for is_on in coin.sample([True, False], 2):
                if is_on:
                    recorder.begin(cpus=hardware.usable_cpus()[:threads])
                    recorder.started(os.getpid())
                timed = measure.timed(prepared, plan)
                if is_on:
                    block = recorder.end({}).block
                    if block["problem"] is not None:
                        sys.exit(f"telemetry failed: {block['problem']}")
                    cpu_times_s.append(block["sampler"]["cpu_time_s"])
                    late_s.append(block["sampler"]["late_p95_s"])
                    watched_s += sum(timed["host_times_s"])
                step_time_s[is_on] = statistics.median(timed["timings_s"])
            ratios.append(step_time_s[True] / step_time_s[False])
        recorder.close()
    return {
        "ratio": statistics.median(ratios), "share": sum(cpu_times_s) / watched_s, "late_s": statistics.median(late_s),
    }


def child(asked: argparse.Namespace, threads: int, rate_hz: float) -> dict[str, float]:
    pools = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
    done = subprocess.run(
        [sys.executable, __file__, "--child", "--framework", asked.framework, "--model", asked.model, "--pairs",
         str(asked.pairs), "--threads", str(threads), "--rate", str(rate_hz)],
        env={**os.environ, **pools}, capture_output=True, text=True, check=False,
    )
    if done.returncode:
        sys.exit(f"a process failed: {(done.stderr.strip().splitlines() or ['without a word'])[-1]}")
    answer: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return answer


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--processes", type=int, default=6)
    options.add_argument("--pairs", type=int, default=20)
    options.add_argument("--framework", default="numpy")
    options.add_argument("--model", default="mlp")
    options.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options.add_argument("--threads", type=int, help=argparse.SUPPRESS)
    options.add_argument("--rate", type=float, help=argparse.SUPPRESS)
    asked = options.parse_args()
    if asked.child:
        print(json.dumps(blocks(asked.framework, asked.model, asked.threads, asked.rate, asked.pairs)))
        return 0
    cores = len(hardware.usable_cpus())
    is_slower = False
    print(f"{asked.model} inference in {asked.framework}, {cores} cores, load {os.getloadavg()[0]:.1f} before")
    for threads in sorted({1, cores}):
        for rate_hz in RATES_HZ:
            answers = [child(asked, threads, rate_hz) for _ in range(asked.processes)]
            ratio = estimate([each["ratio"] for each in answers])
            share, late_s = (statistics.median(each[name] for each in answers) for name in ("share", "late_s"))
            interval = "none below 6 processes" if ratio.low is None else f"{ratio.low:.4f} to {ratio.high:.4f}"
            is_slower |= ratio.low is not None and ratio.low > LIMIT
            print(
                f"{threads} threads, {rate_hz:3.0f} Hz: step time {ratio.value:.4f}x ({interval}; {asked.pairs} pairs "
                f"in each of {ratio.count}); sampler {share:.2%} of a core, late {1e3 * late_s:.1f} ms (p95)",
                flush=True,
            )
    return int(is_slower)


if __name__ == "__main__":
    sys.exit(main())
