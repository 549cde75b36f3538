"""Results of others, in a section of their own: where they come from, what they say, what an audit found in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rigmark.bench.analysis.audit import audit
from rigmark.bench.analysis.results.quoted import provenance, step_time, throughput
from rigmark.bench.document import formatting
from rigmark.bench.document.document import (
    Align,
    Block,
    Cell,
    Column,
    Fold,
    Items,
    Origin,
    Paragraph,
    Row,
    Section,
    Table,
)
from rigmark.bench.document.identifiers import identifier
from rigmark.bench.document.language import tr, tr_later
from rigmark.bench.enums import Outcome
from rigmark.bench.plan import axes
from rigmark.bench.store.quoted import FACTS, QuotedTable

SHOWN = 20                   # lines of one format
SOURCES = 12                 # named before the rest go by their number
OWN_TITLES = {
    "model": tr_later("what"), "framework_version": tr_later("version"), "device": tr_later("on"),
    "device_name": tr_later("device"),
}
TITLES = {name: {**axes.TITLES, **OWN_TITLES}[name] for name in FACTS}


def section(tables: Sequence[QuotedTable], lines: Sequence[Mapping[str, Any]]) -> Section | None:
    """One subsection per format; None where nothing was imported. ``lines`` are those of the tables."""
    if not tables:
        return None
    text = tr(
        "{mark} quoted: others measured these and published them. They are not compared with what was measured here: "
        "machine, network and method differ, and it is not proven that they compute the same.",
        mark=Origin.QUOTED.mark,
    )
    formats = dict.fromkeys(table.source.format for table in tables)
    return Section(
        id="quoted", title=tr("Quoted: published by others"), blocks=(Paragraph(text=text),),
        sections=tuple(
            _of_format(
                name, [table for table in tables if table.source.format == name],
                [line for line in lines if line["source"].format == name],
            ) for name in formats
        ),
    )


def _of_format(name: str, tables: Sequence[QuotedTable], lines: Sequence[Mapping[str, Any]]) -> Section:
    sources = [provenance(table.source) for table in tables]
    notes = [f"{table.source.file}: {note}" for table in tables for note in table.notes]
    if len(sources) > SOURCES:
        sources = [
            *sources[:SOURCES],
            tr("{n} more {n:file|files}; rigmark results --json names {n:it|them}.", n=len(sources) - SOURCES),
        ]
    audited = audit(lines)
    blocks: list[Block] = [_table(name, lines)]
    if audited.findings:
        blocks.append(Paragraph(text=tr("An audit found:")))
        blocks.append(Items(texts=tuple(f"{finding.text} [{finding.id}]." for finding in audited.findings)))
    blocks.append(Fold(title=tr("Where they come from"), blocks=(Items(texts=(*sources, *notes)),)))
    return Section(id=f"quoted.{identifier(name)}", title=f"{Origin.QUOTED.mark} {name}", blocks=tuple(blocks))


def _table(name: str, lines: Sequence[Mapping[str, Any]]) -> Table:
    stated = [fact for fact in FACTS if len({str(line.get(fact)) for line in lines} | {"None"}) > 2 or fact == "model"]
    shared = [f"{tr(TITLES[fact])} {lines[0][fact]}" for fact in FACTS
              if fact not in stated and lines[0].get(fact) is not None]
    unit = formatting.time_unit(step_time(line) for line in lines)
    shown = lines[:SHOWN]
    notes = [tr("{mark} quoted.", mark=Origin.QUOTED.mark)]
    if shared:
        notes.append(tr("All: {facts}.", facts=tr(", ").join(shared)))
    if len(shown) < len(lines):
        notes.append(tr("The first {n} of {all:,} lines; rigmark results shows all.", n=len(shown), all=len(lines)))
    has_value = any(line.get("value") is not None for line in lines)
    columns = [Column(title=tr(TITLES[fact])) for fact in stated]
    columns += [
        Column(title=tr("throughput"), unit=tr("samples/s"), align=Align.RIGHT),
        Column(title=tr("step time"), unit=unit.name, align=Align.RIGHT),
        *([Column(title=tr("other figure"), align=Align.RIGHT)] if has_value else []),
        Column(title=tr("where"), is_detail=True),
    ]
    return Table(
        id=f"table.quoted.{identifier(name)}", caption=tr("What {name} states", name=name),
        columns=tuple(columns), notes=tuple(notes),
        rows=tuple(
            Row(
                id=f"quoted.{identifier(name, line['table'], line['line'])}",
                cells=(
                    *(Cell(text=_word(fact, line)) for fact in stated), *_figures(line, unit),
                    *([_value(line)] if has_value else []), Cell(text=f"{line['source'].file}, {line['line']}"),
                ),
            )
            for line in shown
        ),
    )


def _word(fact: str, line: Mapping[str, Any]) -> str:
    word = formatting.UNKNOWN if line.get(fact) is None else str(line[fact])
    return f"{Origin.QUOTED.mark} {word}" if fact == "model" else word


def _figures(line: Mapping[str, Any], unit: formatting.Unit) -> tuple[Cell, Cell]:
    if line.get("outcome", Outcome.OK) != Outcome.OK:
        return Cell(text=str(line.get("reason") or line["outcome"])), Cell(text=formatting.UNKNOWN)
    rate, time_s = throughput(line), step_time(line)
    return (
        Cell(text=formatting.UNKNOWN) if rate is None else Cell(text=formatting.significant(rate, 4), value=rate),
        Cell(text=formatting.UNKNOWN) if time_s is None else
        Cell(text=formatting.significant(time_s / unit.scale, 4), value=time_s),
    )


def _value(line: Mapping[str, Any]) -> Cell:
    value = line.get("value")
    if value is None:
        return Cell(text=formatting.UNKNOWN)
    return Cell(text=f"{formatting.significant(value, 4)} {line.get('unit') or ''}".strip(), value=value)
