"""What was measured again in a later session: the latest one answers, those before are asked whether they agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from bench.analysis.story.groups import EQUAL_COLUMNS, LABEL_COLUMNS, Group
from bench.analysis.summary import key

CONTENDER = ("framework", *LABEL_COLUMNS)
ALIKE = tuple(column for column in EQUAL_COLUMNS if column != "session")


def latest(groups: Sequence[Group]) -> list[Group]:
    """The groups that no later session repeats, in the order given; each holds those that it repeats.

    A session repeats a comparison if it measured everyone who took part in it.
    """
    alike: dict[tuple[Any, ...], list[Group]] = {}
    for group in groups:
        alike.setdefault(key(group.facts, ALIKE), []).append(group)
    repeated: dict[str, list[Group]] = {}
    for several in alike.values():
        standing: list[Group] = []
        for group in sorted(several, key=_ended_at, reverse=True):
            later = next((each for each in standing if _contenders(group) <= _measured(each)), None)
            if later is None:
                standing.append(group)
                repeated[group.id] = []
            else:
                repeated[later.id].append(group)
    return [replace(group, earlier=tuple(repeated[group.id])) for group in groups if group.id in repeated]


def _contenders(group: Group) -> set[tuple[Any, ...]]:
    return {key(entry.row, CONTENDER) for entry in group.entries}


def _measured(group: Group) -> set[tuple[Any, ...]]:
    return {key(entry.row, CONTENDER) for entry in group.measured}


def _ended_at(group: Group) -> str:
    return max(str(entry.row["recorded_at"] or "") for entry in group.entries)
