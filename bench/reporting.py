"""From a results folder to its report: what is read for it, in one place for every command that shows it."""

from __future__ import annotations

from dataclasses import dataclass

from bench.analysis.document import Document
from bench.analysis.story import document, records_needed
from bench.analysis.summary import results
from bench.store import Store


@dataclass(frozen=True, kw_only=True)
class Report:
    """The document on all that is stored, and what could not be read, a sentence each."""

    document: Document
    problems: tuple[str, ...]
    is_empty: bool                       # nothing is stored


def report(store: Store) -> Report:
    """In the language of bench.analysis.language that it is called in."""
    trials = store.trials()
    records = [store.get(trial_id) for trial_id in records_needed(trials.table)]
    return Report(
        document=document(results(trials.table), trials.table, records, trials.problems), problems=trials.problems,
        is_empty=trials.table.empty,
    )
