"""The findings of an audit, what was checked, and what could not be checked."""

from __future__ import annotations

from rigmark.bench.analysis.audit import Audit
from rigmark.bench.analysis.results.findings import FindingKind
from rigmark.bench.document import formatting
from rigmark.bench.document.document import Align, Block, Cell, Column, Document, Items, Paragraph, Row, Section, Table
from rigmark.bench.document.identifiers import identifier
from rigmark.bench.document.language import tr, tr_later

SAID = {
    FindingKind.INVALID: tr_later("Wrong: {finding} [{id}]."),
    FindingKind.WARNING: tr_later("Suspect: {finding} [{id}]."),
    FindingKind.NOTE: tr_later("Note: {finding} [{id}]."),
}
COUNTED = {
    FindingKind.INVALID: tr_later("{n} wrong"), FindingKind.WARNING: tr_later("{n} suspect"),
    FindingKind.NOTE: tr_later("{n} {n:note|notes}"),
}


def section(audited: Audit, *, id: str = "audit") -> Section:
    kinds = [finding.kind for finding in audited.findings]
    counts = formatting.listed([tr(text, n=kinds.count(kind)) for kind, text in COUNTED.items() if kind in kinds])
    lines = formatting.count(audited.lines, "line")
    blocks: list[Block] = [Paragraph(text=tr(
        "{lines}: {findings}, {counts}.", lines=lines, findings=formatting.count(len(kinds), "finding"), counts=counts,
    ) if kinds else tr("{lines}: nothing was found.", lines=lines))]
    if audited.findings:
        blocks.append(Items(
            texts=tuple(tr(SAID[each.kind], finding=each.text, id=each.id) for each in audited.findings),
            ids=tuple(f"{id}.{identifier(each.id, index)}" for index, each in enumerate(audited.findings, start=1)),
        ))
    blocks.append(_checks(audited, id))
    return Section(id=id, title=tr("Audit"), blocks=tuple(blocks))


def document(audited: Audit) -> Document:
    return Document(title=tr("Are these results consistent?"), summary=(), sections=(section(audited),))


def _checks(audited: Audit, id: str) -> Table:
    by_rule = {check.rule: sum(finding.id == check.rule for finding in audited.findings) for check in audited.checks}
    return Table(
        id=f"table.{id}", caption=tr("What was checked"),
        columns=(
            Column(title=tr("check")), Column(title=tr("could be checked"), unit=tr("lines"), align=Align.RIGHT),
            Column(title=tr("found"), align=Align.RIGHT), Column(title=tr("why not more"), is_detail=True),
        ),
        rows=tuple(
            Row(
                id=f"{id}.rule.{check.rule}",
                cells=(
                    Cell(text=check.about), Cell(text=f"{check.lines:,}", value=float(check.lines)),
                    Cell(text=str(by_rule[check.rule]), value=float(by_rule[check.rule])),
                    Cell(text="" if check.lines else check.why_none),
                ),
            )
            for check in audited.checks
        ),
        notes=(tr("What could not be checked may still be wrong."),),
    )
