"""The cause of a difference: as a value, as plain data, and in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from rigmark.bench.document import formatting
from rigmark.bench.document.language import tr, word

ALL = 0.9                    # of a difference, from which on it is called all of it
MOST_TIMES = 10.0            # of the base's time, up to which a change is told in per cent
NAMED = 3                    # layers that a sentence names


class Kind(StrEnum):
    """Where a difference comes from. Never a guess: what the evidence does not tell is not located."""

    LAYER = "layer"              # some layers have most of it, and the others much less than their part
    HOST = "host"                # the same of what the host does outside of layers
    COMPILATION = "compilation"  # of all that is known, the sides differ only in how programs are compiled
    SIDES = "sides"              # of all that is known, the sides differ in one thing only
    MACHINE = "machine"          # one side waited, or its clock was another
    SPREAD = "spread"            # over all layers, none of which stands out
    NOT_LOCATED = "not_located"


@dataclass(frozen=True, kw_only=True)
class Share:
    """A part of the whole difference, 1.0 for all of it, with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Located:
    """A row of the per-layer profiles that has a part of the difference."""

    layer: str
    direction: str | None        # "forward", "backward", "update"; None for what belongs to no layer
    base_time_s: float           # per step; of the residual it may be 0 or negative
    new_time_s: float

    @property
    def text(self) -> str:
        name = " ".join(filter(None, (self.layer, word(self.direction) if self.direction else "")))
        if 0 < self.new_time_s < MOST_TIMES * self.base_time_s:
            return f"{name}, {formatting.change(self.new_time_s / self.base_time_s)}"
        base, new = (formatting.with_unit(each, formatting.time_unit([abs(each)]))
                     for each in (self.base_time_s, self.new_time_s))
        return tr("{name}, {new} instead of {base}", name=name, base=base, new=new)


@dataclass(frozen=True, kw_only=True)
class Cause:
    """The cause of one verdict of slower or faster."""

    kind: Kind
    located: tuple[Located, ...] = ()    # largest first
    share: Share | None = None           # of the difference, that ``located`` or waiting has
    differing: tuple[str, ...] = ()      # what is known to differ between the sides: "torch 2.12.0 against 2.13.0"
    facts: tuple[str, ...] = ()          # what was observed to differ: "time to prepare: 1.2 s against 0.4 s"
    why: str = ""                        # why it is not located

    def plain(self) -> dict[str, Any]:
        return {
            **asdict(self), "located": [asdict(each) for each in self.located], "differing": list(self.differing),
            "facts": list(self.facts), "text": self.text,
        }

    @property
    def text(self) -> str:
        """A sentence for people; more than one where there is more to be known."""
        sides = tr("The sides differ in {facts}.", facts="; ".join(self.differing)) if self.differing else ""
        is_said = self.kind in (Kind.SIDES, Kind.COMPILATION)
        return " ".join(filter(None, (self._where, self._what, "" if is_said else sides, *self.facts)))

    @property
    def _where(self) -> str:
        if not self.located or self.share is None or self.kind is Kind.MACHINE:
            return ""
        others = len(self.located) - NAMED
        names = [each.text for each in self.located[:NAMED]] + ([tr("{n} more", n=others)] if others > 0 else [])
        return tr("{layers}: {share} of the difference.", layers="; ".join(names), share=said(self.share))

    @property
    def _what(self) -> str:
        facts = "; ".join(self.differing)
        if self.kind is Kind.COMPILATION:
            return tr("Compilation: of all that is known, the sides differ only in {facts}.", facts=facts)
        if self.kind is Kind.SIDES:
            return tr("Of all that is known, the sides differ only in {facts}.", facts=facts)
        if self.kind is Kind.MACHINE:
            return "" if self.share is None else tr(
                "The slower side waited for {share} of the difference, which is no CPU time of its own: it slept, or "
                "waited for input or output, or had less of its cores.", share=said(self.share),
            )
        if self.kind is Kind.SPREAD:
            return tr("It is spread over the layers: none of them stands out.")
        return tr("Not located: {why}.", why=self.why) if self.kind is Kind.NOT_LOCATED else ""


def said(share: Share) -> str:
    """A share in words: "all", or "62 % (55 to 70 %)"."""
    if share.low > ALL or (share.low <= 1 <= share.high and share.value > ALL):
        return tr("all")
    low, high = (formatting.percent(each) for each in (share.low, share.high))
    return tr("{value} ({low} to {high})", value=formatting.percent(share.value), low=low, high=high)


def share_of(parts: Sequence[float], wholes: Sequence[float]) -> Share | None:
    """The sum of ``parts`` / that of ``wholes``, over at least three pairs; None where the wholes are about 0.

    The interval is that of the ratio estimator (Cochran, "Sampling Techniques", 1977, 6.4), by Student's t.
    """
    import numpy as np
    from scipy import stats

    part, whole = np.asarray(parts, np.float64), np.asarray(wholes, np.float64)
    count, mean = len(whole), float(np.mean(whole))
    if count < 3 or mean == 0 or abs(mean) < 2 * float(np.std(whole, ddof=1)) / count**0.5:
        return None
    value = float(np.mean(part)) / mean
    residual = part - value * whole
    error = float(np.sqrt(np.sum(residual**2) / (count * (count - 1)))) / abs(mean)
    half = float(stats.t.ppf(0.975, count - 1)) * error
    return Share(value=value, low=value - half, high=value + half)
