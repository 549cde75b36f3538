"""What would help most, in sentences, from the rows of a step."""

from __future__ import annotations

import math
from collections.abc import Iterator

from rigmark.bench.analysis.layers.layers import LayerProfile, LayerRow, Part, by_op, part
from rigmark.bench.analysis.layers.roofline import WITHOUT_LIMITS, Bound, products_of
from rigmark.bench.devices import is_host
from rigmark.bench.document import formatting
from rigmark.bench.document.language import tr, tr_later, word
from rigmark.bench.enums import Mode

NAMED_SHARE = 0.05           # of the step; a type of operation with at least this share is named
LARGE_SHARE = 0.2            # of the step; a bound of layers with at least this share gets a sentence
RESIDUAL_SHARE = 0.1
SAVING = 0.03                # of the step; a layer that would save at least this share is named
NAMED_LAYERS = 2
NEAR = 0.6                   # of a limit; beyond this share there is little left to gain

NEAR_LIMIT = {
    Bound.COMPUTE: tr_later(
        "only faster arithmetic (more threads, lower precision, other hardware) or fewer FLOPs would help"
    ),
    Bound.MEMORY: tr_later("only fewer bytes would help: fusing them with their neighbours, or lower precision"),
    Bound.OVERHEAD: tr_later("a larger batch, or a compile mode that fuses them, would give each launch more to do"),
}
FAR_FROM_LIMIT = {
    Bound.COMPUTE: tr_later("another layout, compile mode, batch or framework may have kernels that use more of it"),
    Bound.MEMORY: tr_later("fusing them with their neighbours, as compile modes do, may spare most of it"),
    Bound.OVERHEAD: tr_later("a larger batch, or a compile mode that fuses them, would give each launch more to do"),
}
UNKNOWN_LIMITS = {                   # by whether FLOP/s and bandwidth are known
    (False, False): tr_later(
        "How near the layers come to this machine's limits is not known, since neither its FLOP/s in {precision} nor "
        "its memory bandwidth are stored for {threads} on {device}; '{command}' measures them."
    ),
    (False, True): tr_later(
        "How near the layers come to this machine's limits is not known, since its FLOP/s in {precision} are not "
        "stored for {threads} on {device}; '{command}' measures them."
    ),
    (True, False): tr_later(
        "How near the layers come to this machine's limits is not known, since its memory bandwidth is not stored "
        "for {threads} on {device}; '{command}' measures it."
    ),
}
ABOVE_LIMIT = {
    Bound.COMPUTE: tr_later("the peak was measured too low, or an algorithm needs fewer FLOPs than the definition"),
    Bound.MEMORY: tr_later("data stay in a cache"),
    Bound.OVERHEAD: tr_later("launches overlap, or nothing is launched"),
}


def advice(case: LayerProfile) -> list[str]:
    """One sentence each: where the time goes, which layers could save the most, and what limits the rest."""
    return [*_where(case), *_layers(case), *_bounds(case), *_unknown(case)]


def step_of(case: LayerProfile) -> str:
    return tr("inference") if case.case["mode"] == Mode.INFERENCE else tr("the training step")


def row_name(name: str) -> str:
    """The name of a layer; words for "(optimizer)" and other rows that are not layers."""
    return f"({tr(name[1:-1])})" if name.startswith("(") and name.endswith(")") else name


def op_name(name: str) -> str:
    """"conv2d layers"; "the optimizer" for rows that are not layers."""
    return tr("the {name}", name=word(name.strip("()"))) if name.startswith("(") else tr("{name} layers", name=name)


def _where(case: LayerProfile) -> Iterator[str]:
    if case.figures.problem:
        yield tr(
            "The trace is incomplete, so these shares are of what it recorded: {problem}.",
            problem=case.figures.problem,
        )
    rows = [row for row in case.rows if not row.is_residual]
    named = [each for each in by_op(rows) if each.share >= NAMED_SHARE][:3] or by_op(rows)[:1]
    if not named:
        yield tr(
            "No layer was seen running, so it is not known where the time of {step} goes.", step=step_of(case),
        )
        return
    first, *others = named
    sentences = [
        tr("{layers} for {share}", layers=op_name(each.name), share=formatting.share(each.share)) for each in others
    ]
    text = tr(
        tr_later("{layers} accounts for {share} of {step}") if first.name.startswith("(")
        else tr_later("{layers} account for {share} of {step}"), layers=_capital(op_name(first.name)),
        share=formatting.share(first.share), step=step_of(case),
    )
    if sentences:
        yield tr("{said}; {others}.", said=text, others=formatting.listed(sentences))
    else:
        yield tr("{said}.", said=text)
    rest = part("", [row for row in case.rows if row.is_residual])
    if rest.share >= RESIDUAL_SHARE:
        why = "" if case.figures.problem else tr(
            ": the host's work between them, which a larger batch or a compile mode reduces"
        )
        yield tr(
            "{share} of {step} belongs to no layer{why}.", share=formatting.share(rest.share), step=step_of(case),
            why=why,
        )


