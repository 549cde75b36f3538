"""Results sorted into groups within which they may be compared, each with a short name of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from rigmark.bench.analysis.comparison.compare import Alike, Comparison, Comparisons, Repetition
from rigmark.bench.analysis.comparison.systems import known_facts
from rigmark.bench.analysis.results.summary import ALIKE_COLUMNS, is_nothing, key, rows_of
from rigmark.bench.analysis.results.validity import Validity
from rigmark.bench.document.document import Origin
from rigmark.bench.document.identifiers import identifier
from rigmark.bench.document.language import ENGLISH, speaking, tr, tr_later, word
from rigmark.bench.enums import Outcome, TrialKind
from rigmark.bench.plan import axes

EQUAL_COLUMNS = (
    *axes.CONDITIONS, "device_name", "graph_fingerprint", "machine", "node", "code_version", "start_method", "session",
)
"""Facts that are equal among results that may be compared; all others differ because the question varies them."""

RARE_COLUMNS = {
    "device_name": "", "graph_fingerprint": tr_later("graph "), "machine": tr_later("machine "),
    "node": tr_later("node "),
    "code_version": tr_later("measuring code "), "start_method": tr_later("started by "),
    "session": tr_later("session "),
}
"""Facts that are only mentioned if they distinguish groups, and the words before them."""

ORIGINS: dict[Any, Origin] = {origin.value: origin for origin in Origin}

WATCHED = {False: "off", True: "on"}

LABEL_COLUMNS = ("framework_version", *(name for name in axes.SETTINGS if name != "framework"), "device")
"""The facts that distinguish results of one framework."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One result in its group."""

    label: str                           # "torch", with as many settings as distinguish it from the others in its group
    row: Mapping[str, Any]               # of the table of results
    step_times_s: Mapping[Repetition, float]     # without invalid trials; empty if nothing was measured
    alike: Alike                                 # what its trials have in common
    comparisons: Comparisons = field(repr=False)
    state: Mapping[str, str] = field(default_factory=dict)      # of the system: {"system gpu_driver": "550"}

    @property
    def is_measured(self) -> bool:
        """True for a time measured here that is not invalid; only such results take part in verdicts."""
        return bool(self.step_times_s) and self.origin is Origin.MEASURED

    @property
    def origin(self) -> Origin:
        return origin(self.row["origin"])

    @property
    def has_figures(self) -> bool:
        return self.row["outcome"] == Outcome.OK and self.row["step_time_s"] is not None

    @property
    def is_invalid(self) -> bool:
        """True if all its trials are invalid: its time is shown, but takes no part in verdicts."""
        return self.has_figures and self.row["validity"] == Validity.INVALID

    @property
    def throughputs(self) -> list[float]:
        """The throughput of each trial, in samples per second."""
        return [self.row["global_batch"] / time_s for time_s in self.row["trial_step_times_s"] or ()]


@dataclass(frozen=True, kw_only=True)
class Group:
    """Results that may be compared, fastest first, those without a time last."""

    id: str
    facts: Mapping[str, Any]             # what they have in common
    conditions_by_column: Mapping[str, str]      # in words: {"local_batch": "batch 32", "precision": "fp32"}
    entries: tuple[Entry, ...]
    earlier: tuple[Group, ...] = ()      # sessions that this one repeats, newest first; see bench.sections.sessions

    @property
    def subject(self) -> str:
        return f"{self.facts['model']} {word(self.facts['mode'])}"

    @property
    def conditions(self) -> str:
        """All of them: "batch 32, digits data, fp32, cpu, 2 threads"."""
        return tr(", ").join(self.conditions_by_column.values())

    def conditions_without(self, column: str) -> list[str]:
        """All conditions except that of this column."""
        return [text for name, text in self.conditions_by_column.items() if name != column]

    @property
    def measured(self) -> tuple[Entry, ...]:
        return tuple(entry for entry in self.entries if entry.is_measured)

    @property
    def baseline(self) -> Entry | None:
        """The slowest of what was measured, so that every speed-up in the group is above 1; None if there is none."""
        return self.measured[-1] if self.measured else None


def versus(baseline: Entry, this: Entry) -> Comparison:
    """The comparison of two measured results."""
    comparison = this.comparisons.between(baseline.alike, this.alike)
    assert comparison is not None
    return comparison


def origin(name: Any) -> Origin:
    """Where a row comes from; a row that does not state that it was measured here counts as quoted."""
    return ORIGINS.get(name, Origin.QUOTED)


