"""Selects the cases of a suite that the user names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from rigmark.bench.errors import UserError
from rigmark.bench.plan import axes
from rigmark.bench.plan.sweep import Sweep

EITHER = (("local_batches", "global_batches"), ("models", "microbenchmarks"))
"""Two ways to state the batch of a sweep, and two to state what runs: naming values of one excludes the other."""


def limited(suite: str, sweeps: Sequence[Sweep], wanted: Mapping[str, Sequence[Any]]) -> tuple[Sweep, ...]:
    """The sweeps of a suite, limited axis by axis to the ``wanted`` values; sweeps without these are left out.

    Raises UserError for a value that the suite does not have, and for values that no case has together.
    """
    axes.check(wanted)
    for axis, values in wanted.items():
        there = list(dict.fromkeys(value for sweep in sweeps for value in getattr(sweep, axis)))
        what = axes.SWEPT[axis].what
        for value in values:
            if value not in there:
                raise UserError(
                    f"suite '{suite}' has no {what} {_said([value])}; it has {_said(there) or 'none'}; "
                    "with --beyond an option may name other values, which replace those of the suite"
                )
    selected = [sweep for sweep in (_limited(sweep, wanted) for sweep in sweeps) if sweep is not None]
    if not selected:
        named = " and ".join(f"{axes.SWEPT[axis].what} {_said(values)}" for axis, values in wanted.items())
        raise UserError(f"suite '{suite}' has no case with {named} together; rigmark run {suite} --dry-run shows its "
                        "cases")
    return tuple(selected)


def _limited(sweep: Sweep, wanted: Mapping[str, Sequence[Any]]) -> Sweep | None:
    others: dict[str, Any] = {}
    kept: dict[str, Any] = {
        axis: tuple(each for each in getattr(sweep, axis) if each in values) for axis, values in wanted.items()
    }
    for pair in EITHER:
        named = {axis: kept.pop(axis) for axis in pair if axis in kept}
        if named and not any(named.values()):
            return None
        others |= dict.fromkeys(pair, ()) | named if named else {}
    return replace(sweep, **kept, **others) if all(kept.values()) else None


def excluded(named: Iterable[str]) -> dict[str, tuple[()]]:
    """The axes that become empty where these replace the values of a suite."""
    there = set(named)
    return {other: () for pair in EITHER for one, other in (pair, pair[::-1]) if one in there and other not in there}


def _said(values: Iterable[Any]) -> str:
    return ", ".join("the usual" if value is None else str(value) for value in values)