def _layers(case: LayerProfile) -> Iterator[str]:
    """The rows that would save the most time at their limits."""
    savings = {row: _saving_s(row) / case.step_time_s for row in case.rows if row.place.gap}
    most = sorted(savings, key=lambda row: -savings[row])[:NAMED_LAYERS]
    for row in most:
        if savings[row] >= SAVING:
            yield tr(
                "{layer} {attained}; at that limit {step} would take {savings} less time.", layer=named(case, row),
                attained=_attained(row), step=step_of(case), savings=formatting.share(savings[row]),
            )


def named(case: LayerProfile, row: LayerRow) -> str:
    """The layer of the row; in training with its direction."""
    is_plain = row.direction is None or case.case["mode"] == Mode.INFERENCE
    return row.name if is_plain else f"{row.name} ({word(row.direction)})"


def _saving_s(row: LayerRow) -> float:
    return max(row.time_s - (row.place.limit_s or row.time_s), 0.0)


def _attained(row: LayerRow) -> str:
    gap = row.place.gap or math.nan
    share = formatting.share(1 / gap)
    if row.place.bound is Bound.COMPUTE:
        return tr("runs at {share} of this machine's peak", share=share)
    if row.place.bound is Bound.MEMORY:
        return tr("moves its data at {share} of this machine's memory bandwidth", share=share)
    return tr("takes {times} as long as an empty operation", times=formatting.times(gap, 2))


def _bounds(case: LayerProfile) -> Iterator[str]:
    for bound in Bound:
        these = part(bound, [row for row in case.rows if row.place.bound is bound])
        if these.share >= LARGE_SHARE:
            yield tr(
                "For {share} of {step} the limit is {bound}{outlook}.", share=formatting.share(these.share),
                step=step_of(case), bound=word(bound), outlook=_outlook(these),
            )


def _outlook(these: Part) -> str:
    bound = Bound(these.name)
    attained = (these.limit_s or math.nan) / these.time_s
    if attained > 1:
        return tr(", yet it is faster than that limit allows: {reason}", reason=tr(ABOVE_LIMIT[bound]))
    advised = (NEAR_LIMIT if attained >= NEAR else FAR_FROM_LIMIT)[bound]
    return tr(", of which it reaches {attained}: {advised}", attained=formatting.share(attained), advised=tr(advised))


def _unknown(case: LayerProfile) -> Iterator[str]:
    facts, has_flops, has_bytes = case.case, bool(case.peaks.flops_per_s), bool(case.peaks.bytes_per_s)
    if has_flops and has_bytes:
        return
    if not has_flops and facts["precision"] in WITHOUT_LIMITS:
        yield tr(
            "How near the layers come to this machine's limits is not known, since no limit is measured in "
            "{precision}.", precision=facts["precision"],
        )
        return
    products = products_of(facts["precision"])
    yield tr(
        UNKNOWN_LIMITS[has_flops, has_bytes], precision=products, device=facts["device"],
        threads=formatting.count(facts["threads"], "thread"),
        command=measuring(None if has_flops else products, facts["threads"], facts["device"]),
    )


def measuring(precision: str | None, threads: int, device: str) -> str:
    """The command that measures limits; the memory bandwidth is the same for every precision."""
    options = {"precision": precision, "threads": threads, "device": None if is_host(device) else device}
    return " ".join(["rigmark run hardware", *(f"--{name} {value}" for name, value in options.items() if value)])


def _capital(words: str) -> str:
    """The sentence with a capital first letter, unless it begins with the name of an operation."""
    return f"T{words[1:]}" if words.startswith("the ") else words
