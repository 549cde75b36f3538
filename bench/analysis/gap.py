"""Why the step of one framework is longer than that of another: their layers, matched, with the difference of each."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rigmark.bench.analysis.layers.layers import TOO_SHORT, LayerProfile, LayerRow


@dataclass(frozen=True, kw_only=True)
class Matched:
    """Layers that share no kernel with other layers in either case, or one row that is not a layer."""

    layers: tuple[str, ...]          # in the order of the graph, as far as known from the rows
    flops: int | None                # in all directions; None if not known
    slow_s: float
    fast_s: float

    @property
    def lost_s(self) -> float:
        """Its contribution to the difference in s; negative if the slower framework is faster here."""
        return self.slow_s - self.fast_s

    def flops_per_s(self, time_s: float) -> float | None:
        return self.flops / time_s if self.flops and time_s > 0 else None


@dataclass(frozen=True, kw_only=True)
class Gap:
    """The difference of two step times, and its parts."""

    slow: LayerProfile
    fast: LayerProfile
    parts: tuple[Matched, ...]       # the largest contribution first; they add up to ``lost_s``

    @property
    def lost_s(self) -> float:
        """The difference of the instrumented steps, to which the layers belong."""
        return self.slow.step_time_s - self.fast.step_time_s

    @property
    def timed_lost_s(self) -> float | None:
        """The difference of the uninstrumented steps; None if one of the cases was not timed."""
        slow_s, fast_s = self.slow.timed_step_time_s, self.fast.timed_step_time_s
        return None if slow_s is None or fast_s is None else slow_s - fast_s

    def share(self, part: Matched) -> float:
        return part.lost_s / self.lost_s


def gap(slow: LayerProfile, fast: LayerProfile) -> Gap:
    """The difference of two steps of one network, part by part."""
    groups = _together([*slow.rows, *fast.rows])
    parts = [
        Matched(
            layers=layers, slow_s=_time_s(slow, layers), fast_s=_time_s(fast, layers),
            flops=_flops(slow, layers) or _flops(fast, layers),
        )
        for layers in groups
    ]
    return Gap(slow=slow, fast=fast, parts=tuple(sorted(parts, key=lambda each: -each.lost_s)))


def _together(rows: Iterable[LayerRow]) -> list[tuple[str, ...]]:
    """The names of rows in groups: rows whose kernels do work of each other in either case are one group."""
    group_of: dict[str, list[str]] = {}
    for row in rows:
        # Rows that are not layers, or too short, have parts of many layers; joining them would join everything.
        names = [row.layer] if row.layer.startswith("(") else [row.layer, *row.members]
        joined = list(dict.fromkeys(name for own in names for name in group_of.get(own, [own])))
        group_of.update(dict.fromkeys(joined, joined))
    return [tuple(group) for group in dict.fromkeys(tuple(group) for group in group_of.values())]


def _own(case: LayerProfile, layers: Sequence[str]) -> list[LayerRow]:
    return [row for row in case.rows if row.layer in layers]


def _time_s(case: LayerProfile, layers: Sequence[str]) -> float:
    return math.fsum(row.time_s for row in _own(case, layers))


def _flops(case: LayerProfile, layers: Sequence[str]) -> int | None:
    """The FLOPs of these layers; None if some of their work has no row of its own."""
    if layers == (TOO_SHORT,):
        return None
    known = [row.flops for row in _own(case, layers) if row.flops is not None]
    return sum(known) if known else None
