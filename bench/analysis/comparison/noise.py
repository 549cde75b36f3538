"""The noise of a machine: the smallest change that pairs would detect in a given time, from pairs of a build with
itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from rigmark.bench.analysis.comparison.pairs import (
    BLIND_CLOCK,
    CONTENDED,
    contention,
    idle_share,
    is_single_threaded,
    log_speed_ups,
    sides,
)
from rigmark.bench.analysis.comparison.stored_pairs import Records, groups, label_of
from rigmark.bench.analysis.comparison.verdicts import SAID
from rigmark.bench.analysis.statistics.decision import DELTA, LOOKS, Decision, decide, spread_of_pairs, visible_change
from rigmark.bench.document import formatting
from rigmark.bench.document.document import Align, Cell, Column, Document, Items, Paragraph, Row, Section, Table
from rigmark.bench.document.language import tr
from rigmark.bench.enums import Clock
from rigmark.bench.store.stored import Identity, Pair, StoredRecord

MINUTES = (1, 5, 20)
SETTLED = 0.3                # correlation of neighbouring pairs above which noise comes in phases
WILD = 3.0                   # ratio of plain to robust spread above which there are outliers


@dataclass(frozen=True, kw_only=True)
class Noise:
    """The noise of one case on this machine."""

    label: str
    clock: Clock
    pairs: int
    spread: float | None             # standard deviation of the pairs' log ratios, robust; None below 6 pairs
    seconds_per_pair: float
    visible: Mapping[int, float | None]      # minutes -> 0.03 for 3 %; None: too few pairs in that time, or not known
    decision: Decision               # of the build against itself: faster or slower would be a false alarm
    disturbances: tuple[str, ...]

    @property
    def is_blind(self) -> bool:
        """Whether a relevant change could not be detected even in the longest time."""
        visible = self.visible[MINUTES[-1]]
        return visible is None or visible > DELTA

    def plain(self) -> dict[str, Any]:
        return asdict(self)


def noise(
    label: str, case: Mapping[str, Any], pairs: Sequence[Pair], seconds_per_pair: float,
    clock: Clock = Clock.WALL,
) -> Noise:
    """The noise of the machine, from pairs of one case of a build with itself."""
    known = log_speed_ups(case, pairs, clock)
    values = known or []
    spread = spread_of_pairs(values)
    disturbances = [tr(BLIND_CLOCK)] if known is None else _disturbances(case, pairs, values, spread, clock)
    return Noise(
        label=label, clock=clock, pairs=len(values), spread=spread, seconds_per_pair=seconds_per_pair,
        visible={minutes: _visible(spread, 60 * minutes / seconds_per_pair) for minutes in MINUTES},
        decision=decide(values), disturbances=tuple(disturbances),
    )


def _visible(spread: float | None, pairs: float) -> float | None:
    reached = [look for look in LOOKS if look <= pairs]
    return None if spread is None or not reached else visible_change(spread, reached[-1])


def _disturbances(
    case: Mapping[str, Any], pairs: Sequence[Pair], values: Sequence[float], spread: float | None, clock: Clock,
) -> list[str]:
    causes = []
    if spread is None:
        causes.append(tr(
            "{pairs}, too few to tell; a larger --budget, or the same command once more, takes more",
            pairs=formatting.count(len(values), "pair"),
        ))
    ratio = contention(pairs) if is_single_threaded(case) else None
    if ratio is not None and ratio > CONTENDED and clock is Clock.WALL:
        causes.append(tr(
            "other processes take a share of the core: wall time is {ratio:.2f} times CPU time; stop them, or "
            "judge by --clock cpu", ratio=ratio,
        ))
    idle = idle_share(pairs, "new", "base")
    if idle is not None and idle > CONTENDED - 1:
        causes.append(tr("the waiting side works for {idle} of the other's turns", idle=formatting.percent(idle)))
    if spread is not None and len(values) >= LOOKS[0]:
        neighbours = np.corrcoef(np.abs(values[1:]), np.abs(values[:-1]))[0, 1] if np.ptp(values) > 0 else 0.0
        if neighbours > SETTLED:
            causes.append(tr("noise comes and goes in spells: something else runs from time to time"))
        if spread > 0 and np.std(values) / spread > WILD:
            causes.append(tr("something disturbed a few pairs, which are far from the rest; they have little weight"))
    if any(pair.design != "turns" for pair in pairs):
        causes.append(tr("both processes do not fit in memory together, so whole processes alternate"))
    return causes


def by_case(
    records: Sequence[StoredRecord], *, machine: str | None = None, clock: Clock = Clock.WALL
) -> list[Noise]:
    """The noise of every case for which these records of pairs contain pairs of a build with itself.

    Only pairs of ``machine`` are used; None: all. Of pairs with different facts, such as versions of packages, only the
    latest are used.
    """
    latest: dict[tuple[str, str], Records] = {}
    for alike in alike_records(records).values():
        key = label_of(alike[0]), alike[0].identity.machine
        if machine in (None, key[1]) and (key not in latest or _ended(latest[key]) < _ended(alike)):
            latest[key] = alike
    return [
        noise(
            label, alike[0].identity.case.plain(), [record.taken for record in alike if record.taken is not None],
            float(np.mean([record.wall_time_s for record in alike])), clock,
        )
        for (label, _), alike in latest.items()
    ]


def _ended(records: Records) -> str:
    return records[-1].recorded_at


def alike_records(records: Sequence[StoredRecord]) -> dict[str, Records]:
    """The successful pairs of a build with itself, grouped as by bench.analysis.comparison.stored_pairs."""
    return groups([
        record for record in records if record.taken is not None and _is_with_itself(record.identity)
    ])


def _is_with_itself(identity: Identity) -> bool:
    base, new = sides(identity)
    return base == new


def document(cases: Sequence[Noise], *, title: str, problems: Sequence[str] = ()) -> Document:
    """The document: a table of the changes that can be detected, and what disturbs."""
    rows = tuple(
        Row(id=each.label, cells=(
            Cell(text=each.label),
            *(Cell(text=_percent(each.visible[minutes]), value=each.visible[minutes]) for minutes in MINUTES),
            Cell(text=_percent(each.spread), value=each.spread),
            Cell(text=formatting.significant(each.seconds_per_pair, 2), value=each.seconds_per_pair),
            Cell(text=str(each.pairs)), Cell(text=tr(SAID[each.decision.verdict])),
        ))
        for each in cases
    )
    columns = (
        Column(title=tr("case")),
        *(Column(title=tr("visible in {minutes} min", minutes=minutes), align=Align.RIGHT) for minutes in MINUTES),
        Column(title=tr("spread of pairs"), align=Align.RIGHT, is_detail=True),
        Column(title=tr("a pair"), unit="s", align=Align.RIGHT, is_detail=True),
        Column(title=tr("pairs"), align=Align.RIGHT, is_detail=True),
        Column(title=tr("against itself"), is_detail=True),
    )
    disturbed = tuple(f"{each.label}: {text}" for each in cases for text in each.disturbances)
    caption = tr("Smallest change that would be detected with a probability of 95 %")
    section = Section(id="noise", title=tr("What this machine can see"), blocks=(
        Table(id="noise", caption=caption, columns=columns, rows=rows),
        *((Items(texts=disturbed),) if disturbed else (Paragraph(text=tr("No disturbance was seen.")),)),
        *((Items(texts=tuple(problems)),) if problems else ()),
    ))
    return Document(title=title, summary=(), sections=(section,))


def _percent(ratio: float | None) -> str:
    return formatting.UNKNOWN if ratio is None else formatting.percent(ratio)
