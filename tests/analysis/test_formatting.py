"""Digits only as far as the interval carries."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.analysis import formatting

positive = st.floats(min_value=1e-9, max_value=1e12)


@pytest.mark.parametrize(
    ("value", "low", "high", "expected"),
    [
        (412.338, 406.2, 419.4, "412 (406 to 419)"),
        (4.8213, 4.51, 5.19, "4.8 (4.5 to 5.2)"),
        (412.338, 398.1, 427.9, "412 (398 to 428)"),             # half-width 15: a leading 1 carries a digit more
        (12_345.0, 11_900.0, 12_800.0, "12,300 (11,900 to 12,800)"),
        (0.012345, 0.0122, 0.0125, "0.01235 (0.01220 to 0.01250)"),
        (9.96, 9.0, 11.0, "10.0 (9.0 to 11.0)"),
        (1.0, 1.0, 1.0, "1.000 (1.000 to 1.000)"),
        (4.7623, 4.7623 - 1e-15, 4.7623 + 1e-15, "4.76230 (4.76230 to 4.76230)"),
    ],
)
def test_an_interval_decides_the_digits(value: float, low: float, high: float, expected: str) -> None:
    assert expected == formatting.interval(value, low, high)


def test_an_end_that_is_above_one_is_not_rounded_to_one() -> None:
    assert "1.2x (1.0 to 1.9)" != formatting.ratio(1.2, 1.04, 1.9, ())
    assert "1.20x (1.04 to 1.90)" == formatting.ratio(1.2, 1.04, 1.9, ())
    assert "1.81x (0.9999 to 2.24)" == formatting.ratio(1.8092, 0.9999, 2.2351, ())


@given(st.tuples(positive, positive, positive).map(sorted))
def test_rounding_moves_no_end_by_more_than_a_tenth_of_the_width(three: list[float]) -> None:
    low, _, high = three
    decimals = formatting.carried_decimals(low, high)
    if decimals is None or (high - low) / high < 1e-4:
        return
    for end in (low, high):
        shown = float(formatting.number(end, decimals).replace(",", ""))
        assert abs(shown - end) <= 0.26 * (high - low)


@given(positive, st.integers(min_value=1, max_value=6))
def test_significant_digits_are_right_to_that_many(value: float, digits: int) -> None:
    shown = float(formatting.significant(value, digits).replace(",", ""))

    assert shown == pytest.approx(value, rel=0.5000001 * 10.0 ** (1 - digits))


@pytest.mark.parametrize(
    ("value", "expected"),
    [(1234.5, "1,230"), (12.34, "12.3"), (0.012345, "0.0123"), (9.996, "10.0"), (99.96, "100"), (0.0, "0"),
     (math.inf, "infinite"), (math.nan, "not a number")],
)
def test_three_digits_without_an_interval(value: float, expected: str) -> None:
    assert expected == formatting.significant(value)


def test_no_interval_shows_the_values() -> None:
    assert "411.2; 419.0" == formatting.quantity(415.0, None, None, (411.24, 419.0))
    assert "4.75x; 5.12x" == formatting.ratio(4.9, None, None, (4.751, 5.118))


@pytest.mark.parametrize(
    ("times_s", "expected"),
    [((2.0, 3.0), "s"), ((0.02,), "ms"), ((0.5e-3, 2e-3, 3e-3), "ms"), ((3e-6,), "µs"), ((2e-9, None), "ns"), ((), "s"),
     ((None, math.nan), "s")],
)
def test_one_unit_fits_a_column(times_s: tuple[float | None, ...], expected: str) -> None:
    assert expected == formatting.time_unit(times_s).name


@pytest.mark.parametrize(
    ("error", "expected"), [(4.123e-7, "4.1e-07"), (0.0, "0"), (math.inf, "infinite"), (math.nan, "not a number")]
)
def test_errors_have_two_digits(error: float, expected: str) -> None:
    assert expected == formatting.relative_error(error)


def test_words() -> None:
    assert "65.0" == formatting.mebibytes(65 * 2**20)
    assert "94.3 %" == formatting.percent(0.943)
    assert "1 trial" == formatting.count(1, "trial")
    assert "2 processes" == formatting.count(2, "process", "processes")
    assert ["", "a", "a and b", "a, b and c"] == [formatting.listed(list("abc")[:n]) for n in range(4)]
