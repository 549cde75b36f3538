"""From a results folder to its report: what is read for it, in one place for every command that shows it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from rigmark.bench.analysis.layers import layers
from rigmark.bench.analysis.results import proofs
from rigmark.bench.analysis.results.summary import behind, results
from rigmark.bench.claims import hold
from rigmark.bench.claims import load as loader
from rigmark.bench.claims.evidence import Evidence, gather
from rigmark.bench.document.document import Document
from rigmark.bench.enums import Outcome, TrialKind
from rigmark.bench.host import files
from rigmark.bench.host.heap import growing
from rigmark.bench.sections import claims, document, quoted, records_needed, series_needed
from rigmark.bench.store.store import Store, filtered
from rigmark.bench.telemetry.series import read_parquet


@dataclass(frozen=True, kw_only=True)
class Report:
    """The document on all that is stored, and what could not be read, a sentence each."""

    document: Document
    results: pd.DataFrame                # that it is about; see bench.analysis.results.summary
    problems: tuple[str, ...]
    is_measured: bool                    # a trial that the condition holds for went well, or a table of others is told


@growing()
def report(store: Store, where: str | None = None) -> Report:
    """On the results that an SQL condition holds for, or on all; in the language that it is called in.

    Claims and what others published stand in the report on all. Raises UserError for what is no condition.
    """
    trials, (tables, unreadable) = store.trials(), store.quoted()
    rows, table = results(trials.table), trials.table
    if where is not None and not rows.empty:
        rows = filtered(rows, where)
        table = behind(rows, table)
    records = [store.get(trial_id) for trial_id in records_needed(table)]
    more, said = [], loader.shipped()
    if where is None:
        told = claims.told(hold(said, evidence(table, rows, records, tables)[0]))
        more = [section for section in (told, quoted.section(tables)) if section]
    series, damaged = telemetry_of(store, series_needed(rows, table))
    problems = (*trials.problems, *unreadable, *damaged)
    return Report(
        document=document(rows, table, records, problems, more=more, claims=said, series=series),
        results=rows, problems=problems, is_measured=measured(table) or (where is None and bool(tables)),
    )


def measured(trials: pd.DataFrame) -> bool:
    """Whether any of these trials has a figure: it went well, and is no proof."""
    return bool(((trials.outcome == Outcome.OK) & (trials.kind != TrialKind.PROOF)).any())


def evidence(
    trials: pd.DataFrame, found: pd.DataFrame, records: Sequence[Mapping[str, Any]], tables: Sequence[Mapping[str, Any]]
) -> tuple[Evidence, list[str]]:
    """All that claims are held against, and a sentence for each record that could not be understood."""
    taken_apart, no_layers = layers.read(layers.chosen(trials), found, records)
    learnt, no_proofs = proofs.read(records)
    held = gather(found, trials, taken_apart, learnt, tables, models=loader.MODELS, filters=loader.filters)
    return held, [*no_layers, *no_proofs]


def telemetry_of(store: Store, trial_ids: Iterable[str]) -> tuple[dict[str, pd.DataFrame], list[str]]:
    """Telemetry by trial, of those whose file is there, and a sentence for each file that cannot be read."""
    found, problems = {}, []
    for trial_id in trial_ids:
        if (path := store.series(trial_id)) is not None:
            try:
                found[trial_id] = read_parquet(path)
            except OSError as error:
                problems.append(
                    f"telemetry {files.shown(path)} is damaged and was left out ({files.shown(str(error))}); the "
                    "figures of its trial do not come from it"
                )
    return found, problems
