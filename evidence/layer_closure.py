"""How well layer times account for a step: cover, closure and overhead of real networks.

Run with ``python -m evidence.layer_closure [repetitions]``. Each case is timed and taken apart through the runner, in
processes of their own. Closure compares two processes, so it carries the machine's drift between them; cover and
overhead do not. Outside 0.90 to 1.10 a line is marked.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import pandas as pd

from bench import builds, hardware
from bench.analysis.summary import results
from bench.plan import plan
from bench.runner import Runner
from bench.spec import Sweep, Timing
from bench.store import Store

NETWORKS = {"mnist_cnn": 32, "resnet18": 8}      # and their batch
FRAMEWORKS = ("torch", "numpy")
FIGURES = ("layer_cover", "layer_closure", "layer_overhead")
ACCOUNTED = 0.90, 1.10


def measured(folder: Path, repetitions: int) -> pd.DataFrame:
    """A row of results for each network, framework and mode, with one thread."""
    sweeps = [
        Sweep(
            models=(model,), frameworks=FRAMEWORKS, compile_modes=("eager",), local_batches=(batch,), threads=(1,),
            repetitions=repetitions, layers=True, timing=Timing(max_time_s=10.0),
        )
        for model, batch in NETWORKS.items()
    ]
    store = Store(folder).create()
    with Runner(store, builds.load(), suite="layer_closure", command="python -m evidence.layer_closure") as runner:
        runner.run(plan(sweeps, cores=len(hardware.usable_cpus()), seed=1))
    return results(store.trials().table)


def line(row: pd.Series) -> str:
    name = f"{row['model']:10} {row.framework:6} {row['mode']:10} {row.local_batch:3}"
    if row.layer_cover is None:
        return f"{name}  no layer times: {row.reason or 'its layer trial gave none'}"
    is_accounted = all(ACCOUNTED[0] <= row[figure] <= ACCOUNTED[1] for figure in FIGURES)
    figures = "  ".join(f"{row[figure]:8.3f}" for figure in FIGURES)
    return f"{name}  {1000 * row.step_time_s:9.2f}  {figures}{'' if is_accounted else '  *'}"


def main() -> None:
    repetitions = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    with tempfile.TemporaryDirectory() as folder:
        table = measured(Path(folder), repetitions)
    print("network    framework mode    batch    step ms     cover   closure  overhead")
    for _, row in table.sort_values(["model", "framework", "mode"]).iterrows():
        print(line(row))


if __name__ == "__main__":
    main()
