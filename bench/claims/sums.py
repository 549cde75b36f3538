"""Testers of claims that can be computed, from the figures in the sentence or from graphs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from rigmark.bench.buying import box
from rigmark.bench.claims.claim import Answer, Claim
from rigmark.bench.claims.evidence import Evidence, NotTestable
from rigmark.bench.document import formatting
from rigmark.bench.document.document import Origin
from rigmark.bench.document.language import tr
from rigmark.bench.machine import gpu_specifications


def filter_weights(claim: Claim, evidence: Evidence) -> Iterator[Answer]:
    """Weights of a stack of small convolutions relative to one large one with the same receptive field, from graphs."""
    kernel, layers = int(claim.where["kernel"]), int(claim.where["layers"])
    stack, one = evidence.filters(kernel, layers), evidence.filters(int(claim.where["over_kernel"]), 1)
    if stack.sees != one.sees:
        raise NotTestable(tr("they are not comparable: the stack sees {stack} positions, the single one {single}",
                             stack=stack.sees, single=one.sees))
    yield _exact(
        tr("{stack} weights against {single}, both see {sees} x {sees}", stack=stack.weights, single=one.weights,
           sees=one.sees), stack.weights / one.weights,
    )


def _exact(about: str, value: float, remark: str = "") -> Answer:
    """The answer of a figure that was computed, not measured."""
    return Answer(
        about=about, value=value, low=value, high=value, certain=(value, value), origin=Origin.ENTERED, remark=remark,
    )


def computed(formula: Callable[[Mapping[str, Any]], float]) -> Callable[[Claim, Evidence], Iterator[Answer]]:
    def answers(claim: Claim, evidence: Evidence) -> Iterator[Answer]:
        given = ", ".join(f"{name} {fact}" for name, fact in claim.where.items())
        yield _exact(tr("computed from {given}", given=given), formula(claim.where))

    return answers


def pcie_bandwidth(given: Mapping[str, Any]) -> float:
    """Bandwidth of a PCIe link in each direction, in GB/s."""
    if given["generation"] not in gpu_specifications.PCIE_GENERATIONS:
        known = formatting.listed([str(each) for each in gpu_specifications.PCIE_GENERATIONS])
        raise NotTestable(tr("only the rates of the PCIe generations {known} are known", known=known))
    return gpu_specifications.pcie_bytes_per_s(given["generation"], given["lanes"]) / 1e9


def product(given: Mapping[str, Any]) -> float:
    return float(given["count"]) * float(given["each"])


def rent_hours(given: Mapping[str, Any]) -> float:
    """Hours of renting that cost as much as buying, at one exchange rate; an hour of each may do different work."""
    return float(given["price"]) / (float(given["price_per_hour"]) * float(given["exchange_rate"]))


def supply_w(given: Mapping[str, Any]) -> float:
    """The power in W that a power supply must be rated for."""
    return box.supply(float(given["processor_w"]), [float(given["gpus_w"])], float(given["board_w"])).needed_w


def nothing(claim: Claim, evidence: Evidence) -> Iterator[Answer]:
    raise NotTestable(tr(str(claim.where["why"])))
