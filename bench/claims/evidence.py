"""The results that claims are tested against, and which of their rows a claim is about."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import pandas as pd

from rigmark.bench import devices
from rigmark.bench.analysis import scaling
from rigmark.bench.analysis.comparison.compare import Comparison, Comparisons
from rigmark.bench.analysis.layers.layers import LayerProfile
from rigmark.bench.analysis.results import quoted
from rigmark.bench.analysis.results.summary import ALIKE_COLUMNS, is_nothing, key, rows_of
from rigmark.bench.analysis.results.validity import Validity
from rigmark.bench.claims.claim import Claim
from rigmark.bench.document.language import tr, word
from rigmark.bench.enums import Isa, Outcome, TrialKind, network_key
from rigmark.bench.machine import gpu_specifications
from rigmark.bench.plan import axes

if TYPE_CHECKING:
    from rigmark.bench.analysis.results.proofs import Proof


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """All results that claims are tested against."""

    results: Sequence[Mapping[str, Any]]         # see believed
    trials: pd.DataFrame
    comparisons: Comparisons                     # every result against every other
    layer_profiles: Sequence[LayerProfile]
    series: Sequence[scaling.Series]
    proofs: Sequence[Proof]
    quoted: Sequence[quoted.Row]                 # lines of imported tables
    models: frozenset[str]                       # networks that Rigmark defines
    filters: Callable[[int, int], Filters]       # (kernel size, layers) -> that stack of convolutions

    def between(self, baseline: Mapping[str, Any], this: Mapping[str, Any]) -> Comparison | None:
        """The comparison of a result with a baseline; None if one of them has no valid times."""
        return self.comparisons.between(key(baseline, ALIKE_COLUMNS), key(this, ALIKE_COLUMNS))


@dataclass(frozen=True, kw_only=True)
class Filters:
    """A stack of convolutions with one channel, from its graph."""

    weights: int
    sees: int                                    # width of the patch that one output depends on
    flops_per_output: int


class NotTestable(Exception):
    """The reason, in one sentence, why a claim cannot be tested with the stored results."""


def believed(results: pd.DataFrame) -> list[dict[str, Any]]:
    """The results of networks that were timed and are not invalid."""
    return [
        row for row in rows_of(results)
        if row["kind"] == TrialKind.TIMING and row["outcome"] == Outcome.OK and not is_nothing(row["step_time_s"])
        and row["validity"] != Validity.INVALID
    ]


# Which rows a claim is about ----------------------------------------------------------------------------------------


def names_of(named: Any) -> list[str]:
    """The names as a list, whether one or several were given."""
    return [] if named is None else [named] if isinstance(named, str) else [str(each) for each in named]


def is_asked(row: Mapping[str, Any], claim: Claim, **facts: str) -> bool:
    """Whether a row has one of the models, modes and devices that the claim names, if it names any."""
    return (
        has_model(row.get("model"), claim.where.get("model"))
        and (not names_of(claim.where.get("mode")) or row.get("mode") in names_of(claim.where["mode"]))
        and (not names_of(claim.where.get("device")) or any(is_on(row, d) for d in names_of(claim.where["device"])))
        and all(row.get(name) == fact for name, fact in facts.items())
    )


def is_usual(row: Mapping[str, Any]) -> bool:
    """Whether a row was measured as users run it: not in the oracle, with all instruction sets, on cores of its own."""
    return row.get("framework") != "numpy" and row.get("isa") in (None, Isa.NATIVE) and not row.get("oversubscribed")


def has_model(model: Any, wanted: Any) -> bool:
    names = [network_key(name) for name in names_of(wanted)]
    return not names or network_key(str(model)) in names


def is_gpu(row: Mapping[str, Any]) -> bool:
    return bool(row.get("device")) and not devices.is_host(row["device"])


def is_on(row: Mapping[str, Any], wanted: str) -> bool:
    """Whether a row was measured on a device: "cpu", "gpu", or a name whose words all occur in that of the row."""
    if wanted in ("cpu", "gpu"):
        return is_gpu(row) if wanted == "gpu" else devices.is_host(row.get("device"))
    return _device_words(wanted) == _device_words(str(row.get("device_name") or ""))


OF_PROCESSORS = frozenset({"core", "tm", "r", "cpu"})
"""Words in the names of processors that distinguish nothing."""


@cache
def _device_words(name: str) -> frozenset[str]:
    """The words that identify a device: equal for "NVIDIA GeForce GTX 1080 Ti" and "gtx 1080ti", not for "GTX 1080"."""
    return frozenset(gpu_specifications.name_words(name)) - gpu_specifications.BRANDS - OF_PROCESSORS


def case_in_words(row: Mapping[str, Any]) -> str:
    """The case of a row in words: "alexnet training, torch compiled, batch 32"."""
    setting = axes.named(row, (*axes.CODE, "compile_mode"))
    batch = tr("batch {batch}", batch=row["local_batch"]) if row.get("local_batch") else ""
    device = str(row.get("device_name") or "") if row.get("origin") != "measured" else ""
    parts = (f"{row['model']} {word(row.get('mode') or '')}".strip(), setting, device, batch)
    return ", ".join(part for part in parts if part)
