"""What an audit found, what it looked at, and what it could not."""

from __future__ import annotations

from bench.analysis import formatting
from bench.analysis.audit import Audit
from bench.analysis.document import Align, Block, Cell, Column, Document, Items, Paragraph, Row, Section, Table
from bench.analysis.findings import FindingKind
from bench.analysis.identifiers import identifier

TITLE = "Audit"
WORDS = {FindingKind.INVALID: "Wrong", FindingKind.WARNING: "Suspect", FindingKind.NOTE: "Note"}


def section(found: Audit, *, id: str = "audit", title: str = TITLE) -> Section:
    kinds = [finding.kind for finding in found.findings]
    counts = [f"{kinds.count(kind)} {word.lower()}" for kind, word in WORDS.items() if kind in kinds]
    said = f"{formatting.count(len(kinds), 'finding')}, {formatting.listed(counts)}" if kinds else "nothing was found"
    blocks: list[Block] = [Paragraph(text=f"{formatting.count(found.lines, 'line')}: {said}.")]
    if found.findings:
        blocks.append(Items(
            texts=tuple(f"{WORDS[finding.kind]}: {finding.text} [{finding.id}]." for finding in found.findings),
            ids=tuple(f"{id}.{identifier(finding.id, index)}" for index, finding in enumerate(found.findings, start=1)),
        ))
    blocks.append(_looked(found, id))
    return Section(id=id, title=title, blocks=tuple(blocks))


def document(found: Audit) -> Document:
    return Document(title=TITLE, summary=(), sections=(section(found),))


def _looked(found: Audit, id: str) -> Table:
    by_rule = {looked.rule: sum(finding.id == looked.rule for finding in found.findings) for looked in found.looked}
    return Table(
        id=f"table.{id}", caption="What was looked at",
        columns=(
            Column(title="check"), Column(title="could be checked", unit="lines", align=Align.RIGHT),
            Column(title="found", align=Align.RIGHT), Column(title="why not more", is_detail=True),
        ),
        rows=tuple(
            Row(
                id=f"{id}.rule.{looked.rule}",
                cells=(
                    Cell(text=looked.about), Cell(text=f"{looked.lines:,}", value=float(looked.lines)),
                    Cell(text=str(by_rule[looked.rule]), value=float(by_rule[looked.rule])),
                    Cell(text="" if looked.lines else looked.why_none),
                ),
            )
            for looked in found.looked
        ),
        notes=("What could not be checked is not cleared by it.",),
    )
