"""Digits only as far as the interval carries."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rigmark.bench.document import formatting

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
        (2.1, 0.009, 90.0, "2.1 (0.0090 to 90)"),               # half-width 45: the low end is no 0
        (473.0, 52.0, 942.0, "470 (52 to 940)"),
        (1_548.0, 410.0, 9_288.0, "1,500 (410 to 9,300)"),
        (0.4, -5.0, 20.0, "0.4 (-5 to 20)"),
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


def read(shown: str) -> float:
    return float(shown.replace(",", "").replace("−", "-").removesuffix(" %"))


intervals = st.tuples(positive, positive, positive).map(sorted).map(lambda three: (three[1], three[0], three[2]))
near_one = st.floats(min_value=0.9, max_value=1.1)
ratios = st.tuples(near_one, near_one, near_one).map(sorted).map(lambda three: (three[1], three[0], three[2]))


@given(intervals | ratios, st.sampled_from([None, 1.0]))
def test_an_interval_that_is_shown_says_what_it_was(interval: tuple[float, ...], apart_from: float | None) -> None:
    """Its value lies within it, nothing positive is 0, and each of the three is right to 5 %."""
    shown = [read(text) for text in formatting.digits(*interval, apart_from=apart_from)]

    value, low, high = shown
    assert low <= value <= high
    assert all(number > 0 for number in shown)
    assert shown == pytest.approx(list(interval), rel=0.0501)


@given(ratios)
def test_an_interval_that_is_shown_is_on_the_same_side_of_one(interval: tuple[float, ...]) -> None:
    _, low, high = (read(text) for text in formatting.digits(*interval, apart_from=1.0))

    for shown, end in ((low, interval[1]), (high, interval[2])):
        assert (shown > 1, shown < 1) == (end > 1, end < 1) or abs(end - 1) < 10.0**-formatting.MOST_DIGITS


@given(intervals)
def test_digits_go_no_further_than_the_interval_carries(interval: tuple[float, ...]) -> None:
    """But for a lower end that is far below the width, which has two significant ones."""
    _, low, high = interval
    carried = formatting.carried_decimals(low, high)
    if carried is None:
        return
    for number, places in zip(interval, formatting.decimals(*interval) or (), strict=True):
        assert places <= max(carried, 1 - math.floor(math.log10(number)))


@pytest.mark.parametrize(
    ("interval", "expected"),
    [
        ((1.030, 1.026, 1.034), "+3.0 % (+2.6 to +3.4 %)"),
        ((0.0033, 0.0011, 0.01), "−99.67 % (−99.89 to −99.0 %)"),      # 300 times as fast: not a total change
        ((0.003, None, None), "−99.7 %"),
        ((1.0, None, None), "+0.0 %"),
        ((9.9, 0.9, 99.0), "+890 % (−10 to +9,800 %)"),
        ((1.02, 0.95, 2.6), "+2 % (−5 to +160 %)"),
        ((1.2, 1.0001, 1.5), "+20 % (+0.01 to +50 %)"),                # an end above 0 is not 0
    ],
)
def test_a_change_has_the_digits_of_its_ratio(interval: tuple[float | None, ...], expected: str) -> None:
    assert expected == formatting.change(*interval)


@given(st.floats(min_value=1e-6, max_value=1e6))
def test_no_change_is_called_total(ratio: float) -> None:
    for shown in (formatting.change(ratio), formatting.change(ratio, 0.9 * ratio, 1.1 * ratio).split(" % (")[0]):
        assert -100 < read(shown)


@pytest.mark.parametrize(
    ("share", "expected"), [(0.943, "94.3 %"), (0.9997, "99.97 %"), (1.0, "100 %"), (1.0001, "100 %"), (0.0, "0 %"),
                            (0.99999999, ">99.999 %"), (0.0004, "0.0400 %")],
)
def test_what_is_not_all_is_not_called_so(share: float, expected: str) -> None:
    assert expected == formatting.percent(share)


def test_whole_per_cents_have_room_at_both_ends() -> None:
    assert ["0 %", "<1 %", "1 %", "99 %", ">99 %", "100 %", "103 %"] == [
        formatting.share(part) for part in (0.0, 0.004, 0.011, 0.99, 0.997, 1.0, 1.03)
    ]


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


def test_numbers_and_lists_are_written_in_words() -> None:
    assert "65.0" == formatting.mebibytes(65 * 2**20)
    assert "94.3 %" == formatting.percent(0.943)
    assert "1 trial" == formatting.count(1, "trial")
    assert "2 processes" == formatting.count(2, "process", "processes")
    assert ["", "a", "a and b", "a, b and c"] == [formatting.listed(list("abc")[:n]) for n in range(4)]
