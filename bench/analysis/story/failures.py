"""What was not measured, and why; nothing that was tried is left out of a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from bench.analysis import formatting
from bench.analysis.document import Align, Block, Cell, Code, Column, Fold, Paragraph, Row, Section, Table
from bench.analysis.story.groups import identifier
from bench.analysis.summary import is_nothing
from bench.words import PLANNED_GAPS, Outcome

FACTS = {"framework": "framework", "model": "model", "mode": "mode", "kind": "trial", "outcome": "outcome",
         "reason": "reason"}
"""Columns of a failure, and their titles."""

SETTINGS = {"framework_version": "{}", "build": "{} build", "compile_mode": "{}", "layout": "{}", "precision": "{}",
            "device": "{}", "local_batch": "batch {}", "data": "{} data"}
"""What else tells a trial from others, in one cell."""


def section(trials: pd.DataFrame, records: Sequence[Mapping[str, Any]], problems: Sequence[str]) -> Section:
    """Failed and unsupported trials with their reasons, and records that cannot be read."""
    bad = trials[trials.outcome != Outcome.OK]
    blocks: list[Block] = []
    if bad.empty and not problems:
        blocks.append(Paragraph(text="Every trial came to an end and passed its checks."))
    if not bad.empty:
        planned = int(bad.outcome.isin(list(PLANNED_GAPS)).sum())
        blocks.append(
            Paragraph(
                text=f"{formatting.count(len(bad), 'trial')} gave no time; {planned} of them because a framework does "
                     "not offer what was asked or is not there. After such an outcome further repetitions of the same "
                     "case are not started."
            )
        )
        blocks.append(_table(bad))
        blocks += last_words(records)
    if problems:
        rows = tuple(Row(id=identifier("problem", text), cells=(Cell(text=text),)) for text in problems)
        blocks.append(
            Table(id="table.problems", caption="Records that could not be read", columns=(Column(title="problem"),),
                  rows=rows)
        )
    return Section(id="failures", title="Failed, unsupported and unreadable", blocks=tuple(blocks))


def _table(bad: pd.DataFrame) -> Table:
    """One row for each different failure, with how often it happened."""
    counts: dict[tuple[str, ...], int] = {}
    for trial in bad.to_dict("records"):
        words = [formatting.UNKNOWN if is_nothing(trial[name]) else str(trial[name]) for name in FACTS]
        settings = [form.format(trial[name]) for name, form in SETTINGS.items() if not is_nothing(trial[name])]
        failure = (*words, ", ".join(settings))
        counts[failure] = counts.get(failure, 0) + 1
    rows = tuple(
        Row(
            id=identifier("failure", *words),
            cells=(
                *(Cell(text=word.replace("_", " ") if name == "outcome" else word)
                  for name, word in zip((*FACTS, "settings"), words, strict=True)),
                Cell(text=str(count), value=float(count)),
            ),
        )
        for words, count in counts.items()
    )
    columns = (
        *(Column(title=title) for title in FACTS.values()), Column(title="settings", is_detail=True),
        Column(title="n", unit="trials", align=Align.RIGHT),
    )
    return Table(id="table.failures", caption="Trials without a time", columns=columns, rows=rows)


def last_words(records: Sequence[Mapping[str, Any]]) -> tuple[Fold, ...]:
    """What workers wrote before they failed, a fold for each different text."""
    said: dict[str, list[str]] = {}
    for record in records:
        text, identity = record.get("last_words"), record.get("identity")
        case = identity.get("case") if isinstance(identity, dict) else None
        if isinstance(text, str) and text.strip() and isinstance(case, dict) and record.get("outcome") != Outcome.OK:
            said.setdefault(text, []).append(" ".join(str(case.get(n, "")) for n in ("framework", "model", "mode")))
    return tuple(
        Fold(title=f"Last words of {formatting.listed(list(dict.fromkeys(names)))}", blocks=(Code(text=text),))
        for text, names in said.items()
    )
