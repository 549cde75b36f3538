"""The PCIe link of a GPU under load, compared with the maximum of card and slot."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from rigmark.bench.analysis.results.observed import Watched
from rigmark.bench.machine import gpu_specifications
from rigmark.bench.machine.gpu_specifications import Card

AT_WORK = 0.05               # busy ratio from which on a link counts: idle links slow down to save power


@dataclass(frozen=True, kw_only=True)
class Link:
    """The link of one GPU; None is not known."""

    generation: int | None
    lanes: int | None
    most_generation: int | None          # of card and slot, by the driver; or of the card, by its data sheet
    most_lanes: int | None

    @property
    def bytes_per_s(self) -> float | None:
        """Bandwidth in one direction; None also for a generation whose rate is not known."""
        return _rate(self.generation, self.lanes)

    @property
    def most_bytes_per_s(self) -> float | None:
        return _rate(self.most_generation, self.most_lanes)

    @property
    def below(self) -> tuple[tuple[str, int, int], ...]:
        """What is below its maximum: ("generation", 3, 4), ("width", 8, 16)."""
        return tuple(self._below())

    def _below(self) -> Iterator[tuple[str, int, int]]:
        for what, now, most in (("generation", self.generation, self.most_generation),
                                ("width", self.lanes, self.most_lanes)):
            if now is not None and most is not None and now < most:
                yield what, now, most

    def against(self, card: Card) -> Link:
        """The link compared with the data sheet of the card too: a slot of eight lanes hides that the card has 16."""
        return replace(self, most_generation=_larger(self.most_generation, card.pcie_generation),
                       most_lanes=_larger(self.most_lanes, card.pcie_lanes))


def under_load(gpu: Watched) -> Link | None:
    """The best link that was seen while steps were timed; None if the GPU hardly worked, or if it is not known."""
    if not (gpu.mean("busy_ratio") or 0.0) > AT_WORK:
        return None
    generation, lanes = gpu.max("pcie_link_generation"), gpu.max("pcie_link_width")
    if generation is None and lanes is None:
        return None
    return Link(
        generation=_whole(generation), lanes=_whole(lanes), most_lanes=_whole(gpu.facts.pcie_link_width_max),
        most_generation=_whole(gpu.facts.pcie_link_generation_max),
    )


def _whole(number: float | None) -> int | None:
    """A whole number; None for 0, with which drivers mean not known."""
    return int(number) if number else None


def _larger(one: int | None, other: int | None) -> int | None:
    return max((each for each in (one, other) if each is not None), default=None)


def _rate(generation: int | None, lanes: int | None) -> float | None:
    if generation not in gpu_specifications.PCIE_GENERATIONS or lanes is None:
        return None
    return gpu_specifications.pcie_bytes_per_s(generation, lanes)
