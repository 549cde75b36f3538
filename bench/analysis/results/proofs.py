"""The proofs among records: how closely each case agrees with the oracle."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rigmark.bench.document.language import tr, tr_later
from rigmark.bench.enums import Outcome, TrialKind
from rigmark.bench.plan import axes
from rigmark.bench.store.stored import Parity, StoredRecord

CHECKS = {
    "output": tr_later("output"), "loss": tr_later("first loss"), "gradient": tr_later("gradients"),
    "second_loss": tr_later("second loss"), "third_loss": tr_later("third loss"),
}
"""The checks of a proof: name in a record, and name for people."""


@dataclass(frozen=True, kw_only=True)
class Proof:
    """The used parts of a proof's record."""

    id: str
    facts: Mapping[str, Any]             # of the case, and framework_version
    fingerprint: str
    outcome: Outcome
    reason: str | None
    errors: Mapping[str, float] = field(default_factory=dict)    # by name of the check; only for checks that were made
    tolerances: Mapping[str, float] = field(default_factory=dict)
    worst_gradient: str = ""
    losses: tuple[float, ...] = ()       # while learning; empty for synthetic data
    oracle_losses: tuple[float, ...] = ()
    accuracy: float | None = None
    oracle_accuracy: float | None = None

    @property
    def settings(self) -> str:
        written = axes.label("implementation", self.facts["implementation"])
        text = " ".join(str(self.facts[name]) for name in axes.named_but("model", "mode", "framework"))
        text = f"{written} {text}".lstrip()
        devices = self.facts["world_size"]
        return text if devices == 1 else tr(
            "{settings}, {devices} devices ({strategy})", settings=text, devices=devices,
            strategy=self.facts["strategy"],
        )


def read(records: Sequence[StoredRecord]) -> list[Proof]:
    """The proofs among some records, sorted by model and framework."""
    proofs = [_read(record) for record in records if record.identity.kind == TrialKind.PROOF]
    return sorted(proofs, key=lambda proof: (str(proof.facts["model"]), str(proof.facts["framework"])))


def _read(record: StoredRecord) -> Proof:
    identity = record.identity
    return Proof(
        id=record.key, facts={**identity.case.plain(), "framework_version": identity.build.framework_version},
        fingerprint=identity.graph_fingerprint, outcome=record.outcome, reason=record.reason,
        **({} if record.parity is None else _found(record.parity)),
    )


def _found(parity: Parity) -> dict[str, Any]:
    """The fields of a Proof that describe the comparison."""
    tolerances = {name: tolerance for name in CHECKS if (tolerance := getattr(parity.tolerance, name)) is not None}
    return {
        "errors": {name: _finite(getattr(parity, f"{name}_error")) for name in tolerances}, "tolerances": tolerances,
        "worst_gradient": parity.worst_gradient or "",
        "losses": tuple(map(_finite, parity.learning_losses or ())),
        "oracle_losses": tuple(map(_finite, parity.oracle_learning_losses or ())),
        "accuracy": parity.learning_accuracy, "oracle_accuracy": parity.oracle_learning_accuracy,
    }


def _finite(number: float | None) -> float:
    """The number; infinity for null, which records contain if a number was not finite."""
    return math.inf if number is None else number
