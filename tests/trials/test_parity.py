"""What a proof sees: each way of computing something else is named, and rounding is not."""

from __future__ import annotations

import itertools
import json
import math
from typing import Any

import numpy as np
import pytest

from rigmark.bench.enums import Precision
from rigmark.bench.trials.parity import (
    ROUNDING_ERRORS,
    ROUNDINGS,
    TOLERANCES,
    compare,
    first_loss_tolerance,
    relative_error,
    rounding_effects,
)

RNG = np.random.default_rng(3)
ORACLE: dict[str, Any] = {
    "output": RNG.standard_normal((4, 10)),
    "losses": np.array([2.3, 2.1, 1.9, 1.8, 1.7]),
    "gradient:first/weight": RNG.standard_normal((20, 30)),
    "gradient:first/bias": 1e-3 * RNG.standard_normal(20),
    "gradient:scores/weight": RNG.standard_normal((10, 20)),
}


def failures(precision: Precision = Precision.FP32, **changes: Any) -> list[str]:
    answer = {**ORACLE, **{key.replace("__", ":"): value for key, value in changes.items()}}
    return compare({k: v for k, v in answer.items() if v is not None}, ORACLE, precision).failures()


def losses(**changed: float) -> Any:
    """The oracle's losses with some replaced: loss0=..., loss1=..."""
    array = ORACLE["losses"].copy()
    for name, value in changed.items():
        array[int(name.removeprefix("loss"))] = value
    return array


def gradient(key: str, change: Any) -> dict[str, Any]:
    return {f"gradient__{key}": change}


WEIGHT = ORACLE["gradient:first/weight"]
NORM = math.sqrt(sum(float((a**2).sum()) for key, a in ORACLE.items() if key.startswith("gradient:")))


def test_equal_answers_pass():
    assert failures() == []


def test_every_output_is_compared_for_itself():
    oracle = {**ORACLE, "output:small": 1e-6 * ORACLE["output"]}

    assert compare(oracle, oracle, Precision.FP32).failures() == []
    for others in ({"output:small": 2e-6 * ORACLE["output"]}, {}):
        (failure,) = compare({**ORACLE, **others}, oracle, Precision.FP32).failures()
        assert failure.startswith("output off by")


def test_rounding_to_fp32_passes():
    rounded = {key.replace(":", "__"): value.astype(np.float32) for key, value in ORACLE.items()}

    assert failures(**rounded) == []
    assert failures(Precision.FP64, **rounded) != []


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"output": 1.0001 * ORACLE["output"]}, "output off by 0.0001 (allowed 1e-05)"),
        ({"losses": losses(loss0=2.3 * 1.0001)}, "loss off by 0.0001 (allowed 1e-05)"),
        ({"losses": losses(loss1=2.1 + 2.3e-3)}, "second loss off by 0.001 (allowed 1e-04)"),
        (gradient("first/weight", 1.01 * WEIGHT),
         f"gradient off by {0.01 * np.linalg.norm(WEIGHT) / NORM:.2g} (allowed 1e-04, worst at first/weight)"),
        (gradient("scores/weight", None), "gradient off by inf (allowed 1e-04, worst at scores/weight)"),
        (gradient("first/weight", WEIGHT.T), "gradient off by inf (allowed 1e-04, worst at first/weight)"),
        (gradient("first/bias", np.full(20, np.nan)), "gradient off by inf (allowed 1e-04, worst at first/bias)"),
        ({"output": np.full((4, 10), np.nan)}, "output off by inf (allowed 1e-05)"),
        ({"output": ORACLE["output"].T}, "output off by inf (allowed 1e-05)"),
        ({"output": ORACLE["output"][:1]}, "output off by inf (allowed 1e-05)"),
        ({"losses": losses(loss0=math.nan)}, "loss off by inf (allowed 1e-05)"),
        ({"losses": losses(loss1=math.nan)}, "second loss off by nan (allowed 1e-04)"),
        ({"losses": losses(loss1=math.inf)}, "second loss off by inf (allowed 1e-04)"),
    ],
)
def test_each_deviation_is_named(changes: dict[str, Any], named: str):
    assert failures(**changes) == [named]


def test_every_deviation_is_named_when_there_are_several():
    result = failures(output=2 * ORACLE["output"], losses=losses(loss0=1.0, loss1=1.0), **gradient("first/bias", None))

    assert [sentence.split(" off")[0] for sentence in result] == ["output", "loss", "gradient", "second loss"]


def test_later_losses_are_shown_and_not_judged():
    comparison = compare({**ORACLE, "losses": losses(loss4=9.0)}, ORACLE, Precision.FP32)

    assert comparison.failures() == []
    assert comparison.losses[4] == 9.0


def test_the_third_loss_is_judged_since_only_it_shows_what_the_optimiser_remembers():
    comparison = compare({**ORACLE, "losses": losses(loss2=9.0)}, ORACLE, Precision.FP32)

    assert [failure.partition(" off")[0] for failure in comparison.failures()] == ["third loss"]


