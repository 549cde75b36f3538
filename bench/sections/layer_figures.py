"""Figures of a step: its layers as one stacked bar per case, and as dots below the roofline."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from rigmark.bench.analysis.layers.layers import UNATTRIBUTED, LayerProfile, LayerRow, Part, by_layer, longest, part
from rigmark.bench.analysis.layers.roofline import SPECIFICATION, Peak
from rigmark.bench.analysis.results.validity import Validity
from rigmark.bench.document import formatting
from rigmark.bench.document.document import Dot, Family, Roofline, Segment, StackedBar, StackedBars
from rigmark.bench.document.language import tr, word
from rigmark.bench.sections.advice import step_of
from rigmark.bench.sections.layer_groups import Member

MOST_LAYERS = 200            # in a bar, in a plot, or in a table of cases side by side

FAMILIES = {
    Family.CONVOLUTION: ("conv2d", "conv_transpose2d"), Family.DENSE: ("dense", "matmul"),
    Family.ATTENTION: ("attention",), Family.RECURRENT: ("lstm", "gru", "rnn"),
    Family.POOLING: ("max_pool", "avg_pool", "global_avg_pool", "max_unpool", "resize", "roi_align"),
    Family.NORMALISATION: ("batch_norm", "local_response_norm", "layer_norm", "rms_norm", "group_norm"),
    Family.ELEMENT_WISE: (
        "relu", "tanh", "sigmoid", "softmax", "dropout", "add", "clip", "gelu", "silu", "exp", "log", "sqrt", "abs",
        "negative", "sin", "cos", "subtract", "multiply", "divide", "maximum", "minimum", "greater", "less", "equal",
        "where", "reduce_sum", "reduce_mean", "reduce_max", "reduce_min", "cumulative_sum", "argmax", "greater_equal",
        "less_equal", "and", "or", "not", "cast", "leaky_relu", "prelu", "elu", "selu", "softplus", "hard_sigmoid",
        "hard_swish", "power", "reciprocal", "erf", "log_softmax",
        "rotary", "top_k",
    ),
    Family.MOVEMENT: (
        "concat", "flatten", "embedding", "reshape", "transpose", "slice", "split", "gather", "parameter", "expand",
        "one_hot", "embedding_bag", "scatter_add", "gather_elements", "join", "permute", "regroup", "tile", "pad",
    ),
    Family.TRAINING: ("(loss)", "(optimizer)", "(gradient add)"),
    Family.RESIDUAL: (UNATTRIBUTED,),
}
FAMILY_OF = {name: family for family, names in FAMILIES.items() for name in names}


def family(name: str) -> Family:
    """The family of an operation, or of a row that is not a layer."""
    return FAMILY_OF.get(name, Family.OTHER)


# Bars ---------------------------------------------------------------------------------------------------------------


def stacked_bars(members: Sequence[Member], identity: str, table: str, about: str) -> StackedBars:
    """One bar per case, whose parts are layers in all directions, in their order in the step."""
    unit = formatting.time_unit(member.case.step_time_s for member in members)
    return StackedBars(
        id=identity, title=tr("Where the time of a step goes, {about}", about=about), unit=unit.name, table=table,
        bars=tuple(
            StackedBar(
                label=member.label, text=formatting.significant(member.case.step_time_s / unit.scale),
                segments=tuple(_segments(member.case, unit)),
            )
            for member in members
        ),
    )


def _segments(case: LayerProfile, unit: formatting.Unit) -> list[Segment]:
    return [
        Segment(
            label=_part_name(each), value=max(each.time_s, 0.0) / unit.scale,
            text=f"{formatting.with_unit(each.time_s, unit, 2)}, {formatting.share(each.share)}",
            family=family((each.rows and each.rows[0].op) or each.name),
        )
        for each in _shown(by_layer(case.rows))
    ]


def _shown(parts: Sequence[Part]) -> list[Part]:
    """At most MOST_LAYERS layers in their order; then all shorter ones as one part, and the residual."""
    layers = sorted((each for each in parts if each.name != UNATTRIBUTED), key=lambda each: -each.time_s)
    short = {each.name for each in layers[MOST_LAYERS:]}
    if not short:
        return list(parts)
    name = tr("the {n} shortest layers together", n=len(short))
    rest = dataclasses.replace(part(name, [row for each in layers[MOST_LAYERS:] for row in each.rows]), rows=())
    shown = [each for each in parts if each.name not in short]
    place = next((index for index, each in enumerate(shown) if each.name == UNATTRIBUTED), len(shown))
    return [*shown[:place], rest, *shown[place:]]


def _part_name(each: Part) -> str:
    return max((row.name for row in each.rows), key=len, default=each.name)


# Roofline -----------------------------------------------------------------------------------------------------------


def roofline_plot(member: Member, identity: str, table: str) -> Roofline:
    """A dot for each row whose work is known, the longest rows first."""
    dots = [
        Dot(
            label=row.name if row.direction is None else f"{row.name}, {word(row.direction)}",
            text=_dot_words(row), intensity=row.place.intensity, flops_per_s=row.place.flops_per_s, share=row.share,
            family=family(row.op or row.layer),
        )
        for row in longest(member.case.rows, MOST_LAYERS) if row.place.intensity and row.place.flops_per_s
    ]
    peaks = member.case.peaks
    return Roofline(
        id=identity, title=tr(
            "Roofline of {label}, {step} of {model}", label=member.label, step=step_of(member.case),
            model=member.case.case["model"],
        ),
        dots=tuple(dots), table=table,
        peak_flops_per_s=peaks.flops_per_s.value if peaks.flops_per_s else None,
        peak_bytes_per_s=peaks.bytes_per_s.value if peaks.bytes_per_s else None,
        peak_flops_text=peak_words(peaks.flops_per_s, "FLOP/s"), peak_bytes_text=peak_words(peaks.bytes_per_s, "B/s"),
    )


def _dot_words(row: LayerRow) -> str:
    flops_per_s = row.place.flops_per_s or 0.0
    rate = formatting.with_unit(flops_per_s, formatting.rate_unit([flops_per_s], "FLOP/s"), 2)
    return tr(
        "{rate} at {intensity} FLOP/byte, {share}", rate=rate,
        intensity=formatting.significant(row.place.intensity or 0.0, 2), share=formatting.share(row.share),
    )


def peak_words(peak: Peak | None, name: str) -> str:
    """A peak in words, with a remark if it is specified or suspect; empty if it is not known."""
    if peak is None:
        return ""
    unit = formatting.time_unit([peak.value]) if name == "s" else formatting.rate_unit([peak.value], name)
    marks = [*([] if peak.is_measured else [tr(SPECIFICATION)]), *([word(Validity.SUSPECT)] if peak.is_suspect else [])]
    return tr(", ").join([formatting.with_unit(peak.value, unit), *marks])
