"""Figures as SVG, built as a tree and never by gluing strings. Colours are CSS classes, so that a page can be dark.

Positions across are per cent and sizes of text are pixels: a figure fits any width and stays readable.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from xml.etree import ElementTree

from rigmark.bench.document.document import (
    Bar,
    Bars,
    Curve,
    Curves,
    Dot,
    Family,
    Figure,
    Origin,
    Roofline,
    Size,
    SpeedUps,
    Spread,
    Spreads,
    StackedBar,
    StackedBars,
)
from rigmark.bench.document.language import word

Node = ElementTree.Element

ROW, BAR = 48, 16            # pixels of a bar with its words, and of the bar alone
AXIS = 22
PLOT = 240                   # height of the area of curves
LEGEND = 20                  # height of a line of the legend
VIEW = 1000                  # units of the area of curves, either way
MARGIN = 0.2                 # of a doubling, beside the first and the last number of devices
DASHES = ("", "8 4", "2 3", "10 3 2 3", "5 5", "12 3 2 3 2 3", "1 4", "14 5")
COLORS = 6                   # classes c1 to c6
LEGEND_COLUMNS = 3
LETTER_SHARE = 0.025         # of the axis, from which a segment has room for its letter
NAMED_DOTS = 6
NAMED_PLACES = 8             # of an axis, from which names between its ends tell more than they cover
NAME_WIDTH, NAME_HEIGHT = 0.2, 14        # of the plot, and pixels, within which two names would cover one another
DOT_RADIUS = 3, 22           # pixels: of the smallest, and what is added for all of the step


def text(node: Node) -> str:
    """The figure as XML, which HTML understands too."""
    return ElementTree.tostring(node, encoding="unicode")


def _add(parent: Node, tag: str, content: str | None = None, **attributes: object) -> Node:
    names = {name.rstrip("_").replace("_", "-"): str(value) for name, value in attributes.items()}
    node = ElementTree.SubElement(parent, tag, names)
    node.text = content
    return node


def _figure(title: str, identity: str, height: int) -> Node:
    figure = Node("svg", {
        "id": identity, "class": "figure", "width": "100%", "height": str(height), "role": "img",
        "aria-label": title,
    })
    _add(figure, "title", title)
    return figure


def ticks(largest: float, about: int = 4) -> list[float]:
    """Round numbers from 0 to at least ``largest``."""
    if not (math.isfinite(largest) and largest > 0):
        return [0.0, 1.0]
    rough = largest / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next((m * power for m in (1, 2, 2.5, 5) if m * power >= rough), 10 * power)
    return [step * i for i in range(math.ceil(largest / step - 1e-9) + 1)]


def _share(value: float, whole: float) -> str:
    return f"{100 * min(max(value / whole, 0.0), 1.0):.2f}%"


# Bars ---------------------------------------------------------------------------------------------------------------


def bars(figure: Bars) -> Node:
    """Horizontal bars from zero, with whiskers for an interval or dots for single trials."""
    height = ROW * len(figure.bars) + AXIS
    root = _figure(figure.title, figure.id, height)
    reach = [end for bar in figure.bars for end in (bar.value, bar.high or 0.0, *bar.values) if math.isfinite(end)]
    scale = ticks(max(reach, default=1.0))
    _patterns(root, figure)
    for tick in scale:
        x = _share(tick, scale[-1])
        _add(root, "line", class_="grid", x1=x, x2=x, y1=0, y2=height - AXIS)
        anchor = "start" if tick == 0 else "end" if tick == scale[-1] else "middle"
        _add(root, "text", f"{tick:,.10g}", class_="tick", x=x, y=height - 6, text_anchor=anchor)
    for index, bar in enumerate(figure.bars):
        _bar(root, figure, bar, top=ROW * index, whole=scale[-1])
    return root


def _patterns(root: Node, figure: Bars) -> None:
    """What is not measured is hatched, dotted or hollow, whatever its colour."""
    definitions = _add(root, "defs")
    for origin in sorted({bar.origin for bar in figure.bars} - {Origin.MEASURED, Origin.QUOTED}):
        pattern = _add(definitions, "pattern", id=f"{figure.id}.{origin}", width=8, height=8,
                       patternUnits="userSpaceOnUse")
        if origin is Origin.PREDICTED:
            _add(pattern, "path", class_="hatch", d="M0 8 L8 0 M-2 2 L2 -2 M6 10 L10 6")
        else:
            _add(pattern, "circle", class_="dotted", cx=4, cy=4, r=1.6)


def _bar(root: Node, figure: Bars, bar: Bar, *, top: int, whole: float) -> None:
    group = _add(root, "g", class_=f"bar {bar.origin}")
    _add(group, "title", f"{bar.label}: {bar.text} {figure.unit}, {word(bar.origin)}")
    words = _add(group, "text", x=0, y=top + 16)
    _add(words, "tspan", bar.label, class_="name").tail = " "
    _add(words, "tspan", bar.text, class_="value", dx=8)
    y = top + 24
    fill = {Origin.MEASURED: {}, Origin.QUOTED: {"fill": "none"}}.get(
        bar.origin, {"fill": f"url(#{figure.id}.{bar.origin})"}
    )
    _add(group, "rect", x=0, y=y, width=_share(bar.value, whole), height=BAR, rx=2, **fill)
    middle = y + BAR / 2
    if bar.low is not None and bar.high is not None:
        low, high = _share(bar.low, whole), _share(bar.high, whole)
        for kind in ("halo", "whisker"):     # a light line below the dark one shows on the bar and beside it
            _add(group, "line", class_=kind, x1=low, x2=high, y1=middle, y2=middle)
            for end in (low, high):
                _add(group, "line", class_=kind, x1=end, x2=end, y1=middle - 5, y2=middle + 5)
    for value in bar.values:
        _add(group, "circle", class_="dot", cx=_share(value, whole), cy=middle, r=4)


# Curves -------------------------------------------------------------------------------------------------------------


def curves(figure: Curves) -> Node:
    """Lines over 1, 2, 3, ..., or over named places, from zero; a reference is a wide pale line below the others."""
    height = LEGEND + PLOT + AXIS + LEGEND * len(figure.curves) + 8
    root = _figure(figure.title, figure.id, height)
    finite = [value for curve in figure.curves for value in curve.values if math.isfinite(value)]
    scale = ticks(max(finite, default=1.0))
    length = max((len(curve.values) for curve in figure.curves), default=1)
    _add(root, "text", figure.y_title, class_="tick", x=0, y=12)
    for tick in scale:
        y = LEGEND + PLOT * (1 - tick / scale[-1])
        _add(root, "line", class_="grid", x1="0%", x2="100%", y1=f"{y:.1f}", y2=f"{y:.1f}")
        if tick:
            _add(root, "text", f"{tick:,.10g}", class_="tick", x="100%", y=f"{y + 12:.1f}", text_anchor="end")
    for anchor, x, label in _x_labels(figure, length):
        _add(root, "text", label, class_="tick", x=x, y=LEGEND + PLOT + 15, text_anchor=anchor)
    area = _add(root, "svg", x=0, y=LEGEND, width="100%", height=PLOT, viewBox=f"0 0 {VIEW} {VIEW}",
                preserveAspectRatio="none")
    for mark in figure.marks:
        x = _share(mark.at - 1, max(length - 1, 1))
        line = _add(root, "line", class_="event", x1=x, x2=x, y1=LEGEND, y2=LEGEND + PLOT)
        _add(line, "title", mark.label)
    styles = [
        {"class_": "curve reference"} if curve.is_reference else _style(index)
        for index, curve in enumerate(figure.curves)
    ]
    for curve, style in sorted(zip(figure.curves, styles, strict=True), key=lambda each: not each[0].is_reference):
        for points in _runs(curve, length, scale[-1]):
            line = _add(area, "polyline", points=points, vector_effect="non-scaling-stroke", **style)
            _add(line, "title", curve.label)
    for index, (curve, style) in enumerate(zip(figure.curves, styles, strict=True)):
        y = LEGEND + PLOT + AXIS + LEGEND * index + 12
        _add(root, "line", x1=0, x2=36, y1=y, y2=y, **style)
        _add(root, "text", curve.label, x=46, y=y + 4)
    return root


def _x_labels(figure: Curves, length: int) -> list[tuple[str, str, str]]:
    """(anchor, place, text) of the axis: its ends, what it is, and between them names where places have some."""
    ends = (figure.x_names[0], figure.x_names[-1]) if figure.x_names else ("1", f"{length:,}")
    last = len(figure.x_names) - 1
    quarters = [("middle", f"{100 * at / last:.2f}%", figure.x_names[at]) for at in (last // 4, 3 * last // 4)
                if last >= NAMED_PLACES]
    return [("start", "0%", ends[0]), ("middle", "50%", figure.x_title), *quarters, ("end", "100%", ends[1])]


def _style(index: int) -> dict[str, str]:
    dash = DASHES[index % len(DASHES)]
    return {"class_": f"curve c{index % COLORS + 1}"} | ({"stroke_dasharray": dash} if dash else {})


def _runs(curve: Curve, length: int, whole: float) -> list[str]:
    """Points of each stretch without a gap; what is not finite leaves a gap."""
    runs: list[list[str]] = [[]]
    for index, value in enumerate(curve.values):
        if not math.isfinite(value):
            runs.append([])
            continue
        x = VIEW * index / max(length - 1, 1)
        runs[-1].append(f"{x:.1f},{VIEW * (1 - max(value, 0.0) / whole):.1f}")
    return [" ".join(run) for run in runs if run]


# Speed-ups ----------------------------------------------------------------------------------------------------------


def speed_ups(figure: SpeedUps) -> Node:
    """Speed-up over the number of devices, both axes logarithmic, so that the ideal is a straight line.

    Whiskers are intervals; a hollow point is of more devices than the machine has room for, or not measured.
    """
    root = _figure(figure.title, figure.id, LEGEND + PLOT + AXIS + LEGEND * (len(figure.growths) + 1) + 8)
    sizes = [size for growth in figure.growths for size in growth.sizes]
    most = max([size.devices for size in sizes], default=1)
    lows = [1.0, *(end for size in sizes for end in (size.speed_up, size.low) if end and end > 0)]
    highs = [float(most), *(end for size in sizes for end in (size.speed_up, size.high) if end and math.isfinite(end))]
    powers = range(math.floor(math.log2(min(lows))), math.ceil(math.log2(max(highs))) + 1)

    def across(devices: float) -> float:
        return (math.log2(devices) + MARGIN) / (math.log2(most) + 2 * MARGIN)

    def down(speed_up: float) -> float:
        return 1 - (math.log2(max(speed_up, 2.0 ** powers[0])) - powers[0]) / max(powers[-1] - powers[0], 1)

    _add(root, "text", figure.axes, class_="tick", x=0, y=12)
    for power in powers:
        y = LEGEND + PLOT * down(2.0**power)
        _add(root, "line", class_="grid", x1="0%", x2="100%", y1=f"{y:.1f}", y2=f"{y:.1f}")
        _add(root, "text", f"{2.0**power:g}x", class_="tick", x="100%", y=f"{y - 3:.1f}", text_anchor="end")
    for devices in sorted({size.devices for size in sizes}):
        _add(root, "text", f"{devices:,}", class_="tick", x=_share(across(devices), 1), y=LEGEND + PLOT + 15,
             text_anchor="middle")
    area = _add(root, "svg", x=0, y=LEGEND, width="100%", height=PLOT, viewBox=f"0 0 {VIEW} {VIEW}",
                preserveAspectRatio="none")

    def line(points: list[tuple[float, float]], **style: str) -> None:
        places = " ".join(f"{VIEW * across(devices):.1f},{VIEW * down(value):.1f}" for devices, value in points)
        _add(area, "polyline", points=places, vector_effect="non-scaling-stroke", **style)

    styles = [{"class_": "curve reference"}, *(_style(index) for index in range(len(figure.growths)))]
    line([(1, 1.0), (most, float(most))], **styles[0])
    for growth, style in zip(figure.growths, styles[1:], strict=True):
        line([(size.devices, size.speed_up) for size in growth.sizes], **style)
    for index, growth in enumerate(figure.growths):
        for size in growth.sizes:
            _size(root, size, growth.label, index, across, down)
    for row, (label, style) in enumerate(zip([figure.ideal, *(g.label for g in figure.growths)], styles, strict=True)):
        y = LEGEND + PLOT + AXIS + LEGEND * row + 12
        _add(root, "line", x1=0, x2=36, y1=y, y2=y, **style)
        _add(root, "text", label, x=46, y=y + 4)
    return root


def _size(
    root: Node, size: Size, label: str, index: int, across: Callable[[float], float], down: Callable[[float], float]
) -> None:
    x, y = _share(across(size.devices), 1), LEGEND + PLOT * down(size.speed_up)
    color = f"c{index % COLORS + 1}"
    if size.low is not None and size.high is not None:
        ends = [f"{LEGEND + PLOT * down(end):.1f}" for end in (size.low, size.high)]
        _add(root, "line", class_=f"curve {color}", x1=x, x2=x, y1=ends[0], y2=ends[1])
    is_full = size.counts and size.origin is Origin.MEASURED
    point = _add(root, "circle", class_=f"size {color}" + ("" if is_full else " hollow"), cx=x, cy=f"{y:.1f}", r=5)
    _add(point, "title", f"{label}: {size.text}")


# Stacked bars -------------------------------------------------------------------------------------------------------


def stacked_bars(figure: StackedBars) -> Node:
    """Horizontal bars of parts; each part tells its name, time and share to a pointer, wide ones show their letter."""
    height = ROW * len(figure.bars) + AXIS
    legend = _legend_height(figure.families)
    root = _figure(figure.title, figure.id, height + legend)
    scale = ticks(max((math.fsum(s.value for s in bar.segments) for bar in figure.bars), default=1.0))
    for tick in scale:
        x = _share(tick, scale[-1])
        _add(root, "line", class_="grid", x1=x, x2=x, y1=0, y2=height - AXIS)
        anchor = "start" if tick == 0 else "end" if tick == scale[-1] else "middle"
        _add(root, "text", f"{tick:,.10g}", class_="tick", x=x, y=height - 6, text_anchor=anchor)
    for index, bar in enumerate(figure.bars):
        _stack(root, figure, bar, top=ROW * index, whole=scale[-1])
    _legend(root, figure.families, top=height)
    return root


def _stack(root: Node, figure: StackedBars, bar: StackedBar, *, top: int, whole: float) -> None:
    words = _add(root, "text", x=0, y=top + 16)
    _add(words, "tspan", bar.label, class_="name").tail = " "
    _add(words, "tspan", f"{bar.text} {figure.unit}", class_="value", dx=8)
    group = _add(root, "g", class_="stack", transform=f"translate(0 {top + 24})")
    before = 0.0
    for segment in bar.segments:
        part = _add(group, "rect", class_=_class(segment.family), x=_share(before, whole),
                    width=_share(segment.value, whole), height=BAR)
        _add(part, "title", f"{segment.label}: {segment.text}")
        if segment.value >= LETTER_SHARE * whole:
            _add(group, "text", segment.family.letter, x=_share(before + segment.value / 2, whole),
                 y=BAR - 4, text_anchor="middle", class_=f"letter {_class(segment.family)}")
        before += segment.value


def _class(family: Family) -> str:
    return family.name.lower().replace("_", "-")


def _legend_height(families: tuple[Family, ...]) -> int:
    return LEGEND * math.ceil(len(families) / LEGEND_COLUMNS) + 8


def _legend(root: Node, families: tuple[Family, ...], *, top: int) -> None:
    """What the colours and letters mean, in columns."""
    rows = math.ceil(len(families) / LEGEND_COLUMNS)
    for index, family in enumerate(families):
        entry = _add(root, "svg", x=f"{100 * (index // rows) / LEGEND_COLUMNS:.2f}%",
                     y=top + LEGEND * (index % rows) + 4, width=f"{100 / LEGEND_COLUMNS:.2f}%", height=LEGEND)
        _add(entry, "rect", class_=_class(family), x=1, y=1, width=BAR, height=BAR)
        _add(entry, "text", family.letter, x=1 + BAR / 2, y=BAR - 3, text_anchor="middle",
             class_=f"letter {_class(family)}")
        _add(entry, "text", word(family), x=BAR + 8, y=BAR - 3)


# Spreads ------------------------------------------------------------------------------------------------------------


def spreads(figure: Spreads) -> Node:
    """A row each: a line from 5 % to 95 %, a box of the middle half, the median, a tick at 99 %, a ring at the largest.

    The axis is logarithmic, so that equal distances are equal ratios.
    """
    height = ROW * len(figure.spreads) + AXIS
    root = _figure(figure.title, figure.id, height)
    ends = [(each.low, max(each.largest, each.high)) for each in figure.spreads]
    scale = log_ticks(min((low for low, _ in ends), default=1.0), max((high for _, high in ends), default=1.0))

    def across(value: float) -> str:
        return _share(math.log(value / scale[0]), math.log(scale[-1] / scale[0]))

    for tick in scale:
        x = across(tick)
        _add(root, "line", class_="grid", x1=x, x2=x, y1=0, y2=height - AXIS)
        anchor = "start" if tick == scale[0] else "end" if tick == scale[-1] else "middle"
        _add(root, "text", f"{tick:,.10g}", class_="tick", x=x, y=height - 6, text_anchor=anchor)
    for index, spread in enumerate(figure.spreads):
        _spread(root, figure, spread, top=ROW * index, across=across)
    return root


def log_ticks(smallest: float, largest: float) -> list[float]:
    """1, 2 and 5 times powers of ten around a range of positive numbers; powers alone where those would be too many."""
    if not 0 < smallest <= largest < math.inf:
        return [1.0, 10.0]
    low, high = math.floor(math.log10(smallest)), math.ceil(math.log10(largest))
    steps = (1, 2, 5) if high - low <= 2 else (1,)
    every = [step * 10.0**power for power in range(low, high + 1) for step in steps]
    begin = max((tick for tick in every if tick <= smallest), default=every[0])
    end = min((tick for tick in every if tick >= largest), default=every[-1])
    return [tick for tick in every if begin <= tick <= max(end, every[every.index(begin) + 1])]


def _spread(root: Node, figure: Spreads, spread: Spread, *, top: int, across: Callable[[float], str]) -> None:
    group = _add(root, "g", class_=f"spread {spread.origin}")
    _add(group, "title", f"{spread.label}: {spread.text} {figure.unit}")
    words = _add(group, "text", x=0, y=top + 16)
    _add(words, "tspan", spread.label, class_="name").tail = " "
    _add(words, "tspan", spread.text, class_="value", dx=8)
    y = top + 24
    middle = y + BAR / 2
    _add(group, "line", class_="range", x1=across(spread.low), x2=across(spread.high), y1=middle, y2=middle)
    left, right = (float(across(value).rstrip("%")) for value in (spread.quarter, spread.three_quarters))
    _add(group, "rect", x=f"{left:.2f}%", y=y, width=f"{right - left:.2f}%", height=BAR)
    _add(group, "line", class_="middle", x1=across(spread.middle), x2=across(spread.middle), y1=y - 2, y2=y + BAR + 2)
    if spread.tail is not None:
        _add(group, "line", class_="tail", x1=across(spread.tail), x2=across(spread.tail), y1=y, y2=y + BAR)
    _add(group, "circle", class_="largest", cx=across(spread.largest), cy=middle, r=4)


# Roofline -----------------------------------------------------------------------------------------------------------


def roofline(figure: Roofline) -> Node:
    """Layers below the roof of the machine's measured limits; the area of a dot grows with its share of the step."""
    legend = LEGEND + PLOT + AXIS + 8
    root = _figure(figure.title, figure.id, legend + _legend_height(figure.families))
    ridge = _ridge(figure)
    x_axis = _decades([dot.intensity for dot in figure.dots] + ([ridge] if ridge else []))
    y_axis = _decades(
        [dot.flops_per_s for dot in figure.dots] + ([figure.peak_flops_per_s] if figure.peak_flops_per_s else [])
    )

    def across(intensity: float) -> float:
        return (math.log10(intensity) - x_axis[0]) / (x_axis[-1] - x_axis[0])

    def down(flops_per_s: float) -> float:
        return 1 - (math.log10(flops_per_s) - y_axis[0]) / (y_axis[-1] - y_axis[0])

    for power in y_axis:
        y = f"{LEGEND + PLOT * down(10.0**power):.1f}"
        _add(root, "line", class_="grid", x1="0%", x2="100%", y1=y, y2=y)
        words = _power(power) + (" FLOP/s" if power == y_axis[-1] else "")
        _add(root, "text", words, class_="tick", x=0, y=float(y) - 3)
    for power in x_axis:
        x = f"{100 * across(10.0**power):.2f}%"
        _add(root, "line", class_="grid", x1=x, x2=x, y1=LEGEND, y2=LEGEND + PLOT)
        anchor = "start" if power == x_axis[0] else "end" if power == x_axis[-1] else "middle"
        words = _power(power) + (" FLOP/byte" if power == x_axis[-1] else "")
        _add(root, "text", words, class_="tick", x=x, y=LEGEND + PLOT + 15, text_anchor=anchor)
    _roof(root, figure, ridge, (10.0 ** x_axis[0], 10.0 ** x_axis[-1]), across, down)
    by_share = sorted(figure.dots, key=lambda each: -each.share)
    dots = _add(root, "g", class_="layers")
    for dot in by_share:
        _dot(dots, dot, across(dot.intensity), down(dot.flops_per_s))
    named: list[tuple[float, float]] = []
    for dot in by_share[:NAMED_DOTS]:
        place, base = across(dot.intensity), LEGEND + PLOT * down(dot.flops_per_s) - _radius(dot) - 4
        if all(abs(place - other) > NAME_WIDTH or abs(base - line) > NAME_HEIGHT for other, line in named):
            named.append((place, base))
            _add(root, "text", dot.label, class_="tick on-dots", x=f"{100 * place:.2f}%", y=f"{base:.1f}",
                 text_anchor="start" if place < 0.15 else "end" if place > 0.85 else "middle")
    _legend(root, figure.families, top=legend)
    return root


