"""Do the limits agree with loops written by hand? Both in one process, in turns, because the machine drifts.

    python -m evidence.limits_by_hand --framework torch --threads 1

Prints, for each framework and operation, the rate of each and the median ratio of by hand to ours: 1.00 is agreement,
and on a quiet machine it should lie within 5 %.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

from rigmark.bench.worker import frameworks, microbenchmarks

TURNS = 21
NAMES = ("matmul_256", "matmul_1024", "matmul_2048", "copy_256KiB", "copy_16MiB", "copy_256MiB")
RATE = {"matmul": ("flops", "GFLOP/s"), "copy": ("bytes", "GB/s")}


def by_hand_numpy(name: str) -> Callable[[], Any]:
    import numpy as np

    kind, _, size = name.partition("_")
    if kind == "matmul":
        a, b, c = (np.random.rand(int(size), int(size)).astype(np.float32) for _ in range(3))
        return lambda: np.dot(a, b, out=c)
    source = np.ones(microbenchmarks.MEMORY_SIZES[size] // 8, np.float32)
    target = np.zeros_like(source)

    def copy() -> None:
        target[:] = source

    return copy


def by_hand_torch(name: str) -> Callable[[], Any]:
    import torch

    kind, _, size = name.partition("_")
    if kind == "matmul":
        a, b, c = (torch.rand(int(size), int(size)) for _ in range(3))
        return lambda: torch.mm(a, b, out=c)
    source = torch.ones(microbenchmarks.MEMORY_SIZES[size] // 8)
    target = torch.zeros_like(source)
    return lambda: target.copy_(source)


BY_HAND = {"numpy": by_hand_numpy, "torch": by_hand_torch}


def seconds(execute: Callable[[], Any], times: int) -> float:
    """Of one execution."""
    start = time.perf_counter()
    for _ in range(times):
        execute()
    return (time.perf_counter() - start) / times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--framework", choices=BY_HAND, required=True, help="one a process, as always")
    options = parser.parse_args()
    # Read when NumPy is first imported, which is below.
    os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = str(options.threads)
    compile_mode, layout = frameworks.load(options.framework).BEST["inference"]
    settings = {
        "precision": "fp32", "device": "cpu", "threads": options.threads, "compile_mode": compile_mode,
        "layout": layout, "seed": 1, "folder": ".",
    }
    for name in NAMES:
        try:
            prepared = microbenchmarks.load(options.framework).prepare(name, settings)
        except frameworks.Unsupported as reason:
            print(f"{options.framework:6} {name:12} {reason}")
            continue
        by_hand, times = BY_HAND[options.framework](name), microbenchmarks.least_steps_per_timing(name)
        for execute in (prepared.step, by_hand):
            seconds(execute, max(3, times))
        turns = [(seconds(prepared.step, times), seconds(by_hand, times)) for _ in range(TURNS)]
        what, unit = RATE[name.partition("_")[0]]
        work = microbenchmarks.work(name, "fp32")[what]
        ours, theirs = (work / statistics.median(column) / 1e9 for column in zip(*turns, strict=True))
        ratio = statistics.median(ours_s / theirs_s for ours_s, theirs_s in turns)
        print(f"{options.framework:6} {name:12} limit {ours:7.1f} {unit}, by hand {theirs:7.1f} {unit}, "
              f"by hand / limit {ratio:.3f}")


if __name__ == "__main__":
    main()
