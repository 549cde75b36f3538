"""Claim: PyTorch's own profiler gives each layer the time that our hooks do, forward and backward.

    .venv/bin/python -m evidence.layer_agreement --model resnet18 --batch 8

Single steps of one eager network, timed in turns by our layer times and by torch.profiler, so that drift of the
machine affects both alike. The profiler's forward time of a layer is a record_function around its module, the backward
time that of the autograd nodes with the sequence numbers of its forward operations; our hooks are not installed. A
ratio is that of the shortest turns, which are the least disturbed. Layers with less than --share of the time are left
out: the profiler takes microseconds for each operation. Ends with exit code 1 if less than --gate of the rows are
within 0.9 to 1.1.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rigmark.bench import models
from rigmark.bench.ir.weights import initial_weights, synthetic_batch
from rigmark.bench.worker import frameworks

AGREEING = 0.9, 1.1
PREFIX, SECOND_STEP = "layer: ", "second step"
BACKWARD_NODE = 1      # at::RecordScope::BACKWARD_FUNCTION

Row = tuple[str, str]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="resnet18")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--mode", default="training", choices=("training", "inference"))
    parser.add_argument("--layout", default="channels_last", choices=("channels_last", "nchw"))
    parser.add_argument("--turns", type=int, default=21)
    parser.add_argument("--share", type=float, default=0.01, help="of the time, below which a layer is left out")
    parser.add_argument("--gate", type=float, help="smallest share of the rows that have to agree")
    options = parser.parse_args()
    ours, profiled, share = measured(options)
    print(f"{'layer':<26} {'direction':<9} {'share':>6} {'ours ms':>9} {'profiler ms':>12} {'ratio':>6}")
    rows = [row for row in ours if share[row] >= options.share]
    ratios = [ours[row] / profiled[row] for row in rows]
    for row, ratio in zip(rows, ratios, strict=True):
        print(f"{row[0]:<26} {row[1]:<9} {share[row]:>6.1%} {1000 * ours[row]:>9.3f} {1000 * profiled[row]:>12.3f} "
              f"{ratio:>6.3f}{'' if agrees(ratio) else '  *'}")
    agreeing = sum(agrees(ratio) for ratio in ratios)
    print(f"{agreeing} of {len(rows)} rows above {options.share:.0%} of the time, which hold "
          f"{sum(share[row] for row in rows):.0%} of it, lie within {AGREEING[0]} to {AGREEING[1]}")
    return int(options.gate is not None and agreeing < options.gate * len(rows))


def agrees(ratio: float) -> bool:
    return AGREEING[0] <= ratio <= AGREEING[1]


def measured(options: argparse.Namespace) -> tuple[dict[Row, float], dict[Row, float], dict[Row, float]]:
    """For each layer and direction: seconds by our hooks, seconds by the profiler, and the share of all rows' time."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
    graph = models.build(options.model)
    prepared = frameworks.load("torch").prepare(graph.plain(), initial_weights(graph, seed=1), {
        "mode": options.mode, "precision": "fp32", "compile_mode": "eager", "layout": options.layout, "device": "cpu",
        "threads": 1, "seed": 1,
    })
    prepared.load([synthetic_batch(graph, options.batch, seed=1)])
    prepared.layer_times(2)
    by_profiler(prepared)
    ours, profiled = defaultdict(list), defaultdict(list)
    for _ in range(options.turns):
        prepared.step()                              # so that neither begins with what the other left in the caches
        for row in prepared.layer_times(1)["layers"]:
            ours[row["layer"], row["direction"]].append(row["time_s"])
        for each, time_s in by_profiler(prepared).items():
            profiled[each].append(time_s)
    shortest_s = {row: min(times_s) for row, times_s in ours.items()}
    all_s = sum(shortest_s.values())
    return (
        {row: time_s for row, time_s in shortest_s.items() if row[0] in graph},
        {row: min(profiled.get(row, [math.nan])) for row in shortest_s},       # not a number agrees with none
        {row: time_s / all_s for row, time_s in shortest_s.items()},
    )


def by_profiler(prepared: Any) -> dict[Row, float]:
    """Seconds of a step that torch.profiler gives to each layer in each direction."""
    from torch.profiler import ProfilerActivity, profile, record_function

    with named_layers(prepared._layers), profile(activities=[ProfilerActivity.CPU]) as profiler:
        prepared.step()                              # the first pays for what the profiler sets up
        with record_function(SECOND_STEP):
            prepared.step()
    events = sorted(profiler.events(), key=lambda event: (event.time_range.start, -event.time_range.end))
    begin = next(index for index, event in enumerate(events) if event.name == SECOND_STEP)
    totals_s: dict[Row, float] = defaultdict(float)
    layer_of: dict[int, str] = {}                    # by sequence number
    layer, end = None, 0.0                           # of the forward pass, as long as one is at work
    node_layer = None                                # of the node that ran last in the backward pass
    for event in events[begin + 1:]:
        time_s = event.time_range.elapsed_us() / 1e6
        if event.name.startswith(PREFIX):
            layer, end = event.name[len(PREFIX):], event.time_range.end
            totals_s[layer, "forward"] += time_s
        elif event.scope == BACKWARD_NODE:
            # The weights' nodes have no number, and run at once when their gradient is there.
            node_layer = layer_of.get(event.sequence_nr) if event.sequence_nr >= 0 else node_layer
            if node_layer is not None:
                totals_s[node_layer, "backward"] += time_s
        elif event.sequence_nr >= 0 and not event.name.startswith("autograd::"):
            # An operation that leaves no node carries the number of the next one that does.
            if layer is not None and event.time_range.start < end:
                layer_of[event.sequence_nr] = layer
            else:
                layer_of.pop(event.sequence_nr, None)
    return totals_s


@contextmanager
def named_layers(modules: dict[str, Any]) -> Iterator[None]:
    """Forward calls of these modules are ranges of the profiler."""
    from torch.profiler import record_function

    open_ranges, handles = [], []

    def begin(name: str) -> Any:
        def call(module: Any, inputs: Any) -> None:
            open_ranges.append(record_function(PREFIX + name))
            open_ranges[-1].__enter__()
        return call

    def end(module: Any, inputs: Any, output: Any) -> None:
        open_ranges.pop().__exit__(None, None, None)

    for name, module in modules.items():
        handles += [module.register_forward_pre_hook(begin(name)), module.register_forward_hook(end)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


if __name__ == "__main__":
    sys.exit(main())
