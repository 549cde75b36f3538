"""Published claims about deep learning and hardware, tested against results: confirmed, refuted, open, not testable.

A claim is about a *quantity*. Each kind of quantity has one tester, which finds its value in the stored results.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from rigmark.bench.claims import learning, speeds, sums
from rigmark.bench.claims.claim import Answer, Claim, Standing, judged, overall
from rigmark.bench.claims.evidence import Evidence, NotTestable, is_gpu, is_on, names_of
from rigmark.bench.document import formatting
from rigmark.bench.document.document import Origin
from rigmark.bench.document.language import tr, tr_later


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """A kind of figure that claims can be about, with its tester."""

    answers: Callable[[Claim, Evidence], Iterator[Answer]]
    needs: tuple[str, ...] = ()          # keys that the claim's ``where`` must have
    may: tuple[str, ...] = ()
    unit: str = ""                       # "x", "share", "samples/s", ...
    text: tuple[str, ...] = field(default=("axis", "of", "over", "of_device", "over_device", "over_model", "deeper",
                                           "shallower", "mode", "why"))
    """Those keys of ``where`` whose value is one text."""


ASKED = ("model", "mode", "device")

QUANTITIES: dict[str, Quantity] = {
    "op_share": Quantity(answers=speeds.op_share, needs=("op",), may=ASKED, unit="share"),
    "speed_up": Quantity(answers=speeds.speed_up, needs=("axis", "of", "over"), may=ASKED, unit="x"),
    "world_speed_up": Quantity(answers=speeds.world_speed_up, needs=("world_size",), may=ASKED, unit="x"),
    "efficiency_falls": Quantity(answers=speeds.efficiency_falls, may=ASKED, unit="x"),
    "throughput": Quantity(answers=speeds.throughput, may=ASKED, unit=tr_later("samples/s")),
    "throughput_ratio": Quantity(
        answers=speeds.throughput_ratio, needs=("mode", "of_device", "over_device"), may=("model",), unit="x"
    ),
    "model_time_ratio": Quantity(answers=speeds.model_time_ratio, needs=("model", "over_model"), may=(), unit="x"),
    "pass_time": Quantity(answers=speeds.pass_time, needs=("samples", "passes"), may=("model", "device"),
                          unit=tr_later("minutes")),
    "accuracy": Quantity(answers=learning.accuracy, needs=("held_out",), may=("model", "device"), unit="share"),
    "precision_accuracy": Quantity(
        answers=learning.precision_accuracy, needs=("precision", "held_out"), may=("model", "device"), unit="share"
    ),
    "deeper_accuracy": Quantity(
        answers=learning.deeper_accuracy, needs=("deeper", "shallower", "held_out"), may=(), unit="share"
    ),
    "gpu_busy": Quantity(answers=speeds.gpu_busy, may=ASKED, unit="share"),
    "filter_weights": Quantity(answers=sums.filter_weights, needs=("kernel", "layers", "over_kernel"), unit="x"),
    "pcie_bandwidth": Quantity(
        answers=sums.computed(sums.pcie_bandwidth), needs=("generation", "lanes"), unit="GB/s"
    ),
    "product": Quantity(answers=sums.computed(sums.product), needs=("count", "each")),
    "rent_hours": Quantity(
        answers=sums.computed(sums.rent_hours), needs=("price", "price_per_hour", "exchange_rate"), unit="h"
    ),
    "supply_w": Quantity(answers=sums.computed(sums.supply_w), needs=("processor_w", "gpus_w", "board_w"), unit="W"),
    "none": Quantity(answers=sums.nothing, needs=("why",)),
}
"""Each quantity, with the keys that a claim must and may have in ``where``. ``device`` is "cpu", "gpu" or a name."""


@dataclass(frozen=True, kw_only=True)
class ClaimResult:
    claim: Claim
    standing: Standing
    why: str                             # how many figures agree, or why there is none
    answers: tuple[Answer, ...]
    unit: str


def judge(claims: Sequence[Claim], evidence: Evidence) -> list[ClaimResult]:
    """Every claim with its outcome, in the order of ``claims``."""
    return [_result(claim, evidence) for claim in claims]


def _result(claim: Claim, evidence: Evidence) -> ClaimResult:
    quantity = QUANTITIES[claim.quantity]
    try:
        answers = [judged(answer, claim) for answer in quantity.answers(claim, evidence)]
    except NotTestable as reason:
        return ClaimResult(claim=claim, standing=Standing.UNTESTABLE, why=str(reason), answers=(), unit=quantity.unit)
    if not answers:
        return ClaimResult(
            claim=claim, standing=Standing.UNTESTABLE, why=_why_nothing(claim, evidence), answers=(),
            unit=quantity.unit,
        )
    # Measured results take precedence over published ones.
    deciding = [answer for answer in answers if answer.origin is not Origin.QUOTED] or answers
    standing, why = overall(deciding, claim)
    if deciding[0].origin is Origin.QUOTED:
        why = tr("only published results, {why}", why=why)
    return ClaimResult(claim=claim, standing=standing, why=why, answers=tuple(answers), unit=quantity.unit)


def _why_nothing(claim: Claim, evidence: Evidence) -> str:
    """Why there is no figure for a claim."""
    wanted = [name for place in ("model", "deeper", "over_model") for name in names_of(claim.where.get(place))]
    missing = [name for name in wanted if name not in evidence.models]
    if missing and len(missing) == len(wanted):
        return tr("the model is missing: there is no network {names} here, and no imported table has it",
                  names=formatting.listed(missing))
    every = [*evidence.results, *evidence.quoted]
    devices = [name for place in ("device", "of_device", "over_device") for name in names_of(claim.where.get(place))]
    unseen = [name for name in devices if not any(is_on(row, name) for row in every)]
    if unseen:
        named = formatting.listed([tr("a GPU") if name == "gpu" else name for name in unseen])
        return tr("no result of {devices} is stored, measured or imported", devices=named)
    if "gpu" in devices and not any(is_gpu(row) for row in evidence.results):
        return tr("no GPU was measured, and no imported table has this figure for one")
    return tr("not measured yet: {how}", how=tr(claim.how))
