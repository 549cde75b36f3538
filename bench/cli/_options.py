"""Parses values of options: lists, whole numbers, durations. Each function raises UserError for a wrong value."""

from __future__ import annotations

import math
import re
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from rigmark.bench.devices import Device, parsed
from rigmark.bench.errors import UserError, unknown

if TYPE_CHECKING:
    from rigmark.bench.plan.axes import Swept

UNITS_S = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


def listed(option: str, text: str) -> tuple[str, ...]:
    """The values of a comma-separated list; none is empty or repeated. ``option`` is the option's name: "--batch"."""
    parts = tuple(part.strip() for part in text.split(","))
    if not all(parts):
        raise UserError(f"{option} takes values separated by commas, but one of '{text}' is empty")
    for part in parts:
        if parts.count(part) > 1:
            raise UserError(f"{option} names '{part}' twice; name each value once")
    return parts


def chosen(option: str, text: str | None) -> tuple[str, ...]:
    """As ``listed``; () if the option was left out."""
    return () if text is None else listed(option, text)


def values(swept: Swept, text: str) -> tuple[Any, ...]:
    """What a sweep is to declare, of the types that it has there; the one place where text becomes such a value."""
    return tuple(_value(swept, part) for part in listed(swept.option, text))


def _value(swept: Swept, text: str) -> Any:
    if text in swept.words:
        return swept.words[text]
    members = {str(each): each for kind in swept.types if issubclass(kind, StrEnum) for each in kind}
    if members:
        if text not in members:
            raise unknown(swept.what, text, members)
        return members[text]
    if Device in swept.types:
        return parsed(text)
    if float in swept.types:
        return number(swept.option, text, "".join(f"{word}, or " for word in swept.words))
    if int in swept.types:
        return _whole(swept.option, text)
    return text


def _whole(option: str, text: str) -> int:
    if not re.fullmatch(r"[+-]?\d{1,18}", text):
        raise UserError(f"{option} takes whole numbers separated by commas, not '{text}'")
    if int(text) < 1:
        raise UserError(f"{option} must be at least 1, not {text}")
    return int(text)


def above(option: str, number: float, unit: str = "") -> float:
    """The number itself; raises UserError unless it is finite and above 0."""
    if not 0 < number < math.inf:
        raise UserError(f"{option} must be a number above 0{unit and ' '}{unit}, not {number:g}")
    return number


def number(option: str, text: str, or_else: str = "") -> float:
    """A finite number above 0; ``or_else`` names the words that the option also takes, for the error message."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise UserError(f"{option} takes {or_else}numbers above 0, not '{text}'")
    return value


def seconds(option: str, text: str) -> float:
    """The seconds of a duration: "90s", "10m", "1.5h"."""
    match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)\s*([a-z]*)", text.strip().lower())
    if match is None or match[2] not in UNITS_S or not float(match[1]):
        raise UserError(f"{option} takes a time such as 90s, 10m or 1h, not '{text}'")
    return float(match[1]) * UNITS_S[match[2]]
