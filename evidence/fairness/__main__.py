"""Our step time over that of a hand-written native model of the same network, in one process, turn by turn.

    .venv/bin/python -m evidence.fairness --framework torch --model resnet18 --processes 6

For every network and mode, fresh processes prepare both, warm both up and let them take turns, the order of each pair
drawn by a coin. One process gives the median of its pairs' ratios; the table shows the Hodges-Lehmann estimate over
processes and its 95 % interval (none below six). A ratio of 1.00 is as fast as by hand; above is slower. With --gate
the exit code is 1 where the whole interval, or the middle without one, lies above the gate.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import os
import random
import statistics
import subprocess
import sys
import time

from evidence.fairness import native
from rigmark.bench import models
from rigmark.bench.analysis.statistics.estimate import estimate
from rigmark.bench.ir.weights import initial_weights, synthetic_batch
from rigmark.bench.worker import frameworks

BATCHES = {"mnist_cnn": 32, "resnet50": 2, "lstm": 8}
BATCH = 4


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    installed = [name for name in native.FRAMEWORKS if importlib.util.find_spec(frameworks.load(name).IMPORTS)]
    parser.add_argument("--framework", default=",".join(installed))
    parser.add_argument("--model", default=",".join(native.MODELS))
    parser.add_argument("--mode", default="inference,training")
    parser.add_argument("--processes", type=int, default=6)
    parser.add_argument("--pairs", type=int, default=9, help="turns of both in each process")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--gate", type=float, help="largest ratio that passes")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(turns(options.framework, options.model, options.mode, options.pairs, options.threads)))
        return 0
    failed = False
    print(f"{'framework':<11} {'model':<18} {'mode':<9} {'ours/native':<12} {'95 % interval':<15} native")
    for framework in options.framework.split(","):
        for model in options.model.split(","):
            for mode in options.mode.split(","):
                if mode in frameworks.modes(framework):
                    failed |= row(framework, model, mode, options)
    return int(failed)


def row(framework: str, model: str, mode: str, options: argparse.Namespace) -> bool:
    """Measure and print one line; True where the gate is passed over."""
    ratios, chosen = [], ""
    for _ in range(options.processes):
        command = [
            sys.executable, "-m", "evidence.fairness", "--child", "--framework", framework, "--model", model,
            "--mode", mode, "--pairs", str(options.pairs), "--threads", str(options.threads),
        ]
        threads = str(options.threads)
        environment = {**os.environ, "OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads,
                       "MKL_NUM_THREADS": threads, "TF_CPP_MIN_LOG_LEVEL": "3"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"{framework:<11} {model:<18} {mode:<9} failed: {done.stderr.strip().splitlines()[-1]}", flush=True)
            return True
        answer = json.loads(done.stdout.splitlines()[-1])
        ratios.append(answer["ratio"])
        chosen = answer["native"]
    ratio = estimate(ratios)
    interval = "n/a" if ratio.low is None else f"{ratio.low:.3f} to {ratio.high:.3f}"
    print(f"{framework:<11} {model:<18} {mode:<9} {ratio.value:<12.3f} {interval:<15} {chosen}", flush=True)
    if options.gate is None:
        return False
    return (ratio.value if ratio.low is None else ratio.low) > options.gate


def turns(framework: str, model: str, mode: str, pairs: int, threads: int) -> dict[str, object]:
    """{"ratio": median of our step time over the native one, "native": which native program was the fastest}."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    graph = models.build(model)
    x, y = synthetic_batch(graph, BATCHES.get(model, BATCH), seed=1)
    adapter = frameworks.load(framework)
    compile_mode, layout = adapter.BEST[mode]
    prepared = adapter.prepare(graph.plain(), initial_weights(graph, seed=1), {
        "mode": mode, "precision": "fp32", "compile_mode": compile_mode, "layout": layout, "device": "cpu",
        "threads": threads, "seed": 1,
    })
    prepared.load([(x, y)])

    def ours() -> None:
        prepared.step()
        prepared.synchronize()

    programs = importlib.import_module(f"evidence.fairness.native_{framework}").programs(model, mode, x, y)
    native_name, by_hand = min(programs.items(), key=lambda item: warm_time_s(item[1]))
    warm_time_s(ours)
    coin = random.Random(os.getpid())
    ratios = []
    for _ in range(pairs):
        order = [ours, by_hand] if coin.random() < 0.5 else [by_hand, ours]
        times_s = {program: time_s(program) for program in order}
        ratios.append(times_s[ours] / times_s[by_hand])
    return {"ratio": statistics.median(ratios), "native": native_name}


def time_s(program) -> float:
    start = time.perf_counter()
    program()
    return time.perf_counter() - start


def warm_time_s(program) -> float:
    """Shorter of two steps after the first."""
    program()
    return min(time_s(program) for _ in range(2))


if __name__ == "__main__":
    sys.exit(main())
