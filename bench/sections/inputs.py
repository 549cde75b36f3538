"""The inputs of a report; each part is computed once, when it is first needed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import pandas as pd

from rigmark.bench.analysis import scaling
from rigmark.bench.analysis.comparison.compare import Comparisons, by_repetition
from rigmark.bench.analysis.layers import layers
from rigmark.bench.analysis.layers.layers import LayerProfile
from rigmark.bench.analysis.results import proofs, quoted
from rigmark.bench.analysis.results.proofs import Proof
from rigmark.bench.analysis.results.summary import behind, results
from rigmark.bench.claims import load as loader
from rigmark.bench.claims.evidence import Evidence, believed
from rigmark.bench.enums import Outcome, TrialKind
from rigmark.bench.host import files
from rigmark.bench.sections import timeline
from rigmark.bench.sections.groups import Group, groups
from rigmark.bench.sections.layer_groups import Together, together
from rigmark.bench.sections.sessions import latest
from rigmark.bench.sections.timeline import Chosen
from rigmark.bench.store.conditions import filtered
from rigmark.bench.store.quoted import QuotedTable
from rigmark.bench.store.store import Store
from rigmark.bench.store.stored import StoredRecord
from rigmark.bench.telemetry.series import read_parquet

Telemetry = tuple[Mapping[str, pd.DataFrame], Sequence[str]]
"""Readings by trial, as from bench.telemetry.series.read_parquet, and one sentence for each damaged file."""


def no_telemetry(trial_ids: Iterable[str]) -> Telemetry:
    return {}, ()


@dataclass(frozen=True, kw_only=True)
class ReportInputs:
    """Stored trials, and everything derived from them.

    Sentences in a part are in the language in which it was first used, so each report has separate inputs.
    """

    trials: pd.DataFrame                 # see bench.store.trial_table
    results: pd.DataFrame                # of those trials; see bench.analysis.results.summary
    record_of: Callable[[str], StoredRecord]         # the complete record of a trial, by its id
    telemetry_of: Callable[[Iterable[str]], Telemetry] = no_telemetry
    tables: Sequence[QuotedTable] = ()   # quoted tables
    unread: tuple[str, ...] = ()         # one sentence for each record and table that could not be read

    @cached_property
    def records(self) -> list[StoredRecord]:
        """Complete records: of proofs, failed trials, and the latest layer trial of each case."""
        needed = self.trials[(self.trials.kind == TrialKind.PROOF) | (self.trials.outcome != Outcome.OK)].id
        return [self.record_of(trial_id) for trial_id in dict.fromkeys([*needed, *self._layer_trials.id])]

    @cached_property
    def comparisons(self) -> Comparisons:
        """All comparisons of results."""
        return Comparisons(by_repetition(self.trials))

    @cached_property
    def groups(self) -> list[Group]:
        return groups(self.results, self.trials, self.comparisons)

    @cached_property
    def latest(self) -> list[Group]:
        """The groups that were not repeated in a later session."""
        return latest(self.groups)

    @cached_property
    def layers(self) -> list[LayerProfile]:
        return layers.read(self._layer_trials, self.results, self.records)

    @cached_property
    def layer_groups(self) -> list[Together]:
        return together(self.layers, self.trials)

    @cached_property
    def proofs(self) -> list[Proof]:
        return proofs.read(self.records)

    @cached_property
    def scaling(self) -> list[scaling.Series]:
        return scaling.read(self.results, self.trials)

    @cached_property
    def quoted(self) -> list[dict[str, Any]]:
        """The lines of quoted tables."""
        return quoted.rows(self.tables)

    @cached_property
    def drawn(self) -> list[Chosen]:
        """The trials with telemetry to draw, if it can be read."""
        return timeline.chosen(self.latest, self.results, self.trials) if self.trials.telemetry.notna().any() else []

    @property
    def telemetry(self) -> Mapping[str, pd.DataFrame]:
        """The readings of these trials, by trial."""
        return self._telemetry[0]

    @property
    def problems(self) -> tuple[str, ...]:
        """Everything that is missing in the report, one sentence each."""
        return (*self.unread, *self._telemetry[1])

    @property
    def is_measured(self) -> bool:
        """Whether any of these trials has a figure: it succeeded and is not a proof."""
        return bool(((self.trials.outcome == Outcome.OK) & (self.trials.kind != TrialKind.PROOF)).any())

    @property
    def evidence(self) -> Evidence:
        """The evidence for and against claims."""
        return Evidence(
            results=believed(self.results), trials=self.trials, comparisons=self.comparisons,
            layer_profiles=self.layers, series=self.scaling, proofs=self.proofs, quoted=self.quoted,
            models=loader.MODELS, filters=loader.filters,
        )

    @cached_property
    def _layer_trials(self) -> pd.DataFrame:
        return layers.chosen(self.trials)

    @cached_property
    def _telemetry(self) -> Telemetry:
        return self.telemetry_of([each.id for each in self.drawn])


def read(store: Store, where: str | None = None) -> ReportInputs:
    """The inputs from a store; with an SQL condition, only results for which it is true, and their trials.

    Conditions do not apply to quoted tables. Raises UserError for an invalid condition.
    """
    trials, (tables, unreadable) = store.trials(), store.quoted.all()
    rows, table = results(trials.table), trials.table
    if where is not None and not rows.empty:
        rows = filtered(rows, where)
        table = behind(rows, table)
    return ReportInputs(
        trials=table, results=rows, record_of=store.get, telemetry_of=partial(telemetry_of, store),
        tables=tables if where is None else (), unread=(*trials.problems, *unreadable),
    )


def telemetry_of(store: Store, trial_ids: Iterable[str]) -> Telemetry:
    """The telemetry of those trials that have a file."""
    telemetry, problems = {}, []
    for trial_id in trial_ids:
        if (path := store.series(trial_id)) is not None:
            try:
                telemetry[trial_id] = read_parquet(path)
            except OSError as error:
                problems.append(
                    f"telemetry {files.shown(path)} is damaged and was left out ({files.shown(str(error))}); the "
                    "figures of its trial do not come from it"
                )
    return telemetry, problems
