"""Formats numbers: with only as many digits as the interval justifies, and in a suitable unit."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rigmark.bench.document.language import tr

UNKNOWN = "–"
MIB = 2**20
MOST_DIGITS = 6              # significant digits; no clock or machine is more precise
WITHOUT_WIDTH = 4            # digits of an interval whose ends are equal
FEWEST_DIGITS = 2            # of the ends of any interval: the rounding error is at most 5 %


@dataclass(frozen=True, kw_only=True)
class Unit:
    name: str
    scale: float     # size of this unit in the base unit: 1e-3 for ms


SECONDS = (
    Unit(name="s", scale=1.0), Unit(name="ms", scale=1e-3), Unit(name="µs", scale=1e-6), Unit(name="ns", scale=1e-9)
)
PREFIXES = {"T": 1e12, "G": 1e9, "M": 1e6, "k": 1e3, "": 1.0}


def time_unit(times_s: Iterable[float | None]) -> Unit:
    """The unit for a column of times: the largest one in which their median is at least 1."""
    return _unit(times_s, SECONDS) or SECONDS[0]


def rate_unit(rates: Iterable[float | None], name: str) -> Unit:
    """The unit for a column of rates in "FLOP/s" or "B/s": "GFLOP/s", "GB/s"."""
    units = [Unit(name=f"{prefix}{name}", scale=scale) for prefix, scale in PREFIXES.items()]
    return _unit(rates, units) or units[-1]


def _unit(numbers: Iterable[float | None], units: Sequence[Unit]) -> Unit | None:
    """The suitable unit of ``units``, which begin with the largest; None if there is no number above 0."""
    known = sorted(number for number in numbers if number is not None and math.isfinite(number) and number > 0)
    if not known:
        return None
    middle = known[len(known) // 2]
    return next((unit for unit in units if middle >= unit.scale), units[-1])


def with_unit(value: float, unit: Unit, digits: int = 3) -> str:
    """A value with its unit: "12.3 ms"."""
    return f"{significant(value / unit.scale, digits)} {unit.name}"


def number(value: float, decimals: int) -> str:
    """A number with thousands separated; negative decimals round to tens, hundreds, ..."""
    if not math.isfinite(value):
        return tr("not a number") if math.isnan(value) else tr("infinite")
    rounded = round(value, decimals) + 0.0     # adding 0.0 avoids "-0"
    return f"{rounded:,.{max(decimals, 0)}f}"


def significant(value: float, digits: int = 3) -> str:
    """A number with this many significant digits: 1,230; 12.3; 0.0123."""
    if value == 0 or not math.isfinite(value):
        return number(value, 0)
    rounded = float(f"{value:.{digits - 1}e}")     # 9.996 becomes 10.0, not 10.00
    return number(rounded, digits - 1 - math.floor(math.log10(abs(rounded))))


def carried_decimals(low: float, high: float) -> int | None:
    """Decimals that an interval justifies: up to the first digit of its half-width, one more if that digit is 1.

    None if the interval has no width, or is not finite.
    """
    half = (high - low) / 2
    if not (math.isfinite(half) and half > 0):
        return None
    first_place = math.floor(math.log10(half))
    decimals = -first_place + int(half / 10.0**first_place < 2)
    return min(decimals, MOST_DIGITS - 1 - math.floor(math.log10(max(abs(low), abs(high)))))


def interval(value: float, low: float, high: float, apart_from: float | None = None) -> str:
    """A value with its interval: "412 (406 to 419)". An end that differs from ``apart_from`` is never rounded to it."""
    middle, first, last = digits(value, low, high, apart_from)
    return tr("{value} ({low} to {high})", value=middle, low=first, high=last)


def digits(value: float, low: float, high: float, apart_from: float | None = None) -> list[str]:
    """The value and both ends of its interval, with the justified digits; see ``decimals``."""
    three = (value, low, high)
    places = decimals(value, low, high, apart_from)
    if places is None:
        return [number(each, 0) for each in three]
    return [number(each, place) for each, place in zip(three, places, strict=True)]


def decimals(value: float, low: float, high: float, apart_from: float | None = None) -> list[int] | None:
    """Decimals of the value and of both ends, so that the rounded ends include it; None if not finite, or both are 0.

    All have the decimals that the half-width justifies, but at least two significant digits: in a wide interval the
    half-width is far above the lower end, which would be rounded to 0. Near 0 one digit is enough. An end that differs
    from ``apart_from`` has as many digits as are needed to distinguish it.
    """
    carried = carried_decimals(low, high)
    if carried is None:
        largest = max(abs(low), abs(high))
        if not 0 < largest < math.inf:
            return None
        carried = _decimals_of(largest, WITHOUT_WIDTH)
    three, fewest = (value, low, high), FEWEST_DIGITS if low > 0 else 1

    def places(carried: int) -> list[int]:
        return [max(carried, _decimals_of(each, fewest)) if each else carried for each in three]

    digits = places(carried)
    ends = list(zip(three[1:], digits[1:], strict=True))
    if any(round(end, place) == apart_from != end for end, place in ends):
        digits = places(carried + 1)      # for all three; if that is not enough, only the end gets more
        digits[1:] = [_apart(end, place, apart_from) for end, place in zip(three[1:], digits[1:], strict=True)]
    middle, first, last = (round(each, place) for each, place in zip(three, digits, strict=True))
    return digits if first <= middle <= last else [max(digits)] * 3


def _decimals_of(value: float, digits: int) -> int:
    """Decimals that show a number other than 0 with this many significant digits."""
    return digits - 1 - math.floor(math.log10(abs(value)))


def _apart(end: float, decimals: int, apart_from: float | None) -> int:
    """``decimals``, or as many as are needed to distinguish the end of an interval from ``apart_from``."""
    while decimals < MOST_DIGITS and round(end, decimals) == apart_from != end:
        decimals += 1
    return decimals


def change(ratio: float, low: float | None = None, high: float | None = None) -> str:
    """The change of a positive ratio from 1, in per cent: "+3.0 % (+2.6 to +3.4 %)".

    It has as many digits as the ratio justifies, so that a change is never rounded to −100 % ("−99.7 %"), nor an end of
    the interval to no change.
    """
    if low is None or high is None:
        return f"{_signed(ratio, max(1, _decimals_of(100 * ratio, 1)))} %"
    three = (ratio, low, high)
    places = decimals(100 * ratio, 100 * low, 100 * high, apart_from=100.0) or [1] * 3
    # A change below 100 % is given to a whole per cent at least.
    middle, first, last = (
        _signed(each, max(place, 0) if each < 2 else place) for each, place in zip(three, places, strict=True)
    )
    return tr("{value} ({low} to {high})", value=f"{middle} %", low=first, high=f"{last} %")


def _signed(ratio: float, decimals: int) -> str:
    """The change in per cent, with its sign."""
    words = number(round(100 * ratio, decimals) - 100, decimals)
    return ("" if words.startswith("-") or ratio < 1 else "+") + words.replace("-", "−")


def centre(value: float, low: float | None, high: float | None) -> str:
    """The value alone, with the digits that its interval justifies; three significant digits without an interval."""
    places = None if low is None or high is None else decimals(value, low, high)
    return significant(value) if places is None else number(value, places[0])


def values(single: Sequence[float]) -> str:
    """The values of single trials, with one more digit to distinguish them: "412.3; 419.0"."""
    return "; ".join(significant(value, 4) for value in single)


def quantity(value: float, low: float | None, high: float | None, single: Sequence[float]) -> str:
    """A value with its interval; without one, the values of the single trials."""
    if low is None or high is None:
        return values(single)
    return interval(value, low, high)


def ratio(value: float, low: float | None, high: float | None, single: Sequence[float]) -> str:
    """A speed-up: "4.8x (4.5 to 5.2)"; without an interval, that of each pair: "4.75x; 5.12x"."""
    if low is None or high is None:
        return "; ".join(times(value) for value in single)
    middle, first, last = digits(value, low, high, 1.0)
    return tr("{value} ({low} to {high})", value=tr("{n}x", n=middle), low=first, high=last)


def times(value: float, digits: int = 3) -> str:
    """A ratio: "4.8x"."""
    return tr("{n}x", n=significant(value, digits))


def money(amount: float) -> str:
    """An amount as it was entered, to six digits: "16,904", "0.6"."""
    return number(amount, 0) if abs(amount) >= 1e6 else f"{amount:,.6g}"


def mebibytes(size: float) -> str:
    return significant(size / MIB)


def relative_error(error: float) -> str:
    """A relative error with two digits: "4.1e-07"."""
    return f"{error:.1e}" if error and math.isfinite(error) else number(error, 0)


def percent(share: float) -> str:
    """A share with three digits, "94.3 %", and more if it would be rounded to 100: "99.97 %", at most ">99.999 %"."""
    for digits in range(3, MOST_DIGITS):
        if not share < 1 or float(f"{share:.{digits - 1}e}") < 1:
            return f"{significant(100 * share, digits)} %"
    return ">99.999 %"


def share(part: float) -> str:
    """A share in whole per cent, since one trial justifies no more digits: "41 %", "<1 %", ">99 %"."""
    if not math.isfinite(part):
        return UNKNOWN
    if 0 < part < 0.01:
        return "<1 %"
    return ">99 %" if 0.995 <= part < 1 else f"{number(100 * part, 0)} %"


def count(number_of: int, noun: str, plural: str | None = None) -> str:
    """A number with its noun: "1 trial", "2 trials"; catalogues of languages have "{n} trials" for any number."""
    many = f"{{n}} {plural or noun + 's'}"
    translated = tr(many)
    return f"{number_of:,} {noun}" if translated == many and number_of == 1 else translated.format(n=f"{number_of:,}")


def listed(words: Sequence[str]) -> str:
    """The words as an enumeration: "a", "a and b", "a, b and c"."""
    if len(words) < 2:
        return "".join(words)
    return tr("{others} and {last}", others=tr(", ").join(words[:-1]), last=words[-1])
