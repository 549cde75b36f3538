"""Whether the frameworks compute and learn the same, from the records of proofs."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rigmark.bench.analysis.results.proofs import CHECKS, Proof
from rigmark.bench.document import formatting
from rigmark.bench.document.document import (
    Align,
    Block,
    Cell,
    Column,
    Curve,
    Curves,
    Fold,
    Paragraph,
    Row,
    Section,
    Table,
)
from rigmark.bench.document.identifiers import identifier
from rigmark.bench.document.language import tr, tr_later, word
from rigmark.bench.enums import Outcome
from rigmark.bench.sections.groups import labels

SHOWN_STEPS = 12             # of a learning curve, in the table
ORACLE = tr_later("float64 oracle")


# Parity -------------------------------------------------------------------------------------------------------------


def parity_section(proofs: Sequence[Proof]) -> Section:
    """A table of errors, each with its tolerance."""
    if not proofs:
        return Section(id="parity", title=tr("Parity"), blocks=(Paragraph(text=tr("No proof is stored here.")),))
    passed = sum(proof.outcome == Outcome.OK for proof in proofs)
    columns = (
        Column(title=tr("model")), Column(title=tr("data"), is_detail=True), Column(title=tr("framework")),
        Column(title=tr("version")), Column(title=tr("settings"), is_detail=True), Column(title=tr("outcome")),
        *(Column(title=tr("{what} error", what=tr(text)), align=Align.RIGHT) for text in CHECKS.values()),
        Column(title=tr("worst gradient"), is_detail=True),
    )
    table = Table(
        id="table.parity", caption=tr("Relative errors against the float64 oracle, and what is allowed"),
        columns=columns, rows=tuple(_parity_row(proof) for proof in proofs),
        notes=(
            tr(
                "Output: L2 norm of the difference over that of the oracle's output. Gradients: the worst "
                "parameter, relative to the norm of the whole gradient, with room for ReLU and pooling decisions "
                "that rounding leaves open. Second and third loss: after one and two updates, which checks the "
                "optimizer. A precision without training is judged by its output. What is allowed in a narrower "
                "precision: one rounding, and three times what the oracle itself loses when it rounds to that "
                "format."
            ),
        ),
    )
    text = tr(
        "{passed} of {proofs} passed: same weights, same inputs, and the same answers as an independent float64 "
        "implementation, up to rounding. What fails here is not timed.", passed=passed,
        proofs=formatting.count(len(proofs), "proof"),
    )
    return Section(id="parity", title=tr("Parity: do they compute the same?"), blocks=(Paragraph(text=text), table))


def _parity_row(proof: Proof) -> Row:
    facts = proof.facts
    texts = [facts["model"], facts["data"], facts["framework"], facts["framework_version"] or formatting.UNKNOWN,
             proof.settings, word(proof.outcome)]
    cells = [Cell(text=str(text)) for text in texts]
    cells += [_error_cell(proof, name) for name in CHECKS]
    cells.append(Cell(text=proof.worst_gradient or formatting.UNKNOWN))
    return Row(id=f"proof.{identifier(proof.id)}", cells=tuple(cells))


def _error_cell(proof: Proof, name: str) -> Cell:
    if name not in proof.errors:
        return Cell(text=formatting.UNKNOWN)
    error, allowed = proof.errors[name], proof.tolerances[name]
    sign = "≤" if error <= allowed else ">"
    return Cell(text=f"{formatting.relative_error(error)} {sign} {allowed:.0e}", value=error)


# Learning -----------------------------------------------------------------------------------------------------------


def learning_section(proofs: Sequence[Proof]) -> Section | None:
    """Loss curves and accuracies, one subsection per network and data set; None without learning."""
    learned = [proof for proof in proofs if proof.losses]
    topics = dict.fromkeys((p.facts["model"], p.facts["data"], p.fingerprint) for p in learned)
    if not topics:
        return None
    sections = tuple(
        _learning([p for p in learned if (p.facts["model"], p.facts["data"], p.fingerprint) == topic])
        for topic in topics
    )
    text = tr(
        "Each framework trained once over the data, from the same weights, in the same order. The curves should "
        "coincide; far from the start they may differ by rounding."
    )
    return Section(
        id="learning", title=tr("Learning: do they learn the same?"), blocks=(Paragraph(text=text),), sections=sections
    )


def _learning(proofs: Sequence[Proof]) -> Section:
    model, data = (proofs[0].facts[name] for name in ("model", "data"))
    topic = identifier(model, data, proofs[0].fingerprint)
    about = tr("{model} on {data}", model=model, data=data)
    names = labels([proof.facts for proof in proofs], always=("precision",))
    oracle = next((proof.oracle_losses for proof in proofs if proof.oracle_losses), ())
    curves = [Curve(label=name, values=proof.losses) for name, proof in zip(names, proofs, strict=True)]
    if oracle:
        curves.insert(0, Curve(label=tr(ORACLE), values=oracle, is_reference=True))
    values = _values_table(f"table.losses.{topic}", curves)
    blocks: tuple[Block, ...] = (
        Curves(
            id=f"curves.{topic}", title=tr("Training loss, {topic}", topic=about), x_title=tr("batch"),
            y_title=tr("loss"),
            curves=tuple(curves), table=values.id,
        ),
        _accuracies(f"table.accuracy.{topic}", about, names, proofs),
        Fold(title=tr("Values of the curves"), blocks=(values,)),
    )
    return Section(id=f"learning.{topic}", title=about, blocks=blocks)


def _accuracies(table: str, about: str, names: Sequence[str], proofs: Sequence[Proof]) -> Table:
    def share(number: float | None) -> Cell:
        return Cell(text=formatting.UNKNOWN) if number is None else Cell(text=formatting.percent(number), value=number)

    def loss(number: float) -> Cell:
        return Cell(text=formatting.significant(number), value=number)

    rows = []
    for name, proof in zip(names, proofs, strict=True):
        difference = _largest_difference(proof)
        far = Cell(text=formatting.UNKNOWN) if difference is None else Cell(
            text=formatting.relative_error(difference), value=difference
        )
        cells = (Cell(text=name), loss(proof.losses[0]), loss(proof.losses[-1]), far, share(proof.accuracy))
        rows.append(Row(id=identifier(table, proof.id), cells=cells))
    asked = next((proof for proof in proofs if proof.oracle_losses), None)
    if asked:
        cells = (Cell(text=tr(ORACLE)), loss(asked.oracle_losses[0]), loss(asked.oracle_losses[-1]),
                 Cell(text=tr("reference")), share(asked.oracle_accuracy))
        rows.append(Row(id=identifier(table, "oracle"), cells=cells))
    return Table(
        id=table, caption=tr("After one pass over the training data, {about}", about=about),
        columns=(
            Column(title=tr("framework")), Column(title=tr("first loss"), align=Align.RIGHT),
            Column(title=tr("last loss"), align=Align.RIGHT),
            Column(title=tr("largest distance from the oracle's loss"), align=Align.RIGHT),
            Column(title=tr("accuracy on held-out samples"), align=Align.RIGHT),
        ),
        rows=tuple(rows),
    )


def _largest_difference(proof: Proof) -> float | None:
    pairs = list(zip(proof.losses, proof.oracle_losses, strict=False))
    return max((math.inf if math.isnan(a - b) else abs(a - b) for a, b in pairs), default=None)


def _values_table(table: str, curves: Sequence[Curve]) -> Table:
    """A selection of steps of all curves, with the first and the last one."""
    length = max(len(curve.values) for curve in curves)
    count = min(length, SHOWN_STEPS)
    steps = dict.fromkeys(round(i * (length - 1) / max(count - 1, 1)) for i in range(count))
    rows = tuple(
        Row(
            id=identifier(table, step + 1),
            cells=(Cell(text=str(step + 1), value=float(step + 1)), *(_value(curve, step) for curve in curves)),
        )
        for step in steps
    )
    return Table(
        id=table, caption=tr("Loss at {n} of {all} batches", n=len(rows), all=length),
        columns=(
            Column(title=tr("batch"), align=Align.RIGHT), *(Column(title=c.label, align=Align.RIGHT) for c in curves)
        ),
        rows=rows,
    )


def _value(curve: Curve, step: int) -> Cell:
    if step >= len(curve.values):
        return Cell(text=formatting.UNKNOWN)
    return Cell(text=formatting.significant(curve.values[step], 4), value=curve.values[step])
