"""Do layer times account for the step? Gate: cover 0.95 to 1.02, closure 0.90 to 1.10 for convolutional networks.

The runner times each case and profiles its layers, in separate processes, and a line is printed for it: cover, closure
and overhead of the layers, and the share of convolutions. Closure compares two processes, so it contains the drift of
the machine between them; cover and overhead do not. So a case is measured in several sessions, its two processes one
right after the other, with alternating order, and the medians over the sessions are shown and judged; closure is shown
with its range. Values outside the gate are marked. Records stay in the results folder and are not measured again.

Run: .venv/bin/python -m evidence.layer_closure [--model alexnet,resnet18] [--batch 1,32] [--compile-mode best,compiled]
     [--framework torch,tensorflow,jax] [--sessions 5] [--results layer-results]
Ends with exit code 1 if the gate is not met: convolutional networks, batch 32, torch eager, TensorFlow and JAX. A gated
case without layer times does not meet it. The layers of inference in JAX are profiled in another program than the timed
one, which keeps an operation for each convolution.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from rigmark.bench.analysis.results.summary import results
from rigmark.bench.builds import build
from rigmark.bench.builds.worker_package import code_version, files
from rigmark.bench.cli._options import values
from rigmark.bench.enums import OF_SAMPLES, Layout, StartMethod, TrialKind
from rigmark.bench.machine import hardware
from rigmark.bench.plan.axes import SWEPT
from rigmark.bench.plan.case import Timing
from rigmark.bench.plan.schedule import plan
from rigmark.bench.plan.sweep import Sweep
from rigmark.bench.runner.runner import Runner
from rigmark.bench.store.store import Store
from rigmark.bench.store.stored import LayerRow

MODELS = "alexnet,vgg16,resnet18,resnet50,lstm"
CASE = ("model", "framework", "compile_mode", "mode", "local_batch")
COVER, CLOSURE = (0.95, 1.02), (0.90, 1.10)
GATED_BATCH, GATED_MODES = 32, {"torch": "eager", "tensorflow": "compiled", "jax": "xla"}
BRIEF = Timing(
    start_method=StartMethod.FORKSERVER, min_timings=3, min_time_s=5.0, max_time_s=6.0, warm_up_max_s=0.5
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=MODELS)
    parser.add_argument("--framework", default=",".join(GATED_MODES))
    parser.add_argument("--compile-mode", default="best")
    parser.add_argument("--batch", default="1,32")
    parser.add_argument("--sessions", type=int, default=5)
    parser.add_argument("--results", type=Path, default=Path("layer-results"))
    options = parser.parse_args()
    sweeps = [
        Sweep(
            models=(model,), frameworks=(framework,), modes=(mode,), layouts=(Layout.CHANNELS_LAST,),
            compile_modes=values(SWEPT["compile_modes"], options.compile_mode), local_batches=(batch,), repetitions=1,
            layers=True, timing=BRIEF,
        )
        for batch in map(int, options.batch.split(",")) for model in options.model.split(",")
        for framework in options.framework.split(",") for mode in OF_SAMPLES
    ]
    store = Store(options.results).create()
    for session in range(options.sessions):
        measure(sweeps, session, store)
    trials = store.trials().table
    trials = trials[trials.code_version == code_version(files())]       # what earlier code measured stays in the folder
    print("model             framework           mode      batch   step ms  cover  closure  lowest to highest  "
          "overhead sessions  conv share")
    gated, missed = 0, 0
    for case, sessions in results(trials).groupby(list(CASE)):
        facts = dict(zip(CASE, case, strict=True))
        text, is_within = line(facts, sessions, store, trials)
        print(text)
        gated += is_gated(facts)
        missed += is_gated(facts) and not is_within
    print(f"{gated - missed} of {gated} gated cases lie within")
    return int(missed > 0)


def measure(sweeps: Sequence[Sweep], session: int, store: Store) -> None:
    """Every case once: timed and right after it taken apart, and the other way round in each second session."""
    with Runner(
        store, build.load(), suite="layer_closure", command="python -m evidence.layer_closure", session=f"{session}"
    ) as runner:
        for sweep in sweeps:
            trials = plan([sweep], cores=len(hardware.usable_cpus()), seed=1)
            proofs = [trial for trial in trials if trial.kind == TrialKind.PROOF]
            others = [trial for trial in trials if trial.kind != TrialKind.PROOF]
            runner.run([*proofs, *(others if session % 2 == 0 else reversed(others))])


def line(case: dict[str, Any], sessions: pd.DataFrame, store: Store, trials: pd.DataFrame) -> tuple[str, bool]:
    """A line of the table, and whether the case lies within."""
    name = (f"{case['model']:17} {case['framework'] + ' ' + case['compile_mode']:19} {case['mode']:10} "
            f"{case['local_batch']:4}")
    closed = sessions[sessions.layer_closure.notna()]
    if closed.empty:
        return f"{name}  no layer times: {sessions.iloc[0].reason or 'see its layer trial'}", False
    step_s, cover, closure, overhead = (
        float(closed[column].median()) for column in ("step_time_s", "layer_cover", "layer_closure", "layer_overhead")
    )
    is_within = COVER[0] <= cover <= COVER[1] and CLOSURE[0] <= closure <= CLOSURE[1]
    ends = f"{closed.layer_closure.min():.3f} to {closed.layer_closure.max():.3f}"
    figures = f"{1000 * step_s:9.1f} {cover:6.3f} {closure:8.3f} {ends:>18} {overhead:9.3f} {len(closed):9}"
    share = conv_share(store, trials, case)
    shown = "" if share is None else f" {share:11.0%}"
    return f"{name} {figures}{shown}{'' if is_within else '  *'}", is_within


def is_gated(case: dict[str, Any]) -> bool:
    return bool(
        case["model"] != "lstm" and case["local_batch"] == GATED_BATCH
        and GATED_MODES.get(case["framework"]) == case["compile_mode"]
    )


def conv_share(store: Store, trials: pd.DataFrame, case: dict[str, Any]) -> float | None:
    """Of the time of all layers, the median over this case's layer trials."""
    profiled = trials[(trials.kind == TrialKind.LAYERS) & (trials.outcome == "ok")]
    profiled = profiled[(profiled[list(CASE)] == pd.Series(case)).all(axis=1)]
    profiles = [profile for trial in profiled.id if (profile := store.get(trial).layers) is not None]
    shares = [layers_by_op(profile.rows).get("conv2d", 0.0) for profile in profiles]
    return statistics.median(shares) if shares else None


def layers_by_op(rows: Sequence[LayerRow]) -> dict[str, float]:
    """Share of each operation in the time of all rows that are layers."""
    total = sum(row.time_s for row in rows if row.op)
    ops = {row.op for row in rows if row.op}
    return {op: sum(row.time_s for row in rows if row.op == op) / total for op in ops}


if __name__ == "__main__":
    sys.exit(main())
