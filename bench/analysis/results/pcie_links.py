"""The PCIe link of a GPU as it ran while it worked, against the one that card and slot could have."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from rigmark.bench.analysis.results.observed import Watched
from rigmark.bench.machine import gpu_specifications
from rigmark.bench.machine.gpu_specifications import Card

AT_WORK = 0.05               # busy ratio from which a link counts: one that idles slows down to save power


@dataclass(frozen=True, kw_only=True)
class Link:
    """Of one GPU; None is not known."""

    generation: int | None
    lanes: int | None
    most_generation: int | None          # that card and slot can do together, as the driver says, or the card on paper
    most_lanes: int | None

    @property
    def bytes_per_s(self) -> float | None:
        """One way; None too for a generation whose rate is not known."""
        return _rate(self.generation, self.lanes)

    @property
    def most_bytes_per_s(self) -> float | None:
        return _rate(self.most_generation, self.most_lanes)

    @property
    def below(self) -> tuple[tuple[str, int, int], ...]:
        """What is less than it could be: ("generation", 3, 4), ("width", 8, 16)."""
        return tuple(self._below())

    def _below(self) -> Iterator[tuple[str, int, int]]:
        for what, now, most in (("generation", self.generation, self.most_generation),
                                ("width", self.lanes, self.most_lanes)):
            if now is not None and most is not None and now < most:
                yield what, now, most

    def against(self, card: Card) -> Link:
        """Held against the card on paper as well: a slot of eight lanes hides that the card has sixteen."""
        return replace(self, most_generation=_larger(self.most_generation, card.pcie_generation),
                       most_lanes=_larger(self.most_lanes, card.pcie_lanes))


def under_load(gpu: Watched) -> Link | None:
    """The best that was seen while steps were timed; None for a GPU that hardly worked, or that told nothing of it."""
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
    """A driver says 0 for what it does not know."""
    return int(number) if number else None


def _larger(one: int | None, other: int | None) -> int | None:
    return max((each for each in (one, other) if each is not None), default=None)


def _rate(generation: int | None, lanes: int | None) -> float | None:
    if generation not in gpu_specifications.PCIE_GENERATIONS or lanes is None:
        return None
    return gpu_specifications.pcie_bytes_per_s(generation, lanes)
