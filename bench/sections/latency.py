"""The latency of single steps: the distribution of timings in words, boxes and a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rigmark.bench.analysis.results.summary import ALIKE_COLUMNS, FEWEST_FOR_P99, key, rows_of
from rigmark.bench.analysis.results.validity import without_invalid
from rigmark.bench.analysis.statistics.estimate import median
from rigmark.bench.document import formatting
from rigmark.bench.document.document import Align, Cell, Column, Paragraph, Row, Section, Spread, Spreads, Table
from rigmark.bench.document.identifiers import identifier
from rigmark.bench.document.language import tr
from rigmark.bench.enums import Outcome, TrialKind
from rigmark.bench.sections.groups import Entry, Group
from rigmark.bench.worker import strategies

QUANTILES = {"p5": 0.05, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p95": 0.95, "p99": 0.99, "p99.9": 0.999}
FEWEST_FOR_P999 = 1000       # timings; with fewer the 99.9th percentile is the largest of them


@dataclass(frozen=True, kw_only=True)
class Latencies:
    """The timings of single steps of one result, by process."""

    entry: Entry
    processes_s: tuple[NDArray[np.float64], ...]

    @cached_property
    def quantiles_s(self) -> dict[str, float]:
        """The quantiles by the names of QUANTILES."""
        values = np.quantile(np.concatenate(self.processes_s), list(QUANTILES.values()))
        return dict(zip(QUANTILES, values.tolist(), strict=True))

    @property
    def count(self) -> int:
        return sum(len(times_s) for times_s in self.processes_s)

    @property
    def longest_s(self) -> float:
        return max(float(np.max(times_s)) for times_s in self.processes_s)

    @property
    def medians_s(self) -> tuple[float, float]:
        """The lowest and the highest median of the processes."""
        medians = [median(times_s) for times_s in self.processes_s]
        return min(medians), max(medians)


def section(groups: Sequence[Group], trials: pd.DataFrame) -> Section | None:
    """One subsection per group whose steps were timed singly; None if there is none."""
    timings = _timings(trials)
    by_group = [
        (group, several) for group in groups
        if group.facts["steps_per_timing"] == 1 and (several := _latencies(group, timings))
    ]
    if not by_group:
        return None
    text = tr(
        "Each box holds the middle half of all timings, the line 90 % of them; the thick mark is the median (p50), the "
        "thin one p99, the ring the longest step. Equal distances are equal ratios. Steps of one process are not "
        "independent, so there is no interval; the column beside p50 shows how far the processes differ."
    )
    return Section(
        id="latency", title=tr("Latency"), blocks=(Paragraph(text=text),),
        sections=tuple(_group(group, several) for group, several in by_group),
    )


def _timings(trials: pd.DataFrame) -> dict[tuple[Any, ...], list[NDArray[np.float64]]]:
    """Timings by process, for each group of equal trials; per trial if each is a result by itself."""
    measured = without_invalid(trials[(trials.kind == TrialKind.TIMING) & (trials.outcome == Outcome.OK)])
    timings: dict[tuple[Any, ...], list[NDArray[np.float64]]] = {}
    for trial in rows_of(measured[measured.steps_per_timing == 1]):
        timings.setdefault(key(trial, ALIKE_COLUMNS), []).extend(_processes(trial))
    return timings


def _processes(trial: Mapping[Any, Any]) -> list[NDArray[np.float64]]:
    ranks = trial["rank_timings_s"]
    is_many = strategies.answers_apart(trial["strategy"]) and isinstance(ranks, list | np.ndarray)
    return [np.asarray(times_s, np.float64) for times_s in (ranks if is_many else [trial["timings_s"]])]


def _latencies(
    group: Group, timings: Mapping[tuple[Any, ...], list[NDArray[np.float64]]]
) -> list[Latencies]:
    latencies = []
    for entry in group.measured:
        processes = [times_s for times_s in timings.get(key(entry.row, ALIKE_COLUMNS), []) if len(times_s)]
        if processes:
            latencies.append(Latencies(entry=entry, processes_s=tuple(processes)))
    return latencies


def _group(group: Group, several: Sequence[Latencies]) -> Section:
    unit = formatting.time_unit(each.quantiles_s["p50"] for each in several)
    table = _table(group, several, unit)
    figure = Spreads(
        id=f"spread.{group.id}", title=tr("Latency of a step, {subject}", subject=group.subject), unit=unit.name,
        table=table.id, spreads=tuple(_spread(each, unit) for each in several),
    )
    title = f"{group.subject}{tr(': ')}{group.conditions}"
    return Section(id=f"latency.{group.id}", title=title, blocks=(figure, table))


def _spread(each: Latencies, unit: formatting.Unit) -> Spread:
    p5, p25, p50, p75, p95, p99, _ = (time_s / unit.scale for time_s in each.quantiles_s.values())
    has_tail = each.count >= FEWEST_FOR_P99
    text = f"p50 {formatting.significant(p50)}"
    return Spread(
        label=f"{each.entry.origin.mark} {each.entry.label}", low=p5, quarter=p25, middle=p50, three_quarters=p75,
        high=p95, tail=p99 if has_tail else None, largest=each.longest_s / unit.scale,
        text=text + (f", p99 {formatting.significant(p99)}" if has_tail else ""), origin=each.entry.origin,
    )


def _table(group: Group, several: Sequence[Latencies], unit: formatting.Unit) -> Table:
    def time(time_s: float) -> Cell:
        return Cell(text=formatting.significant(time_s / unit.scale), value=time_s)

    def tail(each: Latencies, name: str, fewest: int) -> Cell:
        return time(each.quantiles_s[name]) if each.count >= fewest else Cell(text=formatting.UNKNOWN)

    def between(each: Latencies) -> Cell:
        low, high = (formatting.significant(end_s / unit.scale, 4) for end_s in each.medians_s)
        return Cell(text=tr("{low} to {high}", low=low, high=high))

    right = Align.RIGHT
    names = ("p5", "p25", "p50", "p75", "p95")
    rows = tuple(
        Row(
            id=identifier("latency", group.id, each.entry.label),
            cells=(
                Cell(text=f"{each.entry.origin.mark} {each.entry.label}"),
                *(time(each.quantiles_s[name]) for name in names),
                tail(each, "p99", FEWEST_FOR_P99), tail(each, "p99.9", FEWEST_FOR_P999),
                time(each.longest_s), between(each),
                Cell(text=f"{each.count:,}", value=float(each.count)),
                Cell(text=str(len(each.processes_s)), value=float(len(each.processes_s))),
            ),
        )
        for each in several
    )
    left_out = tr(
        "Left out ({sign}): p99 below {fewest} timings and p99.9 below {fewest_of_all:,}.", sign=formatting.UNKNOWN,
        fewest=FEWEST_FOR_P99, fewest_of_all=FEWEST_FOR_P999,
    )
    return Table(
        id=f"table.latency.{group.id}",
        caption=tr(
            "Quantiles of the step's latency, {subject}, {conditions}", subject=group.subject,
            conditions=group.conditions,
        ),
        columns=(
            Column(title=tr("framework")),
            *(Column(title=name, unit=unit.name, align=right, is_detail=name in ("p5", "p25", "p75"))
              for name in (*names, "p99", "p99.9", tr("longest"))),
            Column(title=tr("p50 by process"), unit=unit.name, align=right, is_detail=True),
            Column(title=tr("timings"), align=right), Column(title="n", unit=tr("processes"), align=right),
        ),
        rows=rows, notes=(left_out,),
    )
