"""Figures as SVG, built as a tree and never by gluing strings. Colours are CSS classes, so that a page can be dark.

Positions across are per cent and sizes of text are pixels: a figure fits any width and stays readable.
"""

from __future__ import annotations

import math
from xml.etree import ElementTree

from bench.analysis.document import Bar, Bars, Curve, Curves, Origin

Node = ElementTree.Element

ROW, BAR = 48, 16            # pixels of a bar with its words, and of the bar alone
AXIS = 22
PLOT = 240                   # height of the area of curves
LEGEND = 20                  # height of a line of the legend
VIEW = 1000                  # units of the area of curves, either way
DASHES = ("", "8 4", "2 3", "10 3 2 3", "5 5", "12 3 2 3 2 3", "1 4", "14 5")
COLORS = 6                   # classes c1 to c6


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
    _add(group, "title", f"{bar.label}: {bar.text} {figure.unit}, {bar.origin}")
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
    """Lines over 1, 2, 3, ... from zero; a reference is a wide pale line below the others."""
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
    for anchor, x, label in (("start", "0%", "1"), ("middle", "50%", figure.x_title), ("end", "100%", f"{length:,}")):
        _add(root, "text", label, class_="tick", x=x, y=LEGEND + PLOT + 15, text_anchor=anchor)
    area = _add(root, "svg", x=0, y=LEGEND, width="100%", height=PLOT, viewBox=f"0 0 {VIEW} {VIEW}",
                preserveAspectRatio="none")
    for index, curve in enumerate(figure.curves):
        style = _style(index, curve)
        for points in _runs(curve, length, scale[-1]):
            line = _add(area, "polyline", points=points, vector_effect="non-scaling-stroke", **style)
            _add(line, "title", curve.label)
        y = LEGEND + PLOT + AXIS + LEGEND * index + 12
        _add(root, "line", x1=0, x2=36, y1=y, y2=y, **style)
        _add(root, "text", curve.label, x=46, y=y + 4)
    return root


def _style(index: int, curve: Curve) -> dict[str, str]:
    if curve.is_reference:
        return {"class_": "curve reference"}
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


def figure(block: Bars | Curves) -> Node:
    return bars(block) if isinstance(block, Bars) else curves(block)


