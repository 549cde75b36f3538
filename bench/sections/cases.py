"""All results in one table that can be sorted and filtered, each with the command that measures it again."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rigmark.bench.document import formatting
from rigmark.bench.document.document import (
    Align,
    Block,
    Cell,
    Column,
    Paragraph,
    Row,
    Section,
    Standing,
    Table,
    Verdicts,
)
from rigmark.bench.document.identifiers import identifier
from rigmark.bench.document.language import tr, tr_later, word
from rigmark.bench.plan import axes
from rigmark.bench.sections import figures
from rigmark.bench.sections.figures import Doubts, Show
from rigmark.bench.sections.groups import Entry, Group

BESIDE = {
    "framework": {"framework_version": tr_later("version")}, "device": {"device_name": tr_later("name of the device")},
}
"""Facts that depend on an axis."""

FACTS = {
    **{
        fact: title for name in (*axes.CONDITIONS, *axes.SETTINGS)
        for fact, title in {name: axes.TITLES[name], **BESIDE.get(name, {})}.items()
    },
    "session": tr_later("session"), "machine": tr_later("machine"), "node": tr_later("node"),
    "code_version": tr_later("measuring code"), "start_method": tr_later("started by"),
}
"""Columns of results that become columns of the table if they vary, and are stated once if they do not."""

ALWAYS = ("model", "mode", "framework")

def section(groups: Sequence[Group], doubts: Doubts) -> Section | None:
    """None for a single group, whose own table has the same content."""
    if len(groups) < 2:
        return None
    members = [(group, entry) for group in groups for entry in group.entries]
    varying = [
        name for name in FACTS
        if name in ALWAYS or len({str(entry.row[name]) for _, entry in members}) > 1
    ]
    shows = list(_shows(groups, doubts))
    table = Table(
        id="table.cases", caption=tr("Every result"),
        columns=(
            *(Column(title=tr(FACTS[name]), align=_align(name)) for name in varying),
            *(show.column for show in shows),
        ),
        rows=tuple(
            _row(group, entry, index, varying, shows) for index, group in enumerate(groups) for entry in group.entries
        ),
        notes=tuple(_notes(members, varying)), ratio=len(varying) + 1,
    )
    text = tr(
        "Results may be compared if all conditions are equal; the speed-up is against the slowest of them, or against "
        "the one that you choose as the baseline."
    )
    return Section(id="cases", title=tr("Every result"), blocks=(Paragraph(text=text), table))


def verdicts(block: Verdicts) -> tuple[Block, ...]:
    """Many answers in one table, after the number of each kind."""
    counts = Counter(verdict.standing for verdict in block.verdicts)
    sentence = tr(", ").join(
        tr("{n:,} {standing}", n=counts[standing], standing=word(standing)) for standing in Standing if counts[standing]
    )
    table = Table(
        id="table.verdicts", caption=tr("Every comparison"),
        columns=(
            Column(title=tr("of")), Column(title=tr("answer")), Column(title=tr("in words")),
            Column(title=tr("conditions")),
        ),
        rows=tuple(
            Row(id=verdict.id, cells=(
                Cell(text=verdict.subject), Cell(text=word(verdict.standing)),
                Cell(text=" ".join(verdict.sentences)), Cell(text=verdict.conditions),
            ))
            for verdict in block.verdicts
        ),
    )
    text = tr(
        "{comparisons}: {counts}.", comparisons=formatting.count(len(block.verdicts), "comparison"), counts=sentence,
    )
    return (Paragraph(text=text), table)


def _shows(groups: Sequence[Group], doubts: Doubts) -> Iterator[Show]:
    """The columns of figures; all groups share one unit of time."""
    unit = formatting.time_unit(e.row["step_time_s"] for group in groups for e in group.entries if e.has_figures)
    baseline = {id(entry): group.baseline for group in groups for entry in group.entries}

    def speed_up(entry: Entry) -> Cell:
        against = baseline[id(entry)]
        return figures.speed_up(against, entry) if against else Cell(text=formatting.UNKNOWN)

    def step_time(entry: Entry) -> Cell:
        row = entry.row
        low, high = (
            None if row[name] is None else row[name] / unit.scale for name in ("step_time_low_s", "step_time_high_s")
        )
        return Cell(text=formatting.centre(row["step_time_s"] / unit.scale, low, high), value=row["step_time_s"])

    yield figures.throughput()
    yield Show(column=Column(title=tr("speed-up"), align=Align.RIGHT), cell=figures.figure(speed_up))
    yield Show(
        column=Column(title=tr("step time"), unit=unit.name, align=Align.RIGHT, is_detail=True),
        cell=figures.figure(step_time),
    )
    yield from (figures.memory(), figures.parity(), *figures.trust(doubts))


def _row(group: Group, entry: Entry, index: int, varying: Sequence[str], shows: Sequence[Show]) -> Row:
    facts = [_fact(name, entry.row[name]) for name in varying]
    first = Cell(text=f"{entry.origin.mark} {facts[0].text}")
    return Row(
        id=identifier("case", group.id, entry.label), name=entry.label, group=str(index),
        command=command(entry.row), against=figures.against(group, entry),
        cells=(first, *facts[1:], *(show.cell(entry) for show in shows)),
    )


def _fact(name: str, fact: Any) -> Cell:
    if fact is None:
        return Cell(text=formatting.UNKNOWN)
    is_number = type(fact) in (int, float) or (name == "session" and str(fact).isdecimal())
    return Cell(text=_in_words(name, fact), value=float(fact) if is_number else None)


def _in_words(name: str, fact: Any) -> str:
    """Names are not translated, since users type them; modes and yes or no are."""
    if isinstance(fact, bool):
        return tr("yes") if fact else tr("no")
    return word(fact) if name == "mode" else str(fact)


def _align(name: str) -> Align:
    return Align.RIGHT if name in axes.NUMBERS else Align.LEFT


def _notes(members: Sequence[tuple[Group, Entry]], varying: Sequence[str]) -> Iterator[str]:
    origins = dict.fromkeys(entry.origin for _, entry in members)
    yield tr("{said}.", said="; ".join(f"{origin.mark} {word(origin)}" for origin in origins))
    same = [
        f"{tr(FACTS[name])} {_in_words(name, members[0][1].row[name])}" for name in FACTS
        if name not in varying and (fact := members[0][1].row[name]) is not None and axes.says(name, fact)
    ]
    if same:
        yield tr("The same for all: {facts}.", facts=tr(", ").join(same))


def command(row: Mapping[str, Any]) -> str:
    """The command line that measures a result again, as often as before."""
    words = ["rigmark", "run"]
    for axis in axes.AXES:
        fact = row[axis.name]
        if fact is not None and axis.says(fact):
            words += [axis.swept.option] if fact is True else [axis.swept.option, str(fact)]
    return shlex.join([*words, "--repetitions", str(max(int(row["trials"] or 0), 1))])
