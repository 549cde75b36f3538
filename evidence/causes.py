"""The causes that ``rigmark ab`` tells of slowdowns that were put into one side.

    .venv/bin/python -m evidence.causes --seeds 20 --framework numpy --step-time 0.004
    .venv/bin/python -m evidence.causes --seeds 100 --simulated      # profiles from a random generator, no process

Each seed draws a kind of slowdown, and where it is: a layer that works or sleeps more (in the worker package of the new
side), a variable of one build, one side that is stopped now and then as a CPU quota does it, or nothing. A cause is
right if it is of that kind; for a layer, if it names that layer and no other. "not located" is not right, and not
wrong either: wrong is another layer or kind.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from rigmark.bench import models
from rigmark.bench.ab.contest import Contest, Side
from rigmark.bench.analysis.causes import layers
from rigmark.bench.analysis.causes.cause import Kind
from rigmark.bench.analysis.comparison.verdicts import SAID, CaseVerdict, change_of
from rigmark.bench.analysis.layers.layers import UNATTRIBUTED
from rigmark.bench.analysis.statistics.decision import Verdict
from rigmark.bench.builds import worker_package
from rigmark.bench.builds.build import Build
from rigmark.bench.enums import Mode
from rigmark.bench.machine.hardware import load_average
from rigmark.bench.plan.case import Timing
from rigmark.bench.plan.sweep import Sweep
from rigmark.bench.runner.tally import Silent
from rigmark.bench.store.store import Store

TIMING = Timing(min_timings=20, min_time_s=0.3, max_time_s=3.0, warm_up_max_s=0.5)
STOPPED = Path(__file__).parent / "stopped_work"
VARIABLES = {
    "numpy": {"OPENBLAS_CORETYPE": "Prescott"}, "torch": {"ATEN_CPU_CAPABILITY": "default"},
    "jax": {"XLA_FLAGS": "--xla_backend_optimization_level=0 --xla_cpu_use_thunk_runtime=false"},
}
"""That make a framework slower; JAX's decide how it compiles."""
SLOWER_LAYER = {
    "numpy": """
_operation = Network._operation


def _with_slower_layer(self, layer, masks, statistics):
    operation = _operation(self, layer, masks, statistics)
    if layer["name"] == {layer!r}:
        operation.forward = _slower(operation.forward)
    return operation


Network._operation = _with_slower_layer
""",
    "torch": """
_prepare = prepare


def prepare(*arguments):
    network = _prepare(*arguments)
    module = network._layers[{layer!r}]
    module.forward = _slower(module.forward)
    return network
""",
}
SLOWER = """

def _slower(forward):
    import time

    def slower(*inputs):
        output = forward(*inputs)
        {work}
        return output

    return slower

"""
WORK = """until = time.perf_counter() + {extra_s!r}
        while time.perf_counter() < until:
            pass"""
SLEEP = "time.sleep({extra_s!r})"
RIGHT = {
    "layer": {Kind.LAYER}, "sleep": {Kind.LAYER}, "variable": {Kind.SIDES, Kind.COMPILATION}, "stopped": {Kind.MACHINE},
}


@dataclass(frozen=True, kw_only=True)
class Slowdown:
    """What is done to the new side."""

    name: str                    # a key of RIGHT, or "none"
    new: Side
    layer: str = ""


SIMULATED_S = {
    "conv1": 4e-3, "relu1": 2e-4, "conv2": 6e-3, "relu2": 1e-4, "dense": 1e-3, UNATTRIBUTED: 5e-4,
}
"""Seconds of the rows of a simulated step."""
NOISES = ((0.01, 0.03), (0.02, 0.05), (0.05, 0.1))       # of a row, and of a whole process


def simulated(seeds: Sequence[int]) -> Iterator[str]:
    """Lines: how often the layer with a loss of 5 to 30 % of a step is named, and how often one where all have it."""
    names, base_s = [*SIMULATED_S], np.array([*SIMULATED_S.values()])
    rows = tuple((name, None if name == UNATTRIBUTED else "forward") for name in names)
    for noise, drift in NOISES:
        counts: Counter[str] = Counter()
        for seed in seeds:
            coin, rng = random.Random(seed), np.random.default_rng(seed)
            layer = coin.choice([place for place, name in enumerate(names) if name != UNATTRIBUTED])
            loss_s = coin.uniform(0.05, 0.3) * float(base_s.sum())
            in_one = base_s + loss_s * (np.arange(len(names)) == layer)
            for kind, new_s in (("one layer", in_one), ("all layers", base_s * (1 + loss_s / base_s.sum()))):
                base, new = (times_s * np.exp(
                    rng.normal(0, drift, (layers.PAIRS, 1)) + rng.normal(0, noise, (layers.PAIRS, len(names)))
                ) for times_s in (base_s, new_s))
                place = layers.place(layers.Profiles(rows=rows, base=base, new=new), loss_s)
                said = [each.layer for each in place.located]
                is_right = said == [names[layer]] if kind == "one layer" else place.is_spread
                counts[f"{kind}: {'right' if is_right else 'wrong' if said else 'not located'}"] += 1
        told = ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
        yield f"noise of a row {noise:.0%}, of a process {drift:.0%}: {told}"