def _ridge(figure: Roofline) -> float | None:
    """FLOPs per byte from which arithmetic and no longer memory is the limit; None where one of them is not known."""
    if not (figure.peak_flops_per_s and figure.peak_bytes_per_s):
        return None
    return figure.peak_flops_per_s / figure.peak_bytes_per_s


def _decades(values: list[float]) -> list[int]:
    """Powers of ten from below the least to above the largest, at least two."""
    if not values:
        return [0, 1]
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return list(range(low, max(high, low + 1) + 1))


def _power(power: int) -> str:
    """"10 G" for ten to the tenth; a thousandth and less as they are."""
    if power < 3:
        return f"{10.0**power:g}"
    prefix = {3: "k", 6: "M", 9: "G", 12: "T", 15: "P"}.get(power - power % 3)
    return f"{10 ** (power % 3)} {prefix}" if prefix else f"1e{power}"


def _roof(
    root: Node, figure: Roofline, ridge: float | None, ends: tuple[float, float], across: Callable[[float], float],
    down: Callable[[float], float],
) -> None:
    """Memory's slope up to the ridge and arithmetic's ceiling behind it; only what is known of them."""
    flops_per_s, bytes_per_s = figure.peak_flops_per_s, figure.peak_bytes_per_s
    if flops_per_s and bytes_per_s and ridge:
        points = [(ends[0], ends[0] * bytes_per_s), (ridge, flops_per_s), (ends[1], flops_per_s)]
    elif flops_per_s:
        points = [(ends[0], flops_per_s), (ends[1], flops_per_s)]
    elif bytes_per_s:
        points = [(ends[0], ends[0] * bytes_per_s), (ends[1], ends[1] * bytes_per_s)]
    else:
        return
    area = _add(root, "svg", x=0, y=LEGEND, width="100%", height=PLOT, viewBox=f"0 0 {VIEW} {VIEW}",
                preserveAspectRatio="none", overflow="hidden")
    _add(area, "polyline", class_="roof", vector_effect="non-scaling-stroke",
         points=" ".join(f"{VIEW * across(x):.1f},{VIEW * down(y):.1f}" for x, y in points))
    if flops_per_s:
        _add(root, "text", figure.peak_flops_text, class_="tick on-dots", x="99%", text_anchor="end",
             y=f"{LEGEND + PLOT * down(flops_per_s) - 5:.1f}")
    if bytes_per_s:
        middle = math.sqrt(ends[0] * min(ridge or ends[1], ends[1]))
        height = min(max(down(middle * bytes_per_s), 0.05), 1.0)
        _add(root, "text", figure.peak_bytes_text, class_="tick on-dots", x=f"{100 * across(middle):.2f}%", dx=-6,
             text_anchor="end", y=f"{LEGEND + PLOT * height - 6:.1f}")


def _dot(root: Node, dot: Dot, x: float, y: float) -> None:
    circle = _add(root, "circle", class_=_class(dot.family), cx=f"{100 * x:.2f}%",
                  cy=f"{LEGEND + PLOT * y:.1f}", r=f"{_radius(dot):.1f}")
    _add(circle, "title", f"{dot.label}: {dot.text}")


def _radius(dot: Dot) -> float:
    smallest, added = DOT_RADIUS
    return smallest + added * math.sqrt(min(max(dot.share, 0.0), 1.0))


def figure(block: Figure) -> Node:
    match block:
        case Bars():
            return bars(block)
        case Curves():
            return curves(block)
        case SpeedUps():
            return speed_ups(block)
        case StackedBars():
            return stacked_bars(block)
        case Roofline():
            return roofline(block)
        case Spreads():
            return spreads(block)


