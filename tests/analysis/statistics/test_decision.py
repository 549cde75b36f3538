"""When pairs allow a verdict, and how often they allow a wrong one."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from rigmark.bench.analysis.statistics.decision import (
    DELTA,
    FALSE_ALARMS,
    LOOKS,
    PILOT,
    Verdict,
    decide,
    decide_all,
    fewest_pairs,
    pairs_needed,
    visible_change,
)
from rigmark.bench.analysis.statistics.estimate import signed_rank_p

QUIET, LOUD = 0.008, 0.08    # standard deviations of pairs: turns on a core of one's own, and beside much other work


def pairs(count: int, *, slowdown: float = 1.0, spread: float = QUIET, seed: int = 0) -> list[float]:
    """ln(base / new) of pairs with heavy-tailed noise."""
    noise = np.random.default_rng(seed).standard_t(4, count) * spread / math.sqrt(2)
    return list(noise - math.log(slowdown))


@pytest.mark.parametrize("count", [1, 5, 8, 12])
def test_the_exact_test_agrees_with_scipy(count: int):
    values = pairs(count, slowdown=1.004)

    assert signed_rank_p(values) == pytest.approx(stats.wilcoxon(values, method="exact").pvalue)


def test_ties_and_zeros_never_make_a_case_clearer():
    assert signed_rank_p([0.0] * 20) == 1.0
    assert signed_rank_p([0.0, 0.01, 0.02, 0.03]) > signed_rank_p([0.005, 0.01, 0.02, 0.03])
    assert signed_rank_p([0.01, -0.01, 0.02]) > signed_rank_p([0.01, -0.009, 0.02])


@pytest.mark.parametrize(
    ("slowdown", "expected"),
    [(1.0, Verdict.SAME), (1.03, Verdict.SLOWER), (1 / 1.03, Verdict.FASTER), (1.002, Verdict.SAME)],
)
def test_quiet_pairs_are_decided_at_the_first_look(slowdown: float, expected: Verdict):
    decision = decide(pairs(LOOKS[0], slowdown=slowdown))

    assert (decision.verdict, decision.pairs, decision.about_more_pairs) == (expected, LOOKS[0], None)
    assert decision.is_final
    assert decision.speed_up is not None
    assert decision.speed_up.value == pytest.approx(1 / slowdown, rel=0.01)


def test_pairs_after_a_look_wait_for_the_next():
    """So that whoever asks after each pair, and stops when pleased, gains nothing."""
    values = pairs(15, slowdown=1.02)

    assert decide(values) == decide(values[:12])


def test_before_the_first_look_there_is_neither_interval_nor_verdict():
    decision = decide(pairs(5, slowdown=2.0))

    assert decision.verdict is Verdict.INCONCLUSIVE
    assert decision.speed_up is not None
    assert (decision.speed_up.low, decision.p_value, decision.about_more_pairs) == (None, 1.0, LOOKS[0] - 5)
    assert decide([]).speed_up is None


def test_a_pilot_tells_that_the_machine_is_too_noisy_and_what_it_could_see():
    decision = decide(pairs(PILOT, spread=LOUD), pairs_at_most=20)

    assert decision.verdict is Verdict.TOO_NOISY
    assert decision.is_final
    assert decision.visible is not None
    assert decision.visible > DELTA
    assert decide(pairs(PILOT, spread=QUIET), pairs_at_most=20).verdict is Verdict.INCONCLUSIVE


def test_noise_that_hides_a_small_change_does_not_hide_a_large_one():
    decision = decide(pairs(PILOT, spread=LOUD, slowdown=1.5), pairs_at_most=20)

    assert decision.verdict is Verdict.INCONCLUSIVE
    assert decide(pairs(16, spread=LOUD, slowdown=1.5), pairs_at_most=20).verdict is Verdict.SLOWER


def test_more_pairs_are_asked_for_where_they_would_tell():
    decision = decide(pairs(12, spread=0.035))

    assert decision.verdict is Verdict.INCONCLUSIVE
    assert decision.about_more_pairs is not None
    assert 4 <= decision.about_more_pairs <= LOOKS[-1] - 12


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_time_that_is_not_positive_and_finite_is_refused(value: float):
    with pytest.raises(ValueError, match="positive, finite"):
        decide([0.01] * 11 + [value])


def test_pairs_that_never_vary_are_the_same_or_differ():
    assert decide([0.0] * 12).verdict is Verdict.SAME
    assert decide([-0.05] * 12).verdict is Verdict.SLOWER


def test_one_clear_case_among_many_needs_more_pairs():
    """With a hundred cases, one in a hundred would be clear by chance."""
    many = {f"case {n}": pairs(12, seed=n) for n in range(100)} | {"clear": pairs(12, slowdown=1.05)}

    assert decide(many["clear"]).verdict is Verdict.SLOWER
    together = decide_all(many)
    assert together["clear"].verdict is Verdict.INCONCLUSIVE
    assert together["clear"].about_more_pairs == 24 - 12
    assert decide_all(many | {"clear": pairs(24, slowdown=1.05)})["clear"].verdict is Verdict.SLOWER
    assert fewest_pairs(len(LOOKS), 100) in range(16, 24)


def test_nothing_to_decide():
    assert decide_all({}) == {}


def test_false_alarms_of_all_looks_together_are_as_rare_as_promised():
    """Coins as signs, on noise that drifts and has wild values: no other assumption holds, and none is needed."""
    rng = np.random.default_rng(1)
    drifting = np.abs(np.cumsum(rng.standard_t(2, (3000, LOOKS[-1])), axis=1)) + 1e-9
    signed = drifting * rng.choice([-0.02, 0.02], drifting.shape)

    alarms = np.mean([
        decide(list(row)).verdict in (Verdict.FASTER, Verdict.SLOWER) for row in signed
    ])

    assert alarms <= FALSE_ALARMS + 3 * math.sqrt(FALSE_ALARMS / len(signed))


def test_a_change_of_delta_is_found_with_the_pairs_that_were_foretold():
    spread = 0.02
    needed = next(look for look in LOOKS if look >= pairs_needed(spread))
    rng = np.random.default_rng(2)

    result = [
        decide(list(rng.normal(-math.log1p(DELTA), spread, needed))).verdict is Verdict.SLOWER for _ in range(200)
    ]

    assert np.mean(result) >= 0.9
    assert visible_change(spread, needed) <= DELTA
