"""Do layer times account for the step? Gate: cover 0.95 to 1.02, closure 0.90 to 1.10 for convolutional networks.

Each case is timed and taken apart through the runner, in processes of their own, and a line is printed for it: cover,
closure and overhead of the layers, and the share of convolutions. Closure compares two processes, so it carries the
machine's drift between them; cover and overhead do not. What lies outside is marked. Records stay in the results folder
and are not made again.

Run: .venv/bin/python -m evidence.layer_closure [--model alexnet,resnet18] [--batch 1,32] [--compile-mode best,compiled]
     [--framework torch,tensorflow,jax] [--repetitions 2] [--results layer-results]
Ends with exit code 1 where the gate is not met: convolutional networks, batch 32, torch eager, TensorFlow and JAX.
JAX has been met above it in training: its layer trials run another program, with an operation for each convolution.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import pandas as pd

from bench import builds, hardware
from bench.analysis.summary import results
from bench.archive import code_version
from bench.plan import plan
from bench.runner import Runner
from bench.spec import Sweep, Timing
from bench.store import Store
from bench.words import StartMethod, TrialKind

MODELS = "alexnet,vgg16,resnet18,resnet50,lstm"
COVER, CLOSURE = (0.95, 1.02), (0.90, 1.10)
GATED_BATCH, GATED_MODES = 32, {"torch": "eager", "tensorflow": "compiled", "jax": "xla"}
BRIEF = Timing(
    start_method=StartMethod.FORKSERVER, min_timings=3, min_time_s=1.0, max_time_s=6.0, warm_up_max_s=0.5
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=MODELS)
    parser.add_argument("--framework", default=",".join(GATED_MODES))
    parser.add_argument("--compile-mode", default="best")
    parser.add_argument("--batch", default="1,32")
    parser.add_argument("--repetitions", type=int, default=2)
    parser.add_argument("--results", type=Path, default=Path("layer-results"))
    options = parser.parse_args()
    sweep = Sweep(
        models=tuple(options.model.split(",")), frameworks=tuple(options.framework.split(",")),
        compile_modes=tuple(options.compile_mode.split(",")), layouts=("channels_last",),
        local_batches=tuple(map(int, options.batch.split(","))), repetitions=options.repetitions, layers=True,
        timing=BRIEF,
    )
    store = Store(options.results).create()
    with Runner(store, builds.load(), suite="layer_closure", command="python -m evidence.layer_closure") as runner:
        runner.run(plan([sweep], cores=len(hardware.usable_cpus()), seed=1))
    trials = store.trials().table
    trials = trials[trials.code_version == code_version()]       # what earlier code measured stays in the folder
    print("model             framework           mode      batch   step ms  cover  closure  overhead  conv share")
    missed = 0
    for _, row in results(trials).sort_values(["model", "framework", "mode", "local_batch"]).iterrows():
        text, is_missed = line(row, conv_share(store, trials, row))
        print(text)
        missed += is_missed
    print(f"{missed} of the gated cases missed" if missed else "every gated case lies within")
    return int(missed > 0)


def line(row: pd.Series[Any], share: float | None) -> tuple[str, bool]:
    """A line of the table, and whether the case is gated and lies outside."""
    name = f"{row['model']:17} {row.framework + ' ' + row.compile_mode:19} {row['mode']:10} {row.local_batch:4}"
    if row.layer_cover is None:
        return f"{name}  no layer times: {row.reason or 'see its layer trial'}", False
    is_within = COVER[0] <= row.layer_cover <= COVER[1] and CLOSURE[0] <= row.layer_closure <= CLOSURE[1]
    is_gated = (
        row["model"] != "lstm" and row.local_batch == GATED_BATCH
        and GATED_MODES.get(row.framework) == row.compile_mode
    )
    figures = f"{1000 * row.step_time_s:9.1f} {row.layer_cover:6.3f} {row.layer_closure:8.3f} {row.layer_overhead:9.3f}"
    shown = "" if share is None else f" {share:10.0%}"
    return f"{name} {figures}{shown}{'' if is_within else '  *'}", is_gated and not is_within


def conv_share(store: Store, trials: pd.DataFrame, row: pd.Series[Any]) -> float | None:
    """Of the time of all layers in this case's latest layer trial."""
    same = ["model", "framework", "compile_mode", "mode", "local_batch"]
    found = trials[(trials.kind == TrialKind.LAYERS) & (trials.outcome == "ok")]
    found = found[(found[same] == row[same]).all(axis=1)]
    if found.empty:
        return None
    shares = layers_by_op(store.get(found.iloc[-1].id)["layers"]["rows"])
    return shares.get("conv2d", 0.0)


def layers_by_op(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Share of each operation in the time of all rows that are layers."""
    total = sum(row["time_s"] for row in rows if row["op"])
    ops = {row["op"] for row in rows if row["op"]}
    return {op: sum(row["time_s"] for row in rows if row["op"] == op) / total for op in ops}


if __name__ == "__main__":
    sys.exit(main())
