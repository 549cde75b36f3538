"""Did the frameworks compute the same, and do they learn the same? From the records of proofs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.analysis import formatting
from bench.analysis.document import (
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
from bench.analysis.identifiers import identifier
from bench.analysis.language import tr, tr_later, word
from bench.analysis.story.groups import labels
from bench.words import Outcome, TrialKind

CHECKS = {
    "output": tr_later("output"), "loss": tr_later("first loss"), "gradient": tr_later("gradients"),
    "second_loss": tr_later("second loss"), "third_loss": tr_later("third loss"),
}
"""What a proof compares, by its name in a record, and in words."""

SHOWN_STEPS = 12             # of a learning curve, in its table
ORACLE = tr_later("float64 oracle")


@dataclass(frozen=True, kw_only=True)
class Proof:
    """What is needed of a proof's record."""

    id: str
    facts: Mapping[str, Any]             # of the case, and framework_version
    fingerprint: str
    outcome: str
    reason: str | None
    errors: Mapping[str, float]          # by name of the check; only of those that were made
    tolerances: Mapping[str, float]
    worst_gradient: str
    losses: tuple[float, ...] = ()       # while learning; empty for synthetic data
    oracle_losses: tuple[float, ...] = ()
    accuracy: float | None = None
    oracle_accuracy: float | None = None

    @property
    def settings(self) -> str:
        words = " ".join(str(self.facts[name]) for name in ("compile_mode", "layout", "precision", "device"))
        devices = self.facts.get("world_size", 1)        # which older records do not say
        return words if devices == 1 else tr(
            "{settings}, {devices} devices ({strategy})", settings=words, devices=devices,
            strategy=self.facts["strategy"],
        )


def read(records: Sequence[Mapping[str, Any]]) -> tuple[list[Proof], list[str]]:
    """The proofs among some records, and a sentence for each that cannot be understood."""
    proofs, problems = [], []
    for record in records:
        try:
            if record["identity"]["kind"] == TrialKind.PROOF:
                proofs.append(_read(record))
        except (KeyError, TypeError, ValueError, AttributeError):
            problems.append(tr("record {id} does not hold what a proof should, and was left out", id=record.get("id")))
    return sorted(proofs, key=lambda proof: (str(proof.facts["model"]), str(proof.facts["framework"]))), problems


def _read(record: Mapping[str, Any]) -> Proof:
    identity, parity = record["identity"], record["parity"] or {}
    judged = [name for name in CHECKS if name in parity.get("tolerance", {})]
    return Proof(
        id=record["id"], facts={**identity["case"], "framework_version": identity["build"]["framework_version"]},
        fingerprint=identity["graph_fingerprint"], outcome=record["outcome"], reason=record["reason"],
        errors={name: _finite(parity[f"{name}_error"]) for name in judged},
        tolerances={name: float(parity["tolerance"][name]) for name in judged},
        worst_gradient=str(parity.get("worst_gradient", "")),
        losses=tuple(map(_finite, parity.get("learning_losses") or ())),
        oracle_losses=tuple(map(_finite, parity.get("oracle_learning_losses") or ())),
        accuracy=_share(parity.get("learning_accuracy")),
        oracle_accuracy=_share(parity.get("oracle_learning_accuracy")),
    )


def _finite(number: Any) -> float:
    """A record holds null where a number was not finite."""
    return math.inf if number is None else float(number)


def _share(number: Any) -> float | None:
    return None if number is None else float(number)


# Parity -------------------------------------------------------------------------------------------------------------


def parity_section(proofs: Sequence[Proof]) -> Section:
    """A table of errors, each beside what rounding may explain."""
    if not proofs:
        return Section(id="parity", title=tr("Parity"), blocks=(Paragraph(text=tr("No proof is stored here.")),))
    passed = sum(proof.outcome == Outcome.OK for proof in proofs)
    columns = (
        Column(title=tr("model")), Column(title=tr("data"), is_detail=True), Column(title=tr("framework")),
        Column(title=tr("version")), Column(title=tr("settings"), is_detail=True), Column(title=tr("outcome")),
        *(Column(title=tr("{what} error", what=tr(words)), align=Align.RIGHT) for words in CHECKS.values()),
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
    words = tr(
        "{passed} of {proofs} passed: same weights, same inputs, and the same answers as an independent float64 "
        "implementation, up to rounding. What fails here is not timed.", passed=passed,
        proofs=formatting.count(len(proofs), "proof"),
    )
    return Section(id="parity", title=tr("Parity: do they compute the same?"), blocks=(Paragraph(text=words), table))


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
    """Loss curves and accuracies, a subsection for each network and data; None where nothing learned."""
    learned = [proof for proof in proofs if proof.losses]
    topics = dict.fromkeys((p.facts["model"], p.facts["data"], p.fingerprint) for p in learned)
    if not topics:
        return None
    sections = tuple(
        _learning([p for p in learned if (p.facts["model"], p.facts["data"], p.fingerprint) == topic])
        for topic in topics
    )
    words = tr(
        "Each framework trained once over the data, from the same weights, in the same order. The curves should "
        "lie on one another; far from the start rounding may part them."
    )
    return Section(
        id="learning", title=tr("Learning: do they learn the same?"), blocks=(Paragraph(text=words),), sections=sections
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
    """Some steps of all curves, first and last included."""
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
