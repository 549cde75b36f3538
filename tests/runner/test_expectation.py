"""How long trials take is told from the most similar stored ones, and guessed where there is none."""

from __future__ import annotations

import pandas as pd
import pytest

from rigmark.bench.enums import TrialKind
from rigmark.bench.plan.case import Timing
from rigmark.bench.plan.schedule import Trial
from rigmark.bench.runner.expectation import expected, guess_s
from tests.fakes import make_case

LAYERS = Trial(kind=TrialKind.LAYERS, case=make_case(model="resnet18", framework="torch"), timing=Timing())
STORED = pd.DataFrame([
    ("layers", "resnet18", "torch", "ok", 10.0), ("layers", "resnet18", "torch", "timeout", 600.0),
    ("layers", "lstm", "torch", "ok", 6.0), ("layers", "lstm", "jax", "ok", 1.0), ("layers", "mlp", "jax", "ok", 1.0),
    ("timing", "resnet18", "torch", "ok", 99.0),
], columns=["kind", "model", "framework", "outcome", "wall_time_s"])


@pytest.mark.parametrize(("there", "seconds", "guessed"), [
    (STORED, 10.0, 0),
    (STORED[STORED.model != "resnet18"], 6.0, 1),
    (STORED[STORED.framework == "jax"], 1.0, 1),
    (STORED[STORED.kind == "timing"], guess_s(LAYERS), 1),
    (None, guess_s(LAYERS), 1),
])
def test_the_most_similar_trials_that_went_well_say_how_long_one_takes(
    there: pd.DataFrame | None, seconds: float, guessed: int
):
    expectation = expected([LAYERS], there)

    assert (seconds, guessed) == (expectation.seconds, expectation.guessed)


def test_a_layer_trial_is_guessed_to_take_longer_than_a_timing():
    timing = Trial(kind=TrialKind.TIMING, case=LAYERS.case, timing=LAYERS.timing)

    assert guess_s(LAYERS) == guess_s(timing) + 3.0
