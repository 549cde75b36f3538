"""Series while they are being read: their points, the order of these, and the directions that a user states."""

from __future__ import annotations

import math
import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from rigmark.bench.errors import UserError, unknown
from rigmark.bench.history.series import Direction, Ended, Grounds, Series, failure, label
from rigmark.bench.host import files


@dataclass(frozen=True, kw_only=True)
class History:
    """The series of a folder, with one sentence for each file that could not be read and for each assumption."""

    series: tuple[Series, ...]
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass
class Cell:
    """A series while it is being read."""

    name: str
    case: str                            # its parameters
    unit: str
    direction: Direction
    facts: dict[str, str]
    ended: Ended | None
    failed: str                          # the reason that is stated where a value is None
    points: list[tuple[str, float, float | None, str]] = field(default_factory=list)
    """(revision, date, value, environment) of each; the value is None if it failed, and NaN if it was skipped."""


# Directions ---------------------------------------------------------------------------------------------------------


def stated_direction(higher: str | None, lower: str | None) -> Callable[[str], Direction | None]:
    """A function that gives the direction that the user stated for a series, by its label; None if none was stated."""
    patterns = [
        (is_higher, pattern(text)) for is_higher, text in ((True, higher), (False, lower)) if text is not None
    ]

    def direction(name: str) -> Direction | None:
        ways = [is_higher for is_higher, wanted in patterns if wanted.search(name)]
        if len(ways) > 1:
            raise UserError(
                f"{name} matches both --higher-is-better '{higher}' and --lower-is-better '{lower}'; narrow one of them"
            )
        return Direction(is_higher_better=ways[0], grounds=Grounds.OPTION) if ways else None

    return direction


def check_options(folder: Path, names: set[str], *texts: str | None) -> None:
    """Raises UserError if an expression of the user matches no series."""
    for text in texts:
        if text is not None and names and not any(pattern(text).search(name) for name in names):
            raise UserError(
                f"no series of {files.shown(folder)} matches '{text}' of --higher-is-better or --lower-is-better; "
                "rigmark history lists the series"
            )


def pattern(text: str) -> re.Pattern[str]:
    """The compiled regular expression of a user; raises UserError if it is invalid."""
    try:
        return re.compile(text)
    except (re.error, OverflowError, RecursionError) as error:
        raise UserError(f"'{text}' is not a regular expression: {error}") from None


# Series -------------------------------------------------------------------------------------------------------------


def finished(
    cells: Sequence[Cell], folder: Path, repository: Path, may_differ: Sequence[str], higher_is_better: str | None,
    lower_is_better: str | None,
) -> tuple[tuple[Series, ...], tuple[str, ...]]:
    """The series with their points in order, and notes. ``folder`` is what was read; see ``order`` for ``repository``.

    Raises UserError if an expression or a fact of the user is met in no series.
    """
    check_options(folder, {label(cell.name, cell.case) for cell in cells}, higher_is_better, lower_is_better)
    met = sorted({name for cell in cells for name in cell.facts})
    for name in may_differ:
        if cells and name not in met and not any(name in point[3] for cell in cells for point in cell.points):
            raise unknown("fact", name, met)
    places, notes = order(repository, {point[0] for cell in cells for point in cell.points})
    every = (series(cell, places) for cell in cells)
    return tuple(each for each in every if len(each.values) or each.failure), tuple(notes)


def commits(folder: Path) -> dict[str, float]:
    """The dates of all commits of the git repository around a folder, in seconds since 1970, in the order of history;
    none if there is no such repository."""
    try:
        listed = subprocess.run(
            ["git", "-C", str(folder), "log", "--topo-order", "--reverse", "--all", "--format=%H %ct"],
            capture_output=True, text=True, check=False,
        ).stdout.splitlines()
    except OSError:
        return {}
    return {commit: float(date_s) for commit, _, date_s in (line.partition(" ") for line in listed)}


def order(folder: Path, revisions: set[str]) -> tuple[dict[str, int], list[str]]:
    """The position of each commit in the history if git knows all of them, else nothing; and notes."""
    if not revisions:
        return {}, []
    places = {commit: place for place, commit in enumerate(commits(folder))}
    if revisions <= places.keys():
        return places, []
    missing = len(revisions - places.keys())
    are = "is" if missing == 1 else "are"
    return {}, [f"{missing} of {len(revisions)} commits {are} not in a git repository around {folder}; points are "
                "ordered by date"]


def series(cell: Cell, places: Mapping[str, int]) -> Series:
    points = sorted(cell.points, key=lambda point: (places.get(point[0], 0), point[1], point[0]))
    failed = failure([
        (revision, date_s, cell.failed if value is None else None) for revision, date_s, value, _ in points
    ])
    measured = [
        (revision, date_s, value, environment) for revision, date_s, value, environment in points
        if value is not None and math.isfinite(value)
    ]
    environments = [point[3] for point in measured]
    return Series(
        name=cell.name, case=cell.case, unit=cell.unit, direction=cell.direction, facts=cell.facts,
        values=np.array([point[2] for point in measured]), revisions=[point[0] for point in measured],
        dates_s=np.array([point[1] for point in measured]), environments=environments if any(environments) else (),
        failure=failed, ended=cell.ended, tried=[
            (revision, date_s) for revision, date_s, value, _ in points if value is None or math.isfinite(value)
        ],
    )
