"""Repeated measurements: the latest session gives the result, and earlier ones show whether they agree."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence, Set
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from rigmark.bench.analysis.results.summary import key
from rigmark.bench.sections.groups import EQUAL_COLUMNS, LABEL_COLUMNS, Entry, Group

CONTENDER = ("framework", *LABEL_COLUMNS)
Compared = TypeVar("Compared")


@dataclass(frozen=True, kw_only=True)
class SessionResults(Generic[Compared]):
    """Results that were compared in one session."""

    what: Compared
    alike: tuple[Hashable, ...]          # its facts without the session
    contenders: Set[Hashable]            # those that took part
    measured: Set[Hashable]              # those of them with a figure
    ended_at: str

    @classmethod
    def of_entries(
        cls, what: Compared, alike: tuple[Hashable, ...], entries: Sequence[Entry], contender: Sequence[str]
    ) -> SessionResults[Compared]:
        """``contender``: the columns that distinguish the entries."""
        return cls(
            what=what, alike=alike, contenders={key(entry.row, contender) for entry in entries},
            measured={key(entry.row, contender) for entry in entries if entry.is_measured},
            ended_at=max(str(entry.row["recorded_at"] or "") for entry in entries),
        )


def unrepeated(results: Iterable[SessionResults[Compared]]) -> list[tuple[Compared, list[Compared]]]:
    """Comparisons that no later session repeats, in the given order, each with those that it repeats, newest first.

    A session repeats a comparison if it measured all contenders of it.
    """
    alike: dict[tuple[Hashable, ...], list[SessionResults[Compared]]] = {}
    repeated: dict[int, list[Compared]] = {}
    every = list(results)
    for each in every:
        alike.setdefault(each.alike, []).append(each)
    for several in alike.values():
        standing: list[SessionResults[Compared]] = []
        for each in sorted(several, key=lambda each: each.ended_at, reverse=True):
            later = next((other for other in standing if each.contenders <= other.measured), None)
            if later is None:
                standing.append(each)
                repeated[id(each)] = []
            else:
                repeated[id(later)].append(each.what)
    return [(each.what, repeated[id(each)]) for each in every if id(each) in repeated]


def latest(groups: Sequence[Group]) -> list[Group]:
    """The groups that no later session repeats; each contains those that it repeats."""
    columns = [column for column in EQUAL_COLUMNS if column != "session"]
    by_session = unrepeated(
        SessionResults.of_entries(group, key(group.facts, columns), group.entries, CONTENDER)
        for group in groups
    )
    return [replace(group, earlier=tuple(earlier)) for group, earlier in by_session]
