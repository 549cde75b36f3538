"""The proofs among records: what agreed with the oracle, and how closely."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rigmark.bench.document.language import tr, tr_later
from rigmark.bench.enums import TrialKind
from rigmark.bench.store.record import key_of_plain

CHECKS = {
    "output": tr_later("output"), "loss": tr_later("first loss"), "gradient": tr_later("gradients"),
    "second_loss": tr_later("second loss"), "third_loss": tr_later("third loss"),
}
"""What a proof compares, by its name in a record, and in words."""


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
        id=key_of_plain(record),
        facts={**identity["case"], "framework_version": identity["build"]["framework_version"]},
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