def test_a_small_gradient_is_judged_by_the_norm_of_all():
    """A bias of a thousandth of the gradient may be off by per cents: rounding of the large ones does as much."""
    assert failures(**gradient("first/bias", 1.01 * ORACLE["gradient:first/bias"])) == []


def test_a_gradient_that_vanishes_everywhere_must_vanish():
    dead = {**ORACLE, **{key: np.zeros_like(a) for key, a in ORACLE.items() if key.startswith("gradient:")}}
    alive = {**dead, "gradient:first/bias": np.full(20, 1e-6)}

    assert compare(dead, dead, Precision.FP32).failures() == []
    assert compare(alive, dead, Precision.FP32).failures() == [
        "gradient off by inf (allowed 1e-04, worst at first/bias)"
    ]


def test_learning_by_heart_does_not_inflate_the_second_loss():
    oracle = {**ORACLE, "losses": np.array([2.3, 1e-9, 0, 0, 0])}

    assert compare({**ORACLE, "losses": np.array([2.3, 3e-9, 0, 0, 0])}, oracle, Precision.FP32).failures() == []


def test_how_it_learned_is_kept_beside_the_oracles_way():
    learning = {"learning_losses": np.array([2.3, 0.5]), "learning_accuracy": np.array(0.9)}

    comparison = compare({**ORACLE, **learning}, {**ORACLE, **learning}, Precision.FP32)
    synthetic = compare(ORACLE, ORACLE, Precision.FP32)

    assert (comparison.learning_losses, comparison.oracle_learning_accuracy) == ([2.3, 0.5], 0.9)
    assert (synthetic.learning_losses, synthetic.oracle_learning_accuracy) == (None, None)


def test_the_plain_form_is_json_even_where_nothing_is_finite():
    parity = compare({**ORACLE, "output": np.full((4, 10), np.nan), "losses": losses(loss1=math.nan, loss4=math.inf)},
                     ORACLE, Precision.FP32)

    plain = json.loads(json.dumps(parity.plain(), allow_nan=False))

    assert (plain["output_error"], plain["second_loss_error"], plain["gradient_error"]) == (None, None, 0.0)
    assert plain["losses"] == [2.3, None, 1.9, 1.8, None]


def test_relative_error_is_that_of_the_l2_norm():
    assert relative_error(np.array([3.0, 4.5]), np.array([3.0, 4.0])) == pytest.approx(0.1)
    assert relative_error(np.zeros(3), np.zeros(3)) == 0
    assert relative_error(np.ones(3), np.zeros(3)) == math.inf
    assert relative_error(np.ones((3, 1)), np.ones(3)) == math.inf
    assert relative_error(np.array([1.0, math.inf]), np.ones(2)) == math.inf


def test_a_wider_precision_allows_less():
    order = [Precision.FP64, Precision.FP32, Precision.FP16, Precision.BF16]

    for wide, narrow in itertools.pairwise(TOLERANCES[precision] for precision in order):
        assert all(getattr(wide, name) < getattr(narrow, name) for name in vars(wide))


def test_a_first_loss_may_be_off_by_rounding_and_by_what_batch_normalisation_makes_of_it():
    usual = TOLERANCES[Precision.FP32].loss

    assert usual == first_loss_tolerance(Precision.FP32, 2.5, 0.0)
    assert usual + 1e-4 == pytest.approx(first_loss_tolerance(Precision.FP32, -2.5, 2.5e-5))
    assert usual == first_loss_tolerance(Precision.FP32, 0.0, 1e-6)


def test_decisions_that_rounding_leaves_open_are_those_of_fp32():
    wrong = {**ORACLE, "gradient:first/weight": 1.01 * WEIGHT}
    oracle = {**ORACLE, "tie_gradient": np.array(0.1), "rounding_gradient": np.array(0.1)}

    assert compare(wrong, oracle, Precision.FP32).failures() == []
    assert compare(wrong, oracle, Precision.FP64).failures() != []


@pytest.mark.parametrize("precision", ROUNDINGS)
def test_a_narrow_format_may_lose_what_the_oracle_loses_in_it(precision):
    off = 8 * ROUNDINGS[precision].roundoff
    answer = {**ORACLE, "output": (1 + off) * ORACLE["output"]}
    rounded = {**ORACLE, "output": (1 + 0.5 * off) * ORACLE["output"]}
    effects = rounding_effects([ORACLE, rounded], ORACLE)

    assert compare(answer, ORACLE, precision).failures() != []
    assert compare(answer, {**ORACLE, **effects}, precision).failures() == []
    assert effects["rounding_output"] == pytest.approx(ROUNDING_ERRORS * 0.5 * off)
    assert effects["rounding_gradient"] == 0


def test_a_precision_without_training_is_judged_by_its_output():
    right = compare({"output": ORACLE["output"]}, ORACLE, Precision.INT8)
    wrong = compare({"output": 2 * ORACLE["output"]}, ORACLE, Precision.INT8)

    assert (right.failures(), list(right.errors())) == ([], ["output"])
    assert [failure.partition(" (")[0] for failure in wrong.failures()] == ["output off by 1"]
    assert (wrong.plain()["gradient_error"], wrong.plain()["losses"]) == (None, [])