def groups(results: pd.DataFrame, trials: pd.DataFrame, comparisons: Comparisons) -> list[Group]:
    """Every result of a network in its group, sorted by model, mode and conditions; micro-benchmarks are left out.

    ``trials`` are those that the results come from, and ``comparisons`` are of them.
    """
    states = _states(trials)
    rows: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows_of(results[results.kind != TrialKind.LIMIT]):
        rows.setdefault(key(row, EQUAL_COLUMNS), []).append(row)
    usual = [column for column in EQUAL_COLUMNS if column not in RARE_COLUMNS]
    twins: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for members in rows.values():
        twins.setdefault(key(members[0], usual), []).append(members[0])
    unsorted: list[Group] = []
    for members in rows.values():
        facts = {column: members[0][column] for column in EQUAL_COLUMNS}
        alike = twins[key(facts, usual)]
        telling = [c for c in RARE_COLUMNS if len({key(twin, (c,)) for twin in alike}) > 1]
        with speaking(ENGLISH):      # a link must work in every language
            identity = identifier(facts["model"], facts["mode"], ", ".join(_conditions(facts, telling).values()))
        unsorted.append(
            Group(
                id=identity, facts=facts, conditions_by_column=_conditions(facts, telling),
                entries=_entries(members, comparisons, states),
            )
        )
    return sorted(unsorted, key=lambda group: [_sortable(group.facts[column]) for column in EQUAL_COLUMNS])


def _sortable(fact: Any) -> tuple[bool, float, str]:
    """Numbers by size, "10" after "9", then words by letter."""
    is_number = isinstance(fact, int | float) or str(fact).isdecimal()
    return (not is_number, float(fact) if is_number else 0.0, "" if is_number else str(fact))


def _conditions(facts: Mapping[str, Any], telling: Sequence[str]) -> dict[str, str]:
    """{column: its value in words}, without defaults that need no mention."""
    conditions = axes.said(facts, (name for name in axes.CONDITIONS if name not in ("model", "mode", "world_size")))
    if facts["world_size"] > 1:
        conditions["local_batch"] = tr(
            "{batch} on each of {devices} devices", batch=conditions["local_batch"], devices=facts["world_size"],
        )
    return {**conditions, **{column: f"{tr(RARE_COLUMNS[column])}{facts[column]}" for column in telling}}


def _states(trials: pd.DataFrame) -> dict[tuple[Any, ...], dict[str, str]]:
    """For each group of equal timing trials: known facts of their system, their clock, whether telemetry was on."""
    alike: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    measured = trials[(trials.kind == TrialKind.TIMING) & (trials.outcome == Outcome.OK)]
    for trial in rows_of(measured[[*ALIKE_COLUMNS, "system_facts", "clock", "telemetry"]]):
        alike.setdefault(key(trial, ALIKE_COLUMNS), []).append(trial)
    states = {}
    for identity, members in alike.items():
        clocks = {str(trial["clock"]) for trial in members if not is_nothing(trial["clock"])}
        watched = {WATCHED[not is_nothing(trial["telemetry"])] for trial in members}
        states[identity] = {
            **{f"system {name}": text for name, text in known_facts(t["system_facts"] for t in members).items()},
            **({"clock": "/".join(sorted(clocks))} if clocks else {}), "telemetry": "/".join(sorted(watched)),
        }
    return states


def _entries(
    rows: Sequence[Mapping[str, Any]], comparisons: Comparisons, states: Mapping[Alike, dict[str, str]],
) -> tuple[Entry, ...]:
    unsorted = [
        Entry(
            label=label, row=row, step_times_s=comparisons.times.get(alike, {}), alike=alike, comparisons=comparisons,
            state=states.get(alike, {}),
        )
        for label, row in zip(labels(rows), rows, strict=True) for alike in [key(row, ALIKE_COLUMNS)]
    ]
    return tuple(sorted(unsorted, key=lambda e: (not e.has_figures, e.row["step_time_s"] or 0.0)))


def labels(rows: Sequence[Mapping[str, Any]], always: Sequence[str] = ()) -> list[str]:
    """The shortest names that distinguish rows: the framework, what varies among its own rows, and ``always``."""
    names = []
    for row in rows:
        own = [other for other in rows if other["framework"] == row["framework"]]
        varying = [c for c in LABEL_COLUMNS if len({key(other, (c,)) for other in own}) > 1]
        told = [axes.label(column, row[column]) for column in (*varying, *always)]
        names.append(" ".join([str(row["framework"]), *(text for text in told if text)]))
    # Builds may differ in packages that no column shows.
    return [
        f"{name} #{names[: index + 1].count(name)}" if names.count(name) > 1 else name
        for index, name in enumerate(names)
    ]
