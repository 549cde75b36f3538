"""That a budget of time ends a sweep with whole repetitions, and that the same command goes on with the others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from rigmark.bench.builds import build as builds
from rigmark.bench.enums import Mode, TrialKind
from rigmark.bench.machine import hardware
from rigmark.bench.plan.schedule import Trial, plan
from rigmark.bench.plan.sweep import Sweep
from rigmark.bench.runner import budget as budgets
from rigmark.bench.runner.budget import Budget
from rigmark.bench.runner.runner import Runner
from rigmark.bench.store.store import Store
from tests.fakes import SHORT, Answering, make_case


class Clock:
    """A monotonic clock that moves when it is told to."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(budgets, "time", clock)
    return clock


def begun(budget: Budget, clock: Clock, each_s: list[float], proof_s: float = 0.0) -> list[int]:
    """The repetitions that begin, if each has two trials and takes this long."""
    timed = Trial(kind=TrialKind.TIMING, case=make_case())
    assert budget.fits(Trial(kind=TrialKind.PROOF, case=make_case()))
    clock.now_s += proof_s
    result = []
    for repetition, seconds in enumerate(each_s):
        for _ in range(2):
            if budget.fits(replace(timed, repetition=repetition)):
                result.append(repetition)
                clock.now_s += seconds / 2
    assert budget.fits(Trial(kind=TrialKind.LAYERS, case=make_case()))
    return result


@pytest.mark.parametrize(("seconds", "each_s", "proof_s", "expected"), [
    (None, [1e6] * 3, 0.0, [0, 1, 2]),
    (1.0, [10.0] * 3, 0.0, [0]),                 # the first always begins
    (30.0, [10.0] * 4, 0.0, [0, 1, 2]),
    (29.0, [10.0] * 4, 0.0, [0, 1]),
    (60.0, [10.0] * 4, 30.0, [0, 1, 2]),         # a proof counts, but not as part of a repetition
    (60.0, [10.0, 45.0, 1.0, 1.0], 0.0, [0, 1]), # none comes after one that did not fit
])
def test_a_repetition_begins_if_one_as_long_as_the_last_still_fits(
    clock: Clock, seconds: float | None, each_s: list[float], proof_s: float, expected: list[int],
):
    assert [number for number in expected for _ in range(2)] == begun(Budget(seconds), clock, each_s, proof_s)


def test_the_same_command_goes_on_with_the_repetitions_that_did_not_fit(tmp_path: Path):
    store = Store(tmp_path / "results").create()
    sweep = Sweep(models=("mlp",), frameworks=("torch", "numpy"), modes=(Mode.INFERENCE,), local_batches=(2,),
                  threads=(1,), repetitions=3, timing=SHORT)
    trials = plan([sweep], cores=len(hardware.usable_cpus()), seed=1)
    sizes = []
    with Runner(
        store, builds.load(tmp_path), suite="test", command="rigmark", telemetry=False, launcher=Answering()
    ) as runner:
        for _ in range(3):
            tally = runner.run(trials, budget_s=1e-9)
            sizes.append((len(tally.stored), len(tally.already_there), tally.beyond_budget))

    assert [(4, 0, 4), (2, 4, 2), (2, 6, 0)] == sizes
