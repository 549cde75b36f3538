"""What fits on a first screen: the answers, one row per case with its figure or the reason, and where the rest is."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from rigmark.bench.analysis.results.summary import ALIKE_COLUMNS, is_nothing, key, results, rows_of
from rigmark.bench.analysis.results.validity import Validity
from rigmark.bench.document import formatting
from rigmark.bench.document.document import (
    Align,
    Block,
    Cell,
    Code,
    Column,
    Document,
    Paragraph,
    Row,
    Section,
    Table,
    Verdicts,
)
from rigmark.bench.document.identifiers import identifier
from rigmark.bench.document.language import tr, word
from rigmark.bench.enums import TIMED, Outcome, TrialKind
from rigmark.bench.plan import axes
from rigmark.bench.sections.cases import FACTS
from rigmark.bench.sections.doubts import findings_of
from rigmark.bench.sections.groups import origin

MOST_ANSWERS = 12
MOST_ROWS = 40

NAMED = ("model", "mode", "framework")
SETTINGS = ("framework_version", *(name for name in axes.SETTINGS if name not in NAMED))
"""Facts of a framework that are only shown if they distinguish its own results of one network."""

PLAIN = frozenset({"device_name", "framework_version"})
"""Facts beside the axes that are shown without a name before them."""


def short(document: Document, measured_results: pd.DataFrame, *, command: str) -> Document:
    """The report in short: its answers, one row per case, what weakens them, and how to read all of it.

    ``measured_results`` are those that the document is about, and ``command`` is the one that wrote it, to which
    ``--full`` or ``-o FILE`` may be added.
    """
    answers = next(section for section in document.sections if section.id == "verdict")
    left = [section.title for section in document.sections if section is not answers]
    sections = [replace(answers, blocks=tuple(
        part for block in answers.blocks for part in _fewer(block)
    ))]
    if len(measured_results):
        sections.append(Section(id="short.measured", title=tr("Measured"), blocks=(
            measured(measured_results), *_weakened(rows_of(measured_results)),
        )))
    if left:
        sections.append(Section(id="short.more", title=tr("The rest"), blocks=(
            Paragraph(text=tr("The whole report also has: {sections}.", sections=formatting.listed(left))),
            _commands(f"{command} --full", f"{command} -o report.html"),
        )))
    return replace(document, sections=tuple(sections))


def concluded(trials: pd.DataFrame, ids: Collection[str], *, command: str) -> Document:
    """The results of the cases to which these timed trials belong, from all stored trials, and the next commands.

    ``command`` writes the report on them, as in ``short``.
    """
    columns = ("kind", *ALIKE_COLUMNS)
    rows = rows_of(trials)
    meant = {key(row, columns) for row in rows if row["id"] in ids and row["kind"] in TIMED}
    is_meant = [row["kind"] not in TIMED or key(row, columns) in meant for row in rows]
    measured_results = results(trials[pd.Series(is_meant, index=trials.index, dtype=bool)])
    blocks: list[Block] = [Paragraph(text=tr("No trial was timed."))]
    if len(measured_results):
        blocks = [measured(measured_results), *_weakened(rows_of(measured_results))]
    return Document(title=tr("Measured"), summary=(), sections=(
        Section(id="short.measured", title=tr("One row per case"), blocks=tuple(blocks)),
        Section(id="short.more", title=tr("Next"), blocks=(_commands(command, f"{command} -o report.html"),)),
    ))


def _commands(*lines: str) -> Code:
    return Code(text="\n".join(lines))


def measured(measured_results: pd.DataFrame) -> Table:
    """One row per result: its figure with the interval, or the values of its few trials, or why it has none."""
    rows = sorted(rows_of(measured_results), key=_place)
    shown = rows[:MOST_ROWS]
    more = len(rows) - len(shown)
    notes = [tr("rigmark results shows {rows}.", rows=formatting.count(more, "more row"))] if more else []
    same = [
        f"{tr(FACTS[name])} {rows[0][name]}" for name in FACTS
        if name not in NAMED and name not in _varying(rows) and not is_nothing(fact := rows[0][name])
        and axes.says(name, fact)
    ]
    if same:
        notes.insert(0, tr("The same for all: {facts}.", facts=tr(", ").join(same)))
    return Table(
        id="table.short", caption=tr("One row per case, with the 95 % interval over its trials"), notes=tuple(notes),
        columns=(
            Column(title=tr("case")), Column(title=tr("measured"), align=Align.RIGHT),
            Column(title="n", unit=tr("trials"), align=Align.RIGHT), Column(title=tr("validity")),
        ),
        rows=tuple(
            Row(id=identifier("short", number), cells=(
                Cell(text=f"{origin(row['origin']).mark} {label}"), _figure(row),
                Cell(text=str(int(row["trials"] or 0)), value=float(row["trials"] or 0)),
                Cell(text=word(row["validity"]) if row["outcome"] == Outcome.OK else word(row["outcome"])),
            ))
            for number, (row, label) in enumerate(zip(shown, _labels(rows), strict=False), start=1)
        ),
    )


def _place(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """Sorting key: networks before limits of the machine; comparable results together, the fastest first."""
    facts = (str(row[name]) for name in ("model", "mode", "precision"))
    sizes = (int(row[name]) for name in ("local_batch", "world_size"))
    return row["kind"] == TrialKind.LIMIT, *facts, *sizes, _known(row["step_time_s"]) or math.inf


def _varying(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    return [name for name in FACTS if len({str(row[name]) for row in rows}) > 1]


def _labels(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """"mnist_cnn training, torch, eager, batch 8": the name of a case, with what distinguishes it from the others."""
    varying = [name for name in _varying(rows) if name not in (*NAMED, *SETTINGS)]

    def label(row: Mapping[str, Any]) -> str:
        own = _varying([other for other in rows if key(other, NAMED) == key(row, NAMED)])
        telling = [*varying, *(name for name in SETTINGS if name in own)]
        first = str(row["model"]) if row["kind"] == TrialKind.LIMIT else f"{row['model']} {word(row['mode'])}"
        more = [_said(name, row[name]) for name in telling if not is_nothing(row[name]) and axes.says(name, row[name])]
        return tr(", ").join([first, str(row["framework"]), *more])

    return [label(row) for row in rows]


def _said(name: str, fact: Any) -> str:
    if name in axes.BY_NAME:
        return axes.BY_NAME[name].words(fact)
    return str(fact) if name in PLAIN else f"{tr(FACTS[name])} {fact}"


def _figure(row: Mapping[str, Any]) -> Cell:
    """Samples/s of a network; for a limit the rate that it measures, or the time if it measures no rate."""
    time_s = _known(row["step_time_s"])
    if row["outcome"] != Outcome.OK or time_s is None:
        return Cell(text=str(row["reason"] or formatting.UNKNOWN))
    low_s, high_s = (_known(row[name]) for name in ("step_time_low_s", "step_time_high_s"))
    single_s = [float(each) for each in row["trial_step_times_s"] or ()]
    for column, unit_of in RATES.items():
        rate = _known(row[column])
        if rate is not None:
            work = rate * time_s         # of a step
            ends = [None if end_s is None else work / end_s for end_s in (high_s, low_s)]
            return _quantity(rate, ends, [work / each_s for each_s in single_s], unit_of(rate))
    return _quantity(time_s, [low_s, high_s], single_s, formatting.time_unit([time_s]))


def _quantity(
    value: float, ends: Sequence[float | None], single: Sequence[float], unit: formatting.Unit
) -> Cell:
    low, high = (None if end is None else end / unit.scale for end in ends)
    text = formatting.quantity(value / unit.scale, low, high, [each / unit.scale for each in single])
    return Cell(text=f"{text} {unit.name}", value=value)


def _known(number: Any) -> float | None:
    return None if is_nothing(number) else float(number)


RATES: Mapping[str, Callable[[float], formatting.Unit]] = {
    "tokens_per_s": lambda rate: formatting.Unit(name=tr("tokens/s"), scale=1.0),
    "throughput_samples_per_s": lambda rate: formatting.Unit(name=tr("samples/s"), scale=1.0),
    "flops_per_s": lambda rate: formatting.rate_unit([rate], "FLOP/s"),
    "bytes_per_s": lambda rate: formatting.rate_unit([rate], "B/s"),
}
"""Columns of results with their units: the first that is known is the rate that a case measures."""


def _weakened(rows: Sequence[Mapping[str, Any]]) -> list[Block]:
    """How many results are doubtful, and because of which findings; empty if none is."""
    doubtful = [row for row in rows if row["outcome"] == Outcome.OK and row["validity"] != Validity.VALID]
    if not doubtful:
        return []
    names = Counter(name for row in doubtful for name in dict.fromkeys(name for name, _ in findings_of(row)))
    counts = tr(", ").join(f"{name} ({number})" for name, number in names.most_common())
    return [Paragraph(text=tr(
        "{n} of {all} {n:is|are} suspect or invalid, by these findings (each with the number of results): {counts}.",
        n=len(doubtful), all=formatting.count(len(rows), "result"), counts=counts,
    ))]


def _fewer(block: Block) -> list[Block]:
    """The first answers of many, and how many more there are."""
    more = 0
    if isinstance(block, Verdicts):
        more = len(block.verdicts) - MOST_ANSWERS
        block = replace(block, verdicts=block.verdicts[:MOST_ANSWERS])
    elif isinstance(block, Table):
        more = len(block.rows) - MOST_ANSWERS
        block = replace(block, rows=block.rows[:MOST_ANSWERS])
    return [block] if more <= 0 else [
        block,
        Paragraph(text=tr("The whole report has {answers}.", answers=formatting.count(more, "more answer"))),
    ]
