"""What would help most, in words: from the rows of a step to the sentences that a reader is after."""

from __future__ import annotations

import math
from collections.abc import Iterator

from bench.analysis import formatting
from bench.analysis.layers import LayerRow, Part, TakenApart, by_op, part
from bench.analysis.roofline import Bound
from bench.words import Mode

NAMED_SHARE = 0.05           # of the step, from which a type of operation is named
LARGE_SHARE = 0.2            # from which what bounds the layers is worth a sentence
RESIDUAL_SHARE = 0.1
SAVING = 0.03                # of the step, from which a single layer is named
NAMED_LAYERS = 2
NEAR = 0.6                   # of a limit, from which little is left to gain below it

NEAR_LIMIT = {
    Bound.COMPUTE: "only faster arithmetic (more threads, lower precision, other hardware) or fewer FLOPs would help",
    Bound.MEMORY: "only fewer bytes would help: fusing them with their neighbours, or lower precision",
    Bound.OVERHEAD: "a larger batch, or a compile mode that fuses them, would give each launch more to do",
}
FAR_FROM_LIMIT = {
    Bound.COMPUTE: "another layout, compile mode, batch or framework may have kernels that use more of it",
    Bound.MEMORY: "fusing them with their neighbours, as compile modes do, may spare most of it",
    Bound.OVERHEAD: "a larger batch, or a compile mode that fuses them, would give each launch more to do",
}
ABOVE_LIMIT = {
    Bound.COMPUTE: "the peak was measured too low, or an algorithm needs fewer FLOPs than the definition",
    Bound.MEMORY: "data stay in a cache",
    Bound.OVERHEAD: "launches overlap, or nothing is launched",
}


def advice(case: TakenApart) -> list[str]:
    """Where the time goes, which layers have the most to give, and what bounds the rest; a sentence each."""
    return [*_where(case), *_layers(case), *_bounds(case), *_unknown(case)]


def step_of(case: TakenApart) -> str:
    return "inference" if case.case["mode"] == Mode.INFERENCE else "the training step"


def op_name(name: str) -> str:
    """"conv2d layers"; "the optimizer" of what is no layer."""
    return f"the {name.strip('()')}" if name.startswith("(") else f"{name} layers"


def _where(case: TakenApart) -> Iterator[str]:
    if case.figures.problem:
        yield f"The trace is not whole, so these shares are of what it saw: {case.figures.problem}."
    rows = [row for row in case.rows if not row.is_residual]
    named = [each for each in by_op(rows) if each.share >= NAMED_SHARE][:3] or by_op(rows)[:1]
    if not named:
        yield f"No layer was seen at work, so nothing can be said of where the time of {step_of(case)} goes."
        return
    first, *others = named
    words = [f"{op_name(each.name)} for {formatting.share(each.share)}" for each in others]
    verb = "accounts" if first.name.startswith("(") else "account"
    besides = f"; {formatting.listed(words)}" if words else ""
    yield f"{_capital(op_name(first.name))} {verb} for {formatting.share(first.share)} of {step_of(case)}{besides}."
    rest = part("", [row for row in case.rows if row.is_residual])
    if rest.share >= RESIDUAL_SHARE:
        why = "" if case.figures.problem else (
            ": the host's work between them, which a larger batch or a compile mode makes smaller"
        )
        yield f"{formatting.share(rest.share)} of {step_of(case)} belongs to no layer{why}."


def _layers(case: TakenApart) -> Iterator[str]:
    """The rows that would save the most time at their limits."""
    savings = {row: _saving_s(row) / case.step_time_s for row in case.rows if row.place.gap}
    most = sorted(savings, key=lambda row: -savings[row])[:NAMED_LAYERS]
    for row in most:
        if savings[row] >= SAVING:
            yield (f"{named(case, row)} {_attained(row)}; at that limit {step_of(case)} would take "
                   f"{formatting.share(savings[row])} less time.")


def named(case: TakenApart, row: LayerRow) -> str:
    """The row's layer; in training with its direction."""
    is_plain = row.direction is None or case.case["mode"] == Mode.INFERENCE
    return row.name if is_plain else f"{row.name} ({row.direction})"


def _saving_s(row: LayerRow) -> float:
    return max(row.time_s - (row.place.limit_s or row.time_s), 0.0)


def _attained(row: LayerRow) -> str:
    gap = row.place.gap or math.nan
    share = formatting.share(1 / gap)
    if row.place.bound is Bound.COMPUTE:
        return f"runs at {share} of this machine's peak"
    if row.place.bound is Bound.MEMORY:
        return f"moves its data at {share} of this machine's memory bandwidth"
    return f"takes {formatting.significant(gap, 2)}x as long as an empty operation"


def _bounds(case: TakenApart) -> Iterator[str]:
    for bound in Bound:
        these = part(bound, [row for row in case.rows if row.place.bound is bound])
        if these.share >= LARGE_SHARE:
            yield f"For {formatting.share(these.share)} of {step_of(case)} the limit is {bound}{_outlook(these)}."


def _outlook(these: Part) -> str:
    bound = Bound(these.name)
    attained = (these.limit_s or math.nan) / these.time_s
    if attained > 1:
        return f", yet it is faster than that allows: {ABOVE_LIMIT[bound]}"
    advised = (NEAR_LIMIT if attained >= NEAR else FAR_FROM_LIMIT)[bound]
    return f", of which it reaches {formatting.share(attained)}: {advised}"


def _unknown(case: TakenApart) -> Iterator[str]:
    if case.peaks.flops_per_s and case.peaks.bytes_per_s:
        return
    facts = case.case
    threads = formatting.count(facts["threads"], "thread")
    yield (f"How near the layers come to this machine's limits is not known, since none are stored for "
           f"{facts['precision']} and {threads} on {facts['device']}; 'rigmark run hardware' measures them.")


def _capital(words: str) -> str:
    """An operation keeps its own spelling."""
    return f"T{words[1:]}" if words.startswith("the ") else words
