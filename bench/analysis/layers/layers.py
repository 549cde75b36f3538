"""Per-layer profiles: layer trials as tables, compared with the machine's limits and with each other."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from rigmark.bench.analysis.layers import roofline
from rigmark.bench.analysis.layers.roofline import NOWHERE, Peaks, Place
from rigmark.bench.analysis.results.findings import Finding, LayerFigures, layer_findings, unevenness
from rigmark.bench.analysis.results.summary import ALIKE_COLUMNS, key, rows_of
from rigmark.bench.document import formatting
from rigmark.bench.document.language import tr
from rigmark.bench.enums import Mode, Outcome, TrialKind
from rigmark.bench.plan import axes
from rigmark.bench.store import stored
from rigmark.bench.store.stored import StoredRecord

UNATTRIBUTED = "(unattributed)"      # as bench.trials.kinds.layers and bench.worker.tracing write them into records
TOO_SHORT = "(too short to time)"

SAME_COLUMNS = tuple(column for column in ALIKE_COLUMNS if column != "settings")
"""Columns in which a layer trial agrees with the timed trials of its case: all except the settings of timing."""


@dataclass(frozen=True, kw_only=True)
class LayerRow:
    """A part of a step's time: of one layer in one direction, of several fused layers, or of no layer."""

    layer: str                       # to which the time is assigned, or a name in round brackets that is not a layer
    members: tuple[str, ...]         # layers whose work it does, including its own
    op: str | None                   # None if it is not a layer
    direction: str | None            # "forward", "backward", "update"; None for the residual
    method: str                      # "in_place" or "replayed"
    time_s: float                    # per step, the median over the turns; in older records the mean over the steps
    share: float                     # share of the instrumented step
    flops: int | None
    bytes_moved: int | None          # at least
    is_told: bool                    # False if it is below the resolution of the clock
    place: Place                     # empty then

    @property
    def is_residual(self) -> bool:
        return self.layer == UNATTRIBUTED

    @property
    def name(self) -> str:
        """The name of the layer with those fused into it: "conv1 + bn1 + relu1", "conv1 + 7 more"."""
        others = [member for member in self.members if member != self.layer]
        if self.layer == TOO_SHORT:
            return tr("{layers} (too short to time)", layers=formatting.count(len(others), "layer"))
        few = others if len(others) < 3 else [tr("{n} more", n=len(others))]
        return " + ".join([self.layer, *few])


@dataclass(frozen=True, kw_only=True)
class LayerProfile:
    """The per-layer profile of one case, from its layer trial."""

    id: str                          # of the layer trial
    case: Mapping[str, Any]          # Case.plain()
    facts: Mapping[str, Any]         # framework_version, machine, session, recorded_at
    rows: tuple[LayerRow, ...]       # in the order of the step; the residual last
    step_time_s: float               # of the instrumented step: the sum of the rows
    plain_step_time_s: float         # median of the same process without instrumentation
    timed_step_time_s: float | None  # of the timed trials; None if there are none
    figures: LayerFigures
    without_kernel: tuple[str, ...]  # layers for which nothing ran in one of the directions
    peaks: Peaks
    findings: tuple[Finding, ...]


def chosen(trials: pd.DataFrame) -> pd.DataFrame:
    """The latest layer trial of each case on each machine, in the order of their first ones."""
    return _latest(trials[(trials.kind == TrialKind.LAYERS) & (trials.outcome == Outcome.OK)])


def refused(trials: pd.DataFrame) -> pd.DataFrame:
    """The failed layer trials that are the latest of their case on their machine."""
    latest = _latest(trials[trials.kind == TrialKind.LAYERS])
    return latest[latest.outcome != Outcome.OK]


def _latest(profiles: pd.DataFrame) -> pd.DataFrame:
    alike = [*axes.NAMES, "machine", "node"]
    latest = profiles.sort_values("recorded_at", kind="stable").drop_duplicates(alike, keep="last")
    return profiles.loc[sorted(latest.index)]


def read(
    trials: pd.DataFrame, results: pd.DataFrame, records: Sequence[StoredRecord]
) -> list[LayerProfile]:
    """The profiles of the ``chosen`` trials with a record here.

    ``results`` (see bench.analysis.results.summary) contain the timed trials of the same cases, and micro-benchmarks.
    """
    by_id = {record.key: record for record in records}
    is_timed = (results.kind == TrialKind.TIMING) & (results.outcome == Outcome.OK)
    timed = {key(row, SAME_COLUMNS): row["step_time_s"] for row in rows_of(results[is_timed])}
    cases = []
    limits_of: dict[tuple[Any, ...], Peaks] = {}
    for trial in rows_of(trials):
        record = by_id.get(trial["id"])
        if record is None or record.layers is None:
            continue
        conditions = {name: trial[name] for name in ("machine", "node", "device", "threads", "precision")}
        where = tuple(conditions.values())
        limits = limits_of.get(where) or roofline.peaks(results, **conditions)
        limits_of[where] = limits
        cases.append(_profile(record, record.layers, timed.get(key(trial, SAME_COLUMNS)), limits))
    return cases