def drawn(seed: int, options: argparse.Namespace) -> Slowdown:
    """The slowdown of a seed; work and sleep take 10 to 40 % of a step."""
    coin = random.Random(seed)
    name = coin.choice(options.kinds.split(","))
    build = Build(name=f"new-{seed}", interpreter=sys.executable)
    layer = coin.choice([each.name for each in models.build(options.model).layers])
    if name in ("layer", "sleep"):
        extra_s = coin.uniform(0.1, 0.4) * options.step_time
        path = f"frameworks/{options.framework}/adapter.py"
        work = (WORK if name == "layer" else SLEEP).format(extra_s=extra_s)
        added = SLOWER.format(work=work) + SLOWER_LAYER[options.framework].format(layer=layer)
        files = {**worker_package.files(), path: worker_package.files()[path] + added.encode()}
        return Slowdown(name=name, layer=layer, new=Side(name="new", build=build, shipped=files))
    variables = {
        "variable": VARIABLES[options.framework],
        "stopped": {"PYTHONPATH": str(STOPPED), "RIGMARK_STOPPED": f"{coin.uniform(0.15, 0.4):.2f}"}, "none": {},
    }[name]
    return Slowdown(name=name, new=Side(name="new", build=replace(build, variables=variables)))


def answered(put_in: Slowdown, case: CaseVerdict) -> str:
    """Whether the cause is "right", "wrong", or "not located"."""
    if case.cause is None:
        if put_in.name == "none":
            return "right" if case.verdict not in (Verdict.SLOWER, Verdict.FASTER) else "wrong"
        return "no verdict"
    if case.cause.kind in (Kind.NOT_LOCATED, Kind.SPREAD):
        return "not located"
    named = {each.layer for each in case.cause.located}
    is_right = case.cause.kind in RIGHT.get(put_in.name, ()) and (not put_in.layer or named == {put_in.layer})
    return "right" if is_right else "wrong"


def row(seed: int, options: argparse.Namespace) -> str:
    """Measures and prints one seed; returns what ``answered`` says."""
    put_in = drawn(seed, options)
    sweep = Sweep(
        models=(options.model,), frameworks=(options.framework,), modes=(Mode.INFERENCE,),
        local_batches=(options.batch,), threads=(1,), timing=TIMING,
    )
    base = Side(name="base", build=Build(name="base", interpreter=sys.executable))
    contest = Contest(
        Store(options.results).create(), base, put_in.new, [sweep], suite="causes",
        command="python -m evidence.causes", session=f"{seed}", budget_s=options.budget, deadline_s=120.0,
    )
    load, started = load_average(), time.monotonic()
    (case,) = contest.run(Silent()).cases
    answer = answered(put_in, case)
    print(
        f"{seed:>4} {' '.join(filter(None, (put_in.name, put_in.layer))):<24} {SAID[case.verdict]:<13} {answer:<12} "
        f"{time.monotonic() - started:>4.0f} {load or 0:>5.1f}  {change_of(case)}. "
        f"{case.cause.text if case.cause else case.reason or ''}", flush=True,
    )
    return answer


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--framework", default="numpy")
    parser.add_argument("--model", default="mnist_cnn")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--simulated", action="store_true")
    parser.add_argument("--step-time", type=float, default=0.004, help="seconds of a step, for the slowdowns")
    parser.add_argument("--kinds", default="layer,sleep,variable,stopped,none")
    parser.add_argument("--budget", type=float, default=90.0)
    parser.add_argument("--results", type=Path, default=Path("causes-results"))
    options = parser.parse_args()
    if options.simulated:
        for line in simulated(range(options.first, options.first + options.seeds)):
            print(line, flush=True)
        return 0
    print(f"{'seed':>4} {'put in':<24} {'verdict':<13} {'answer':<12} {'s':>4} {'load':>5}  cause")
    counts: Counter[str] = Counter()
    for seed in range(options.first, options.first + options.seeds):
        counts[row(seed, options)] += 1
    print(", ".join(f"{count} {answer}" for answer, count in sorted(counts.items())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
