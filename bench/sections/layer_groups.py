"""Per-layer profiles of steps, in groups that may be compared side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from rigmark.bench.analysis.comparison.compare import Comparisons
from rigmark.bench.analysis.layers.layers import LayerProfile
from rigmark.bench.sections.doubts import about
from rigmark.bench.sections.groups import Group, groups


@dataclass(frozen=True, kw_only=True)
class Member:
    """A case in its group."""

    label: str
    about: str                       # in the words of a finding
    case: LayerProfile


@dataclass(frozen=True, kw_only=True)
class Together:
    """Cases that may be compared side by side, fastest first."""

    group: Group
    members: tuple[Member, ...]

    @property
    def id(self) -> str:
        return f"layers.{self.group.id}"

    @property
    def short_id(self) -> str:
        """An id for the many rows of its tables."""
        return self.members[0].case.id


def together(cases: Sequence[LayerProfile], trials: pd.DataFrame) -> list[Together]:
    """The cases in groups of equal model, mode and conditions."""
    if not cases:
        return []
    by_id = {case.id: case for case in cases}
    rows = trials[trials.id.isin(list(by_id))]
    # A few long steps may decide the instrumented mean.
    times_s = [by_id[each].timed_step_time_s or by_id[each].plain_step_time_s for each in rows.id]
    grouped = groups(rows.assign(step_time_s=times_s), rows, Comparisons({}))
    return [
        Together(
            group=group,
            members=tuple(
                Member(label=entry.label, about=about(entry, group), case=by_id[entry.row["id"]])
                for entry in group.entries
            ),
        )
        for group in grouped
    ]
