"""What was not measured, and why; a report leaves out nothing that was tried."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from rigmark.bench.analysis.results.summary import is_nothing
from rigmark.bench.document import formatting
from rigmark.bench.document.document import Align, Block, Cell, Code, Column, Fold, Paragraph, Row, Section, Table
from rigmark.bench.document.identifiers import identifier
from rigmark.bench.document.language import ENGLISH, speaking, tr, tr_later, word
from rigmark.bench.enums import PLANNED_GAPS, Outcome
from rigmark.bench.plan import axes
from rigmark.bench.store.stored import StoredRecord

FACTS = {
    **{name: axes.TITLES[name] for name in ("framework", "model", "mode")}, "kind": tr_later("trial"),
    "outcome": tr_later("outcome"), "reason": tr_later("reason"),
}
"""Columns of a failure, and their titles."""

SETTINGS = tuple(axis.name for axis in axes.AXES if axis.name not in FACTS)
"""Other facts that distinguish a trial, shown in one cell with the version of its framework."""


def section(trials: pd.DataFrame, records: Sequence[StoredRecord], problems: Sequence[str]) -> Section:
    """Failed and unsupported trials with their reasons, and records that cannot be read."""
    bad = trials[trials.outcome != Outcome.OK]
    blocks: list[Block] = []
    if bad.empty and not problems:
        blocks.append(Paragraph(text=tr("Every trial completed and passed its checks.")))
    if not bad.empty:
        planned = int(bad.outcome.isin(list(PLANNED_GAPS)).sum())
        blocks.append(
            Paragraph(
                text=tr(
                    "{trials} gave no time; {planned} of them because a framework does not offer what was asked or is "
                    "not installed. After such an outcome no further repetitions of the same case are started.",
                    trials=formatting.count(len(bad), "trial"), planned=planned,
                )
            )
        )
        blocks.append(_table(bad))
        blocks += last_words(records)
    if problems:
        rows = tuple(Row(id=identifier("problem", text), cells=(Cell(text=text),)) for text in problems)
        blocks.append(
            Table(id="table.problems", caption=tr("Records that could not be read"),
                  columns=(Column(title=tr("problem")),), rows=rows)
        )
    return Section(id="failures", title=tr("Failed, unsupported and unreadable"), blocks=tuple(blocks))


def _table(bad: pd.DataFrame) -> Table:
    """One row for each different failure, with how often it happened."""
    alike: dict[tuple[str, ...], list[Mapping[Any, Any]]] = {}
    for trial in bad.to_dict("records"):
        with speaking(ENGLISH):      # the id of a row is equal in every language
            cells = _cells(trial)
        alike.setdefault(cells, []).append(trial)
    rows = tuple(
        Row(
            id=identifier("failure", *cells),
            cells=(
                *(Cell(text=text) for text in _cells(trials[0])), Cell(text=str(len(trials)), value=float(len(trials))),
            ),
        )
        for cells, trials in alike.items()
    )
    columns = (
        *(Column(title=tr(title)) for title in FACTS.values()), Column(title=tr("settings"), is_detail=True),
        Column(title="n", unit=tr("trials"), align=Align.RIGHT),
    )
    return Table(id="table.failures", caption=tr("Trials without a time"), columns=columns, rows=rows)


def _cells(trial: Mapping[Any, Any]) -> tuple[str, ...]:
    """The cells of a trial that failed."""
    facts = [formatting.UNKNOWN if is_nothing(trial[name]) else trial[name] for name in FACTS]
    version = [] if is_nothing(trial["framework_version"]) else [str(trial["framework_version"])]
    stored = ("mode", "kind", "outcome")
    return (
        *(word(fact) if name in stored else str(fact) for name, fact in zip(FACTS, facts, strict=True)),
        ", ".join([*version, *axes.said(trial, SETTINGS).values()]),
    )


def last_words(records: Sequence[StoredRecord]) -> tuple[Fold, ...]:
    """The output of workers before they failed, with one fold for each different text."""
    cases_of: dict[str, list[str]] = {}
    for record in records:
        if record.last_words.strip() and record.outcome is not Outcome.OK:
            case = record.identity.case
            name = f"{axes.named(case.plain(), axes.CODE)} {case.model} {word(case.mode)}"
            cases_of.setdefault(record.last_words, []).append(name)
    return tuple(
        Fold(
            title=tr("Last output of {names}", names=formatting.listed(list(dict.fromkeys(names)))),
            blocks=(Code(text=text),),
        )
        for text, names in cases_of.items()
    )
