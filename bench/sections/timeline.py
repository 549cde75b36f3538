"""The machine during single trials, those with findings first, as charts over time and a table."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rigmark.bench.analysis.results.summary import ALIKE_COLUMNS, is_nothing, key, rows_of
from rigmark.bench.analysis.results.telemetry_findings import FAULTS
from rigmark.bench.document import formatting
from rigmark.bench.document.document import (
    Align,
    Block,
    Cell,
    Column,
    Fold,
    Items,
    Panel,
    Paragraph,
    Row,
    Section,
    Span,
    Table,
    Timeline,
    Trace,
)
from rigmark.bench.document.identifiers import identifier
from rigmark.bench.document.language import tr, tr_later, word
from rigmark.bench.enums import TIMED, Outcome, TrialKind
from rigmark.bench.plan import axes
from rigmark.bench.sections.groups import Group
from rigmark.bench.store import stored

MOST_DOUBTED = 4             # trials with findings that are drawn
MOST_TRIALS = 8
MOST_VALUES = 200_000        # in total: half a megabyte of a page; the first trial is always drawn
MOST_POINTS = 1_600          # of one trace, more than a screen shows; longer traces keep their extremes

REGIONS = {tr_later("warm-up"): ("warm_up", "steady"), tr_later("timed steps"): ("steady", "timed")}
"""The worker's marks at the begin and end of each region, by name; see bench.telemetry.regions."""


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """How a field is drawn."""

    field: str
    title: str
    unit: str
    scale: float = 1.0           # factor from this unit to that of the field, or to that per second
    is_counter: bool = False     # drawn as its growth per second
    is_from_zero: bool = True    # whether its axis begins at 0; in other quantities small changes matter

    @property
    def head(self) -> str:
        return f"{tr(self.title)} ({tr(self.unit)})" if self.unit else tr(self.title)


QUANTITIES = (
    Quantity(field="power_w", title=tr_later("power"), unit="W"),
    Quantity(field="energy_j", title=tr_later("power, from the counter of energy"), unit="W", is_counter=True),
    Quantity(field="sm_clock_hz", title=tr_later("clock"), unit="GHz", scale=1e9, is_from_zero=False),
    Quantity(field="memory_clock_hz", title=tr_later("clock of the memory"), unit="GHz", scale=1e9, is_from_zero=False),
    Quantity(field="temperature_c", title=tr_later("temperature"), unit="°C", is_from_zero=False),
    Quantity(field="memory_temperature_c", title=tr_later("temperature of the memory"), unit="°C", is_from_zero=False),
    Quantity(field="busy_ratio", title=tr_later("busy"), unit="%", scale=0.01),
    Quantity(field="memory_busy_ratio", title=tr_later("memory busy"), unit="%", scale=0.01),
    Quantity(field="memory_used_bytes", title=tr_later("memory in use"), unit="GiB", scale=2**30),
    Quantity(field="fan_ratio", title=tr_later("fan"), unit="%", scale=0.01),
    Quantity(field="pcie_sent_bytes", title=tr_later("sent over PCIe"), unit="GB/s", scale=1e9, is_counter=True),
    Quantity(
        field="pcie_received_bytes", title=tr_later("received over PCIe"), unit="GB/s", scale=1e9, is_counter=True,
    ),
    Quantity(field="nvlink_sent_bytes", title=tr_later("sent over NVLink"), unit="GB/s", scale=1e9, is_counter=True),
    Quantity(
        field="nvlink_received_bytes", title=tr_later("received over NVLink"), unit="GB/s", scale=1e9, is_counter=True,
    ),
    Quantity(field="cpu_busy_s", title=tr_later("busy cores"), unit=tr_later("cores"), is_counter=True),
    Quantity(field="cpu_time_s", title=tr_later("cores busy for the trial"), unit=tr_later("cores"), is_counter=True),
    Quantity(
        field="cpu_steal_s", title=tr_later("cores taken by other guests"), unit=tr_later("cores"), is_counter=True,
    ),
    Quantity(
        field="cpu_pressure_s", title=tr_later("time with work waiting for a core"),
        unit="%", scale=0.01, is_counter=True,
    ),
    Quantity(
        field="run_queue_wait_s", title=tr_later("threads of the trial waiting for a core"),
        unit=tr_later("threads"), is_counter=True,
    ),
    Quantity(field="cpu_clock_hz", title=tr_later("processor's clock"), unit="GHz", scale=1e9, is_from_zero=False),
    Quantity(field="cpu_temperature_c", title=tr_later("processor's temperature"), unit="°C", is_from_zero=False),
    Quantity(field="resident_bytes", title=tr_later("memory of the trial"), unit="GiB", scale=2**30),
    Quantity(field="disk_read_bytes", title=tr_later("read from disk"), unit="MB/s", scale=1e6, is_counter=True),
    Quantity(
        field="network_receive_bytes", title=tr_later("received from the network"),
        unit="MB/s", scale=1e6, is_counter=True,
    ),
)
"""In the order of the page. Other fields are only in the file of the series."""