def _profile(
    record: StoredRecord, profile: stored.Layers, timed_step_time_s: float | None, limits: Peaks
) -> LayerProfile:
    identity, case = record.identity, record.identity.case
    step_time_s = math.fsum(row.usual_s for row in profile.rows)
    plain_step_time_s = statistics.median(profile.plain_step_times_s)
    rows = tuple(_row(row, limits, profile.resolution_s) for row in profile.rows)
    too_short = [name for row in rows if not row.is_told for name in row.members if not _is_bracketed(name)]
    assert record.graph is not None      # since the trial is one of a network
    of_sample = record.graph.flops_per_sample
    flops = (of_sample.training if case.mode is Mode.TRAINING else of_sample.inference) * case.local_batch
    figures = LayerFigures(
        cover=profile.cover, overhead=profile.overhead, problem=profile.problem,
        closure=None if timed_step_time_s is None else profile.attributed_time_s / timed_step_time_s,
        variables=profile.variables, too_short=tuple(dict.fromkeys(too_short)),
        unevenness=unevenness(profile.step_times_s),
        of_peak=roofline.best_of_peak((row.place for row in rows), limits),
        mfu=roofline.mfu(flops, timed_step_time_s or plain_step_time_s, limits.flops_per_s),
    )
    return LayerProfile(
        id=record.key, case=case.plain(),
        facts={
            "framework_version": identity.build.framework_version, "machine": identity.machine,
            "session": identity.session, "recorded_at": record.recorded_at,
        },
        rows=rows, step_time_s=step_time_s, plain_step_time_s=plain_step_time_s, timed_step_time_s=timed_step_time_s,
        figures=figures, without_kernel=tuple(dict.fromkeys(layer for layer, _ in profile.without_kernel)),
        peaks=limits, findings=layer_findings(figures),
    )


def _row(row: stored.LayerRow, limits: Peaks, resolution_s: float | None) -> LayerRow:
    time_s = row.usual_s
    is_told = row.layer != TOO_SHORT and time_s > 0 and time_s >= (resolution_s or 0.0)
    return LayerRow(
        layer=row.layer, members=tuple(row.members), op=row.op, direction=row.direction, method=row.method,
        time_s=time_s, share=row.share, flops=row.flops, bytes_moved=row.bytes_moved, is_told=is_told,
        place=roofline.place(time_s, row.flops, row.bytes_moved, limits) if is_told else NOWHERE,
    )


# Tables -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Part:
    """Several rows added up."""

    name: str
    time_s: float
    share: float
    rows: tuple[LayerRow, ...]

    @property
    def limit_s(self) -> float | None:
        """The sum of the limits; None if one of them is not known."""
        limits = [row.place.limit_s for row in self.rows]
        return None if None in limits else math.fsum(limit for limit in limits if limit is not None)


def part(name: str, rows: Sequence[LayerRow]) -> Part:
    return Part(
        name=name, time_s=math.fsum(row.time_s for row in rows), share=math.fsum(row.share for row in rows),
        rows=tuple(rows),
    )


def by_op(rows: Sequence[LayerRow]) -> list[Part]:
    """The rows per type of operation, longest first, the residual last. A fused row has the type of its own layer."""
    names = dict.fromkeys(row.op or row.layer for row in rows)
    parts = [part(name, [row for row in rows if (row.op or row.layer) == name]) for name in names]
    return sorted(parts, key=lambda each: (each.name == UNATTRIBUTED, -each.time_s))


def by_layer(rows: Sequence[LayerRow]) -> list[Part]:
    """Each layer with all directions, in the order of the step."""
    names = dict.fromkeys(row.layer for row in rows)
    return [part(name, [row for row in rows if row.layer == name]) for name in names]


def longest(rows: Sequence[LayerRow], count: int | None = None) -> list[LayerRow]:
    """The ``count`` longest rows, all if None; without the residual."""
    return sorted((row for row in rows if not row.is_residual), key=lambda row: -row.time_s)[:count]


@dataclass(frozen=True, kw_only=True)
class Side:
    """A layer in one of several cases that are shown side by side."""

    time_s: float | None             # of its own rows, in all directions; None if it has none
    within: tuple[str, ...]          # layers whose rows include work of this one
    is_idle: bool                    # no kernel ran for it in one direction or both


def side_by_side(cases: Sequence[LayerProfile]) -> dict[str, tuple[Side, ...]]:
    """Each layer in the order of the graph, then rows that are not layers, with its side in each case."""
    layers: dict[str, None] = {}
    others: dict[str, None] = {}
    for case in cases:
        for row in case.rows:
            layers |= dict.fromkeys(member for member in row.members if not _is_bracketed(member))
            others |= dict.fromkeys([row.layer] if _is_bracketed(row.layer) else [])
        layers |= dict.fromkeys(case.without_kernel)
    order = sorted(others, key=lambda name: name == UNATTRIBUTED)
    return {name: tuple(_side(case, name) for case in cases) for name in [*layers, *order]}


def _side(case: LayerProfile, name: str) -> Side:
    own = [row for row in case.rows if row.layer == name]
    within = dict.fromkeys(row.layer for row in case.rows if row.layer != name and name in row.members)
    return Side(
        time_s=math.fsum(row.time_s for row in own) if own else None, within=tuple(within),
        is_idle=name in case.without_kernel,
    )


def _is_bracketed(name: str) -> bool:
    """Whether a name is that of a row that is not a layer; no layer of a graph has such a name."""
    return name.startswith("(")
