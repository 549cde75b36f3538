"""Claim: our DDP step takes at most 1.05 of the time of a plain script with the same network under torchrun.

    .venv/bin/python -m evidence.ddp_fairness --model mnist_cnn,resnet18 --rank-groups 6

For every network, several new rank groups prepare both: our step as in a timed trial, and a network, a
DistributedDataParallel, an optimizer and a loop written by hand as in the tutorials; each rank is limited to cores of
its own. Both take turns in random order; a turn begins with a barrier and lasts as long as its slowest rank. One rank
group gives the median ratio of its pairs; the result is the Hodges-Lehmann estimate over rank groups with its 95 %
interval (none below six).
With --gate the exit code is 1 if the whole interval, or the estimate if there is none, is above the gate.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

from rigmark.bench import models
from rigmark.bench.analysis.statistics.estimate import estimate
from rigmark.bench.ir.weights import initial_weights, synthetic_batch
from rigmark.bench.launch.ranks import LOOPBACK, free_ports
from rigmark.bench.worker import frameworks, strategies

BATCHES = {"mnist_cnn": 32}
BATCH = 4


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="mnist_cnn,resnet18,alexnet_one_tower")
    parser.add_argument("--world-size", type=int, default=2)
    parser.add_argument("--rank-groups", type=int, default=6)
    parser.add_argument("--pairs", type=int, default=15, help="turns of both in each rank group")
    parser.add_argument("--gate", type=float, help="largest ratio that passes")
    parser.add_argument("--rank", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--ports", help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.rank is not None:
        speed = turns(options)
        if options.rank == 0:
            print(json.dumps(speed))
        return 0
    failed = False
    print(f"{'model':<18} {'ours/by hand':<13} {'95 % interval':<15} by hand")
    for model in options.model.split(","):
        ratios, by_hand_s = [], []
        for seed in range(options.rank_groups):
            ratio, time_s = rank_group(model, options, seed)
            ratios.append(ratio)
            by_hand_s.append(time_s)
        speed = estimate(ratios)
        interval = "n/a" if speed.low is None else f"{speed.low:.3f} to {speed.high:.3f}"
        time_ms = 1e3 * statistics.median(by_hand_s)
        print(f"{model:<18} {speed.value:<13.3f} {interval:<15} {time_ms:.2f} ms", flush=True)
        failed |= options.gate is not None and (speed.value if speed.low is None else speed.low) > options.gate
    return int(failed)


def rank_group(model: str, options: argparse.Namespace, seed: int) -> tuple[float, float]:
    """(our step time over that by hand, seconds of the latter) of one new rank group."""
    ports = free_ports(options.world_size + 1)
    cores = sorted(os.sched_getaffinity(0))
    ranks = []
    for rank in range(options.world_size):
        command = [
            "taskset", "-c", str(cores[rank % len(cores)]), sys.executable, "-m", "evidence.ddp_fairness", "--model",
            model, "--world-size", str(options.world_size), "--pairs", str(options.pairs), "--rank", str(rank),
            "--ports", ",".join(map(str, ports)), "--seed", str(seed),
        ]
        ranks.append(subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=subprocess.PIPE,
                                      stderr=subprocess.PIPE, text=True))
    outputs = [rank.communicate(timeout=600) for rank in ranks]
    for rank, (_, errors) in zip(ranks, outputs, strict=True):
        if rank.returncode:
            sys.exit(f"a rank failed: {(errors.strip().splitlines() or ['no message'])[-1]}")
    answer = json.loads(outputs[0][0].splitlines()[-1])
    return answer["ratio"], answer["by_hand_s"]


def turns(options: argparse.Namespace) -> dict[str, float]:
    """What one rank does; the same on all, since the slowest one's time is agreed on after each turn."""
    import torch

    graph = models.build(options.model)
    batch = BATCHES.get(options.model, BATCH)
    x, y = synthetic_batch(graph, batch, seed=1 + options.rank)
    adapter = frameworks.load("torch")
    compile_mode, layout = adapter.BEST["training"]
    world = {
        "size": options.world_size, "devices_per_process": 1, "processes": options.world_size, "rank": options.rank,
        "local_rank": options.rank, "address": LOOPBACK, "ports": [int(port) for port in options.ports.split(",")],
        "patience_s": 300.0, "options": {},
    }
    prepared = strategies.load("ddp").prepare(adapter, graph.plain(), initial_weights(graph, seed=1), {
        "mode": "training", "precision": "fp32", "compile_mode": compile_mode, "layout": layout, "device": "cpu",
        "threads": 1, "seed": 1,
    }, world)
    prepared.load([(x, y)])

    def ours() -> None:
        prepared.step()
        prepared.synchronize()

    def time_s(program: Callable[[], None]) -> float:
        torch.distributed.barrier()
        start = time.perf_counter()
        program()
        slowest = torch.tensor(time.perf_counter() - start, dtype=torch.float64)
        torch.distributed.all_reduce(slowest, torch.distributed.ReduceOp.MAX)
        return float(slowest)

    by_hand = script(options.model, x, y)
    for program in (ours, by_hand) * 4:
        time_s(program)
    coin = random.Random(options.seed)
    ratios, by_hand_s = [], []
    for _ in range(options.pairs):
        order = [ours, by_hand] if coin.random() < 0.5 else [by_hand, ours]
        times_s = {program: time_s(program) for program in order}
        ratios.append(times_s[ours] / times_s[by_hand])
        by_hand_s.append(times_s[by_hand])
    torch.distributed.barrier()
    return {"ratio": statistics.median(ratios), "by_hand_s": statistics.median(by_hand_s)}


def script(model: str, x, y) -> Callable[[], None]:
    """The loop of PyTorch's DDP tutorial, within an existing process group."""
    import torch
    from torch.nn.functional import cross_entropy
    from torch.nn.parallel import DistributedDataParallel

    from evidence.fairness.native_torch import NETWORKS

    network = DistributedDataParallel(NETWORKS[model]().to(memory_format=torch.channels_last))
    inputs, targets = torch.tensor(x).contiguous(memory_format=torch.channels_last), torch.tensor(y)
    optimizer: torch.optim.Optimizer
    if model == "mnist_cnn":
        optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    else:
        optimizer = torch.optim.SGD(network.parameters(), lr=1e-3, momentum=0.9)

    def step() -> None:
        optimizer.zero_grad()
        loss = cross_entropy(network(inputs), targets)
        loss.backward()
        optimizer.step()

    return step


if __name__ == "__main__":
    sys.exit(main())
