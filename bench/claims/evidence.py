"""What claims are held against, and which rows of it one asks for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import pandas as pd

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

if TYPE_CHECKING:
    from rigmark.bench.analysis.results.proofs import Proof


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """All that claims are held against."""

    results: Sequence[Mapping[str, Any]]         # see believed
    trials: pd.DataFrame
    comparisons: Comparisons                     # every result against every other
    layer_profiles: Sequence[LayerProfile]
    series: Sequence[scaling.Series]
    proofs: Sequence[Proof]
    quoted: Sequence[quoted.Row]                 # lines of imported tables
    models: frozenset[str]                       # networks that there are
    filters: Callable[[int, int], Filters]       # (kernel, how many) -> what a stack of such convolutions is

    def between(self, baseline: Mapping[str, Any], this: Mapping[str, Any]) -> Comparison | None:
        """How one result stands to another; None where one of them has no times that count."""
        return self.comparisons.between(key(baseline, ALIKE_COLUMNS), key(this, ALIKE_COLUMNS))


@dataclass(frozen=True, kw_only=True)
class Filters:
    """A stack of convolutions of one channel, from its graph."""

    weights: int
    sees: int                                    # width of the patch that one output depends on
    flops_per_output: int


class NotTestable(Exception):
    """Why a claim cannot be tested with what there is, a sentence."""


def believed(results: pd.DataFrame) -> list[dict[str, Any]]:
    """The results of networks that were timed and are not invalid."""
    return [
        row for row in rows_of(results)
        if row["kind"] == TrialKind.TIMING and row["outcome"] == Outcome.OK and not is_nothing(row["step_time_s"])
        and row["validity"] != Validity.INVALID
    ]


# What is asked for ----------------------------------------------------------------------------------------------------


def names_of(named: Any) -> list[str]:
    """One name or several."""
    return [] if named is None else [named] if isinstance(named, str) else [str(each) for each in named]


def is_asked(row: Mapping[str, Any], claim: Claim, **facts: str) -> bool:
    """Where the claim names models, modes or devices, the row has one of them."""
    return (
        has_model(row.get("model"), claim.where.get("model"))
        and (not names_of(claim.where.get("mode")) or row.get("mode") in names_of(claim.where["mode"]))
        and (not names_of(claim.where.get("device")) or any(is_on(row, d) for d in names_of(claim.where["device"])))
        and all(row.get(name) == fact for name, fact in facts.items())
    )


def is_usual(row: Mapping[str, Any]) -> bool:
    """As people run it: in a framework, not in the oracle; with all that the processor has; on cores of its own."""
    return row.get("framework") != "numpy" and row.get("isa") in (None, Isa.NATIVE) and not row.get("oversubscribed")


def has_model(model: Any, wanted: Any) -> bool:
    names = [network_key(name) for name in names_of(wanted)]
    return not names or network_key(str(model)) in names


def is_gpu(row: Mapping[str, Any]) -> bool:
    return str(row.get("device") or "").startswith(("gpu", "cuda"))


def is_on(row: Mapping[str, Any], device: str) -> bool:
    """``device`` is "cpu", "gpu", or the name of one: all its words are among those of the row's."""
    if device in ("cpu", "gpu"):
        return is_gpu(row) if device == "gpu" else str(row.get("device")) == "cpu"
    return _device_words(device) == _device_words(str(row.get("device_name") or ""))


OF_PROCESSORS = frozenset({"core", "tm", "r", "cpu"})
"""Words in a processor's name that tell nothing."""


@cache
def _device_words(name: str) -> frozenset[str]:
    """"NVIDIA GeForce GTX 1080 Ti" and "gtx 1080ti" are the same; "GTX 1080" is another."""
    return frozenset(gpu_specifications.name_words(name)) - gpu_specifications.BRANDS - OF_PROCESSORS


def case_in_words(row: Mapping[str, Any]) -> str:
    """"alexnet training, torch compiled, batch 32"."""
    setting = " ".join(str(row[name]) for name in ("framework", "compile_mode") if row.get(name))
    batch = tr("batch {batch}", batch=row["local_batch"]) if row.get("local_batch") else ""
    device = str(row.get("device_name") or "") if row.get("origin") != "measured" else ""
    parts = (f"{row['model']} {word(row.get('mode') or '')}".strip(), setting, device, batch)
    return ", ".join(part for part in parts if part)
