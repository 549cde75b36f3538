"""Our step time over that of a hand-written native model of the same network, in one process, turn by turn.

    .venv/bin/python -m evidence.fairness --framework torch --model resnet18 --processes 6

BERT and GPT-2 (--model bert,gpt2) are first proven to be the same network on both sides: equal outputs, or equal losses
over three updates, without dropout. In torch they need the package transformers, which no environment of ours has.

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
from collections.abc import Callable
from typing import Any

import numpy as np

from evidence.fairness import native
from rigmark.bench import models
from rigmark.bench.analysis.statistics.estimate import estimate
from rigmark.bench.ir.weights import initial_weights, synthetic_batch
from rigmark.bench.worker import frameworks

BATCHES = {"mnist_cnn": 32, "resnet50": 2, "lstm": 8, "bert": 1, "gpt2": 1}
BATCH = 4
UPDATES = 3          # of the proof of training
TOLERANCE = 1e-4     # of outputs and losses, in fp32
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
DROPOUT = 0.1        # of BERT and GPT-2 as they are timed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    installed = [name for name in native.FRAMEWORKS if importlib.util.find_spec(frameworks.load(name).IMPORTS)]
    parser.add_argument("--framework", default=",".join(installed))
    parser.add_argument("--model", default=",".join(native.MODELS), help="also bert and gpt2")
    parser.add_argument("--mode", default="inference,training")
    parser.add_argument("--processes", type=int, default=6)
    parser.add_argument("--pairs", type=int, default=9, help="turns of both in each process")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--clock", choices=sorted(CLOCKS), default="wall", help="cpu: time of the process's threads, "
                        "which a busy machine changes little; with one thread")
    parser.add_argument("--blocks", type=int, default=12, help="of BERT and GPT-2, at full width")
    parser.add_argument("--gate", type=float, help="largest ratio that passes")
    parser.add_argument("--child", choices=("proof", "turns"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps({"proof": proof, "turns": turns}[options.child](options)))
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
    proofs = ["proof"] if model in native.TRANSFORMERS else []
    for work in [*proofs, *["turns"] * options.processes]:
        command = [
            sys.executable, "-m", "evidence.fairness", "--child", work, "--framework", framework, "--model", model,
            "--mode", mode, "--pairs", str(options.pairs), "--threads", str(options.threads),
            "--blocks", str(options.blocks), "--clock", options.clock,
        ]
        threads = str(options.threads)
        environment = {**os.environ, "OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads,
                       "MKL_NUM_THREADS": threads, "TF_CPP_MIN_LOG_LEVEL": "3"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"{framework:<11} {model:<18} {mode:<9} failed: {done.stderr.strip().splitlines()[-1]}", flush=True)
            return True
        answer = json.loads(done.stdout.splitlines()[-1])
        if work == "turns":
            ratios.append(answer["ratio"])
            chosen = answer["native"]
    ratio = estimate(ratios)
    interval = "n/a" if ratio.low is None else f"{ratio.low:.3f} to {ratio.high:.3f}"
    print(f"{framework:<11} {model:<18} {mode:<9} {ratio.value:<12.3f} {interval:<15} {chosen}", flush=True)
    if options.gate is None:
        return False
    return (ratio.value if ratio.low is None else ratio.low) > options.gate


Programs = dict[str, Callable[[], Any]]


def sides(options: argparse.Namespace, **more: Any) -> tuple[Any, Programs]:
    """(our prepared step, {name: a function of one step by hand}); ``more`` is for the network's build()."""
    framework, model, mode = options.framework, options.model, options.mode
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:options.threads])
    if model in native.TRANSFORMERS:
        graph = importlib.import_module(f"rigmark.bench.models.{model}").build(blocks=options.blocks, **more)
    else:
        graph = models.build(model)
    x, y = synthetic_batch(graph, BATCHES.get(model, BATCH), seed=1)
    weights = initial_weights(graph, seed=1)
    adapter = frameworks.load(framework)
    compile_mode, layout = adapter.BEST[mode]
    prepared = adapter.prepare(graph.plain(), weights, {
        "mode": mode, "precision": "fp32", "compile_mode": compile_mode, "layout": layout, "device": "cpu",
        "threads": options.threads, "seed": 1,
    })
    prepared.load([(x, y)])
    if model in native.TRANSFORMERS and framework in native.OF_TRANSFORMERS:
        module = importlib.import_module(f"evidence.fairness.transformers_{framework}")
        rate = graph.plain()["optimizer"]["learning_rate"]
        dropout = more.get("dropout", DROPOUT)
        return prepared, module.programs(
            model, mode, weights, rate, x, y, blocks=options.blocks, dropout=dropout
        )
    return prepared, importlib.import_module(f"evidence.fairness.native_{framework}").programs(model, mode, x, y)


def proof(options: argparse.Namespace) -> dict[str, float]:
    """The largest difference of each program from ours; SystemExit where one is another network."""
    prepared, programs = sides(options, dropout=0.0)
    steps = UPDATES if options.mode == "training" else 1
    expected = []
    for _ in range(steps):
        prepared.step()
        expected.append(np.asarray(prepared.result()))
    found = {}
    for name, by_hand in programs.items():
        differences = [np.abs(np.asarray(by_hand()) - each).max() / np.abs(each).max() for each in expected]
        found[name] = float(max(differences))
        if not found[name] <= TOLERANCE:
            raise SystemExit(f"{name} differs by {found[name]:.1e}, so this compares two networks")
    return found


def turns(options: argparse.Namespace) -> dict[str, object]:
    """{"ratio": median of our step time over the native one, "native": which native program was the fastest}."""
    prepared, programs = sides(options)
    clock = CLOCKS[options.clock]

    def ours() -> None:
        prepared.step()
        prepared.synchronize()

    native_name, by_hand = min(programs.items(), key=lambda item: warm_time_s(item[1], clock))
    warm_time_s(ours, clock)
    coin = random.Random(os.getpid())
    ratios = []
    for _ in range(options.pairs):
        order = [ours, by_hand] if coin.random() < 0.5 else [by_hand, ours]
        times_s = {program: time_s(program, clock) for program in order}
        ratios.append(times_s[ours] / times_s[by_hand])
    return {"ratio": statistics.median(ratios), "native": native_name}


def time_s(program: Callable[[], Any], clock: Callable[[], float]) -> float:
    start = clock()
    program()
    return clock() - start


def warm_time_s(program: Callable[[], Any], clock: Callable[[], float]) -> float:
    """Shorter of two steps after the first."""
    program()
    return min(time_s(program, clock) for _ in range(2))


if __name__ == "__main__":
    sys.exit(main())
