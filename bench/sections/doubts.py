"""Findings numbered over a whole report, so that a table can refer to them and equal ones are said once."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rigmark.bench.analysis.results.findings import Finding
from rigmark.bench.document.document import Block, Items, Note, Paragraph, Section
from rigmark.bench.document.identifiers import identifier
from rigmark.bench.document.language import tr
from rigmark.bench.sections.groups import Entry, Group

MOST_NAMED = 12              # results of one finding


@dataclass(frozen=True, kw_only=True)
class Doubt:
    """One finding and the results that it weakens."""

    note: Note
    text: str
    about: list[str] = field(default_factory=list)


def doubts(
    groups: Sequence[Group], of_layers: Sequence[tuple[str, Sequence[Finding]]] = ()
) -> dict[tuple[str, str], Doubt]:
    """Every different finding by (id, text), numbered in the order of the report.

    ``of_layers`` are (what it is about, findings) of per-layer profiles.
    """
    found: dict[tuple[str, str], Doubt] = {}
    every = [
        (about(entry, group), name, text)
        for group in groups for entry in group.entries for name, text in findings_of(entry.row)
    ]
    every += [(case, finding.id, finding.text) for case, findings in of_layers for finding in findings]
    for case, name, text in every:
        note = Note(number=len(found) + 1, id=f"finding.{identifier(name, text)}")
        doubt = found.setdefault((name, text), Doubt(note=note, text=text))
        if case not in doubt.about:
            doubt.about.append(case)
    return found


def about(entry: Entry, group: Group) -> str:
    """What a finding is about, in words."""
    return f"{entry.label} {group.subject} ({group.conditions})"


def findings_of(row: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(id, text) of each finding about a result."""
    names = [name for name in (row["findings"] or "").split(",") if name]
    texts = json.loads(row["finding_texts"] or "[]")
    return list(zip(names, texts, strict=True))


def section(found: Mapping[tuple[str, str], Doubt]) -> Section:
    """Each doubt, with its number and what it is about."""
    blocks: tuple[Block, ...] = (Paragraph(text=tr("Nothing was found that would weaken these results.")),)
    if found:
        blocks = (
            Items(
                texts=tuple(
                    tr(
                        "[{n}] {finding}. This is about: {cases}.", n=doubt.note.number, finding=doubt.text,
                        cases=_named(doubt.about),
                    )
                    for doubt in found.values()
                ),
                ids=tuple(doubt.note.id for doubt in found.values()),
            ),
        )
    return Section(id="findings", title=tr("Findings"), blocks=blocks)


def _named(cases: Sequence[str]) -> str:
    more = len(cases) - MOST_NAMED
    said = tr("; and {n:,} more with the same number", n=more) if more > 0 else ""
    return "; ".join(cases[:MOST_NAMED]) + said
