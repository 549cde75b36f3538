"""Explains differences between the steps of frameworks by layers, in words."""

from __future__ import annotations

from collections.abc import Iterator

from rigmark.bench.analysis.gap import Gap, Matched, gap
from rigmark.bench.analysis.layers.layers import UNATTRIBUTED
from rigmark.bench.document import formatting
from rigmark.bench.document.language import tr
from rigmark.bench.sections.advice import row_name, step_of
from rigmark.bench.sections.layer_groups import Member, Together

WORTH_SAYING = 0.05          # of the faster step; smaller differences mean nothing with one trial per case
SHARE = 0.15                 # of the difference; a layer with more is named
MOST = 0.5                   # of it that the named layers must explain together
NAMED = 3
EXPLAINED = (0.5, 2.0)       # difference of the instrumented steps / that of the timed steps


def sentences(profiles: Together) -> Iterator[str]:
    """The fastest case compared with each other one; none for a single case or equal ones."""
    fast, *others = profiles.members
    for slow in others:
        if slow.case.step_time_s > 0 and fast.case.step_time_s > 0:
            yield from _sentence(slow, fast)


def _sentence(slow: Member, fast: Member) -> Iterator[str]:
    of = gap(slow.case, fast.case)
    timed_s = of.timed_lost_s
    lost_s = of.lost_s if timed_s is None else timed_s
    if lost_s < WORTH_SAYING * (fast.case.timed_step_time_s or fast.case.step_time_s):
        return
    unit = formatting.time_unit([lost_s])
    longer = tr(
        "{slow} takes {lost} longer for {step} than {fast}", slow=slow.label, fast=fast.label,
        lost=formatting.with_unit(lost_s, unit, 2), step=step_of(slow.case),
    )
    low, high = EXPLAINED
    if not low <= of.lost_s / lost_s <= high:
        yield tr(
            "{longer}, which its layers do not explain: in the instrumented steps the difference was {instrumented}.",
            longer=longer, instrumented=formatting.with_unit(of.lost_s, unit, 2),
        )
        return
    leading = [part for part in of.parts if of.share(part) >= SHARE][:NAMED]
    if sum(map(of.share, leading)) < MOST:
        yield tr(
            "{longer}, spread over many layers: no {n} of them make up half of it; the largest part is of {part}.",
            longer=longer, n=NAMED, part=_part(of, of.parts[0]),
        )
        return
    yield tr("{longer}; of that {parts}.", longer=longer, parts="; ".join(_part(of, part) for part in leading))


def _part(of: Gap, part: Matched) -> str:
    """"dw3 65 % (1.2 ms at 0.65 GFLOP/s against 0.18 ms at 4.5 GFLOP/s)"."""
    unit = formatting.time_unit([max(part.slow_s, part.fast_s)])
    rates = [part.flops_per_s(time_s) for time_s in (part.slow_s, part.fast_s)]
    slow, fast = (
        formatting.with_unit(time_s, unit, 2) if rate is None else tr(
            "{time} at {rate}", time=formatting.with_unit(time_s, unit, 2),
            rate=formatting.with_unit(rate, formatting.rate_unit([rate], "FLOP/s"), 2),
        )
        for time_s, rate in zip((part.slow_s, part.fast_s), rates, strict=True)
    )
    return tr(
        "{share} in {layers} ({slow} against {fast})", share=formatting.share(of.share(part)), layers=_name(part),
        slow=slow, fast=fast,
    )


def _name(part: Matched) -> str:
    if part.layers == (UNATTRIBUTED,):
        return tr("the time between layers")
    first, *others = map(row_name, part.layers)
    return first if not others else f"{first} + {others[0]}" if len(others) == 1 \
        else tr("{layer} + {n} more", layer=first, n=len(others))