TROUBLES = {
    **{f"clock_events.{event}": (tr_later("clocks reduced by {cause}"), cause) for event, cause in FAULTS.items()},
    "cpu_thermal_throttles": (tr_later("clocks reduced by {cause}"), tr_later("heat")),
    "cgroup_throttled_s": (tr_later("stopped by {cause}"), tr_later("the quota of its control group")),
}
"""Fields whose rise or flag is marked on the time axis, with event and cause."""


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """A trial that is drawn, and the reason."""

    id: str
    title: str
    reason: str


def chosen(groups: Sequence[Group], results: pd.DataFrame, trials: pd.DataFrame) -> list[Chosen]:
    """Trials with telemetry: those with most findings, one per case; then the median trial of each group's fastest
    result."""
    watched = trials[trials.kind.isin(TIMED) & (trials.outcome == Outcome.OK) & trials.telemetry.notna()]
    stored = {str(trial["id"]): trial for trial in rows_of(watched) if _series_of(trial)}
    chosen_trials: dict[str, Chosen] = {}
    for _, trial_id, reason in sorted(_doubted(results), key=lambda each: each[0]):
        if trial_id in stored and len(chosen_trials) < MOST_DOUBTED:
            chosen_trials[trial_id] = Chosen(id=trial_id, title=_title(stored[trial_id]), reason=reason)
    by_case: dict[tuple[Any, ...], list[dict[Any, Any]]] = {}
    for trial in stored.values():
        by_case.setdefault(key(trial, ALIKE_COLUMNS), []).append(trial)
    for group in groups:
        members = by_case.get(key(group.measured[0].row, ALIKE_COLUMNS), []) if group.measured else []
        if members and len(chosen_trials) < MOST_TRIALS:
            members = sorted(members, key=lambda trial: float(np.median(trial["timings_s"])))
            middle = members[len(members) // 2]
            reason = tr(
                "the middle one of {trials} of the fastest here", trials=formatting.count(len(members), "trial"),
            )
            trial_id = str(middle["id"])
            chosen_trials.setdefault(trial_id, Chosen(id=trial_id, title=_title(middle), reason=reason))
    return list(chosen_trials.values())


def _doubted(results: pd.DataFrame) -> Iterator[tuple[bool, str, str]]:
    """(whether it is only suspect, id, reason) of the first trial with findings of each result, invalid ones first."""
    for stated in results.trial_findings.dropna():
        doubted = sorted(json.loads(stated), key=lambda trial: trial["validity"] != "invalid")
        for trial in doubted[:1]:
            texts = "; ".join(finding["text"] for finding in trial["findings"])
            reason = tr("{validity}: {findings}", validity=word(trial["validity"]), findings=texts)
            yield trial["validity"] != "invalid", str(trial["id"]), reason


def _title(trial: Mapping[Any, Any]) -> str:
    return tr(
        "{framework} {model} {mode} {precision}, batch {batch}, repetition {n}", framework=axes.named(trial, axes.CODE),
        model=trial["model"], mode=word(trial["mode"]), precision=trial["precision"], batch=trial["local_batch"],
        n=int(trial["repetition"]) + 1,
    )


def _series_of(trial: Mapping[Any, Any]) -> str | None:
    return stored.TELEMETRY.decode(trial["telemetry"]).series


def section(
    wanted: Sequence[Chosen], trials: pd.DataFrame, series: Mapping[str, pd.DataFrame]
) -> Section | None:
    """All trials with readings, as from bench.telemetry.series.read_parquet; None without readings."""
    by_id = {str(trial["id"]): trial for trial in trials[trials.id.isin(list(series))].to_dict("records")}
    parts: list[Section] = []
    count = 0
    for each in wanted:
        if each.id not in by_id or (parts and count > MOST_VALUES):
            continue
        watched = _Watched(by_id[each.id], series[each.id])
        panels = watched.panels()
        values = sum(len(trace.values) for panel in panels for trace in panel.traces)
        if panels and (not parts or count + values <= MOST_VALUES):
            parts.append(_part(each, watched, panels, is_open=not parts))
            count += values
    if not parts:
        return None
    timed = trials[(trials.kind == TrialKind.TIMING) & (trials.outcome == Outcome.OK)]
    count_watched = int(timed.telemetry.notna().sum())
    text = tr(
        "{trials} of {watched} that {watched:was|were} watched, those with findings first. The shaded parts are "
        "the warm-up and the timed steps; a mark at the upper edge is a time in which something slowed the machine "
        "down. All readings are in the file that is named below each chart.",
        trials=formatting.count(len(parts), "trial"), watched=count_watched,
    )
    return Section(
        id="telemetry", title=tr("What the machine did"), blocks=(Paragraph(text=text),), sections=tuple(parts)
    )


def _part(each: Chosen, watched: _Watched, panels: tuple[Panel, ...], *, is_open: bool) -> Section:
    """The panels of one trial, which fill a screen; all except the first are folded."""
    identity = identifier("telemetry", each.id)
    table = watched.table(f"table.{identity}", each.title)
    spans = watched.spans()
    drawn: tuple[Block, ...] = (
        Timeline(id=f"timeline.{identity}", title=each.title, begin_s=watched.begin_s, duration_s=watched.duration_s,
                 panels=panels, spans=spans, table=table.id),
        Items(texts=tuple(_in_words(span) for span in spans)),
    )
    return Section(id=identity, title=each.title, blocks=(
        Paragraph(text=tr("{said}.", said=f"{each.reason[:1].upper()}{each.reason[1:]}")),
        *(drawn if is_open else [Fold(title=tr("Readings over time"), blocks=drawn)]),
        Fold(title=tr("Lowest, median and highest reading of the timed steps"), blocks=(table,)),
    ))


def _in_words(span: Span) -> str:
    return tr("{label}: {begin_s:.2f} to {end_s:.2f} s", label=span.label, begin_s=span.begin_s, end_s=span.end_s)


Points = tuple[NDArray[np.float64], NDArray[np.float64]]


class _Watched:
    """The readings of a trial; times are seconds since it started."""

    def __init__(self, trial: Mapping[Any, Any], readings: pd.DataFrame):
        block = stored.TELEMETRY.decode(trial["telemetry"])
        self._series = str(block.series)
        self._names = {(each.source, each.id): each.label for each in block.devices}
        readings = readings[readings.value.notna()]
        marks = {} if is_nothing(trial.get("marks")) else json.loads(trial["marks"])
        begin_s = 1e-9 * float(readings.begin_ns.min()) if len(readings) else 0.0
        begin_s = min(begin_s, *map(float, marks.values())) if marks else begin_s
        self._marks = {name: float(at_s) - begin_s for name, at_s in marks.items()}
        self._points: dict[str, dict[str, Points]] = {}      # field, device
        # A device that is not in the record is the sampler itself.
        for (source, device, field), rows in readings.groupby(["source", "device", "field"], observed=True, sort=False):
            name = self._names.get((str(source), str(device)))
            if name is not None:
                times_s = (rows.begin_ns.to_numpy(np.float64) + rows.end_ns.to_numpy(np.float64)) * 0.5e-9 - begin_s
                self._points.setdefault(str(field), {})[name] = (times_s, rows.value.to_numpy(np.float64))
        ends = [float(times_s[-1]) for of in self._points.values() for times_s, _ in of.values()]
        self.duration_s = max([*ends, *self._marks.values()], default=0.0)

    @property
    def begin_s(self) -> float:
        """Shortly before the warm-up; earlier parts are loading and compiling."""
        warm_up_s = self._marks.get(REGIONS["warm-up"][0], 0.0)
        return max(warm_up_s - 0.25 * (self.duration_s - warm_up_s), 0.0)

    def _quantity(self, quantity: Quantity) -> dict[str, Points]:
        """The values by device, in the unit of the quantity; growth of a counter is assigned to the end of the
        interval."""
        by_device = {}
        for device, (times_s, values) in self._points.get(quantity.field, {}).items():
            if quantity.field == "energy_j" and device in self._points.get("power_w", {}):
                continue
            at_s, figures = _growth(times_s, values) if quantity.is_counter else (times_s, values)
            if len(figures):
                by_device[device] = (at_s, figures / quantity.scale)
        return by_device

    def panels(self) -> tuple[Panel, ...]:
        """Quantities that changed; the others are in the table."""
        panels = []
        for quantity in QUANTITIES:
            by_device = {name: points for name, points in self._quantity(quantity).items() if len(points[0]) > 1}
            if any(np.ptp(values) > 0 for _, values in by_device.values()):
                step_s, traces = _on_grid(by_device, self.duration_s)
                panels.append(Panel(title=tr(quantity.title), unit=tr(quantity.unit), step_s=step_s, traces=traces,
                                    is_from_zero=quantity.is_from_zero))
        return tuple(panels)

    def spans(self) -> tuple[Span, ...]:
        """Regions, then events that reduced the performance."""
        spans = [
            Span(label=tr(name), begin_s=self._marks[begin], end_s=self._marks[end])
            for name, (begin, end) in REGIONS.items() if begin in self._marks and end in self._marks
        ]
        for field, (happened, cause) in TROUBLES.items():
            text = tr(happened, cause=tr(cause))
            for device, (times_s, values) in self._points.get(field, {}).items():
                # A flag is valid until the next reading; a counter rose in the interval before the reading.
                is_flag = field.startswith("clock_events")
                is_on = values[:-1] > 0 if is_flag else np.diff(values) > 0
                spans += [
                    Span(
                        label=f"{text} ({device})", begin_s=float(times_s[a]), end_s=float(times_s[b]), is_trouble=True
                    )
                    for a, b in _runs(is_on)
                ]
        return tuple(spans)

    def table(self, identity: str, about: str) -> Table:
        begin, end = REGIONS["timed steps"]
        begin_s, end_s = self._marks.get(begin, -math.inf), self._marks.get(end, math.inf)
        rows = []
        for quantity in QUANTITIES:
            for device, (times_s, values) in self._quantity(quantity).items():
                inside = values[(times_s >= begin_s) & (times_s <= end_s)]
                figures = [float(of(inside)) if len(inside) else None for of in (np.min, np.median, np.max)]
                rows.append(Row(id=identifier(identity, quantity.field, device), cells=(
                    Cell(text=quantity.head), Cell(text=device),
                    *(Cell(text=formatting.UNKNOWN) if value is None else
                      Cell(text=formatting.significant(value, 4), value=value) for value in figures),
                    Cell(text=f"{len(inside):,}", value=float(len(inside))),
                )))
        right = Align.RIGHT
        notes = [
            tr(
                "All readings: {file} in the results folder. {sign}: none in the timed steps.", file=self._series,
                sign=formatting.UNKNOWN,
            )
        ]
        if any(len(points[0]) > MOST_POINTS for of in self._points.values() for points in of.values()):
            notes.append(tr(
                "Each line is drawn with {most:,} points at most, which include the extremes of each stretch.",
                most=MOST_POINTS,
            ))
        return Table(
            id=identity, caption=tr("Readings in the timed steps, {trial}", trial=about), rows=tuple(rows),
            notes=tuple(notes),
            columns=(
                Column(title=tr("quantity")), Column(title=tr("device")), Column(title=tr("lowest"), align=right),
                Column(title=tr("median"), align=right), Column(title=tr("highest"), align=right),
                Column(title=tr("readings"), align=right, is_detail=True),
            ),
        )


def _growth(times_s: NDArray[np.float64], values: NDArray[np.float64]) -> Points:
    """The growth of a counter per second; not known for intervals in which it was reset."""
    passed_s, grown = np.diff(times_s), np.diff(values)
    is_known = (passed_s > 0) & (grown >= 0)
    return times_s[1:][is_known], grown[is_known] / passed_s[is_known]


def _runs(is_on: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """(first index, last index + 1) of each run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], is_on.astype(np.int8), [0]])))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def _on_grid(by_device: Mapping[str, Points], duration_s: float) -> tuple[float, tuple[Trace, ...]]:
    """(step in seconds, traces) at equal steps; of several readings in a step the extremes are kept, in it and the
    next."""
    period_s = min(float(np.median(np.diff(times_s))) for times_s, _ in by_device.values())
    is_dense = duration_s / max(period_s, 1e-6) > MOST_POINTS
    places = MOST_POINTS if is_dense else max(math.ceil(duration_s / max(period_s, 1e-6)), 1) + 1
    step_s = duration_s / (places - 1) if places > 1 else max(duration_s, 1e-6)
    return step_s, tuple(
        Trace(label=device, values=tuple(_extremes(times_s, values, step_s, places, 2 if is_dense else 1).tolist()))
        for device, (times_s, values) in by_device.items()
    )


def _extremes(
    times_s: NDArray[np.float64], values: NDArray[np.float64], step_s: float, places: int, width: int
) -> NDArray[np.float64]:
    """Values at ``places`` steps; each part of ``width`` 2 has its lowest and highest value in the order of time."""
    trace = np.full(places, math.nan)
    if width == 1:
        trace[np.clip(np.rint(times_s / step_s).astype(np.int64), 0, places - 1)] = values
        return trace
    stretch = np.clip((times_s / (width * step_s)).astype(np.int64), 0, places // width - 1)
    order = np.lexsort((values, stretch))
    firsts = np.flatnonzero(np.diff(stretch[order], prepend=-1))
    lasts = np.append(firsts[1:], len(order)) - 1
    low, high = order[firsts], order[lasts]
    earlier, later = np.minimum(low, high), np.maximum(low, high)      # readings are in the order of time
    trace[width * stretch[earlier]], trace[width * stretch[later] + 1] = values[earlier], values[later]
    return trace
