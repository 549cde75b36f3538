"""From a results folder to its report, in one place for every command that shows it."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from rigmark.bench.claims import judge
from rigmark.bench.claims import load as loader
from rigmark.bench.document.document import Document
from rigmark.bench.host.heap import growing
from rigmark.bench.reporting.contests import stored
from rigmark.bench.sections import claims, contests, document, inputs, quoted
from rigmark.bench.store.store import Store


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

    Contests, claims and what others published stand in the report on all. Raises UserError for what is no condition.
    """
    read = inputs.read(store, where)
    more, said = [], loader.shipped()
    contested, unread = None, tuple[str, ...]()
    if where is None:
        found, unread = stored(store.root, read.trials, read.record_of)
        contested = contests.section(found)
        tested = claims.section(judge(said, read.evidence))
        more = [section for section in (contested, tested, quoted.section(read.tables, read.quoted)) if section]
    return Report(
        document=document(read, more=more, claims=said), results=read.results, problems=(*read.problems, *unread),
        is_measured=read.is_measured or bool(read.tables) or contested is not None,
    )
