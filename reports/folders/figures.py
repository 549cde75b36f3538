"""Every figure of a document as SVG, with colours of its own and a background, and as PNG: for slides and papers."""

from __future__ import annotations

import itertools
import re
import textwrap
import unicodedata
from collections.abc import Iterable, Iterator
from importlib import resources
from typing import get_args
from xml.etree import ElementTree

from rigmark.bench.document.document import Document, Figure
from rigmark.reports import svg
from rigmark.reports.folders import File, Folder, blocks, file_names

WIDTH, MARGIN = 900, 24      # pixels
TITLE = 22                   # height of a line of the title
TITLE_LETTERS = 100          # in a line of it; a wide letter counts twice
ZOOM = 2                     # pixels of the PNG for one of the SVG
FONTS = "'Noto Sans', 'DejaVu Sans', 'Noto Sans CJK SC', 'Source Han Sans SC', 'WenQuanYi Zen Hei', sans-serif"
VARIABLE = re.compile(r"var\((--[\w-]+)\)")
XML = "http://www.w3.org/2000/svg"

NO_RESVG = "PNG files need resvg, which is not installed: pip install resvg-py; the SVG files are complete"
NO_FONT = ("no font of this machine has letters such as {letters}, so the PNG files lack them; install one that has, "
           "such as Noto Sans CJK; the SVG files are complete")


def files(document: Document) -> Folder:
    """NAME.svg for each figure that has something to show and, with the extra ``figures``, NAME.png."""
    figures = [block for block in blocks(document) if isinstance(block, get_args(Figure))]
    drawn = [ElementTree.tostring(static(figure), encoding="unicode") for figure in figures]
    named = list(zip(file_names(figure.id for figure in figures), drawn, strict=True))
    svg_files = [File(name=f"{name}.svg", content=f"{text}\n".encode()) for name, text in named]
    if not named:
        return Folder(files=())
    try:
        from resvg_py import svg_to_bytes
    except ImportError:
        return Folder(files=tuple(svg_files), remarks=(NO_RESVG,))
    pictures = [
        File(name=f"{name}.png", content=bytes(svg_to_bytes(svg_string=text, zoom=ZOOM))) for name, text in named
    ]
    lost = _letters_without_a_font(drawn)
    return Folder(
        files=(*svg_files, *pictures), remarks=(NO_FONT.format(letters=", ".join(lost)),) if lost else ()
    )


def static(figure: Figure) -> ElementTree.Element:
    """The figure as a picture that stands alone: of one size, with its title, on white, in the page's light colours."""
    inner = svg.figure(figure)
    height = float(inner.get("height", "0"))
    unit = getattr(figure, "unit", "")
    text = f"{figure.title} ({unit})" if unit else figure.title
    title = textwrap.wrap(text, TITLE_LETTERS // (2 if _is_wide(text) else 1)) or [""]
    top = MARGIN + TITLE * len(title)
    root = ElementTree.Element("svg", {
        "xmlns": XML, "width": str(WIDTH + 2 * MARGIN), "height": f"{top + height + MARGIN:g}",
        "viewBox": f"0 0 {WIDTH + 2 * MARGIN} {top + height + MARGIN:g}", "font-family": FONTS,
    })
    ElementTree.SubElement(root, "title").text = figure.title
    inner.attrib |= {"x": str(MARGIN), "y": str(top), "width": str(WIDTH), "overflow": "visible"}
    rules, colors = _style()
    classes = {name for node in inner.iter() for name in node.get("class", "").split()}
    ElementTree.SubElement(root, "style").text = "\n".join(
        rule for selector, rule in rules if classes & set(re.findall(r"\.([\w-]+)", selector))
    )
    ElementTree.SubElement(root, "rect", {"width": "100%", "height": "100%", "fill": colors["--paper"]})
    for number, line in enumerate(title):
        place = {"x": str(MARGIN), "y": str(MARGIN + TITLE * number + 6), "font-size": "15", "font-weight": "bold"}
        ElementTree.SubElement(root, "text", {**place, "fill": colors["--text"]}).text = line
    _keep_strokes(inner, height)
    root.append(inner)
    return root


def _style() -> tuple[list[tuple[str, str]], dict[str, str]]:
    """(selector, rule) of the page's style outside of media queries, and its colours by the name of their variable.

    Renderers of files know neither variables nor ``:is``, so both are resolved.
    """
    style = (resources.files("rigmark.reports") / "templates" / "report.css").read_text(encoding="utf-8")
    style = re.sub(r"/\*.*?\*/", "", style, flags=re.DOTALL)
    style = re.sub(r"@[^{;]+\{(?:[^{}]*\{[^{}]*\})*[^{}]*\}", "", style)
    css_blocks = [(selectors.strip(), body.strip()) for selectors, body in re.findall(r"([^{}]+)\{([^{}]*)\}", style)]
    colors = dict(re.findall(r"(--[\w-]+):\s*([^;]+)", " ".join(body for name, body in css_blocks if name == ":root")))
    rules = [
        (selector, f"{selector} {{ {re.sub(VARIABLE, lambda name: colors[name[1]], body)} }}")
        for selectors, body in css_blocks for selector in _plain_selectors(selectors) if ":" not in selector
    ]
    return rules, colors


def _plain_selectors(selectors: str) -> Iterator[str]:
    """".a :is(.b, .c), .d" as ".a .b", ".a .c", ".d"."""
    for selector in re.split(r",(?![^(]*\))", selectors):
        parts = re.split(r":is\(([^)]*)\)", selector.strip())
        choices = [[part] if index % 2 == 0 else re.split(r"\s*,\s*", part) for index, part in enumerate(parts)]
        yield from ("".join(choice) for choice in itertools.product(*choices))


def _keep_strokes(figure: ElementTree.Element, height: float) -> None:
    """Points of a stretched area in pixels: few renderers know of strokes that do not stretch along."""
    for area in figure.iter("svg"):
        if area.get("preserveAspectRatio") != "none":
            continue
        _, _, width, depth = map(float, area.attrib.pop("viewBox").split())
        scale = WIDTH / width, float(area.get("height", height)) / depth
        del area.attrib["preserveAspectRatio"]
        area.set("width", str(WIDTH))
        for line in area.iter("polyline"):
            points = (map(float, point.split(",")) for point in line.get("points", "").split())
            line.set("points", " ".join(f"{x * scale[0]:.1f},{y * scale[1]:.1f}" for x, y in points))


def _is_wide(text: str) -> bool:
    return any(unicodedata.east_asian_width(letter) in "WF" for letter in text)


def _letters_without_a_font(drawn: Iterable[str]) -> list[str]:
    """Two letters of a script that no font here has: they are drawn, if at all, as the same box."""
    from resvg_py import svg_to_bytes

    wide = sorted({letter for text in drawn for letter in text if unicodedata.east_asian_width(letter) == "W"})[:2]
    pictures = {
        bytes(svg_to_bytes(svg_string=f'<svg xmlns="{XML}" width="40" height="40" font-family="{FONTS}">'
                                      f'<text x="4" y="30" font-size="30">{letter}</text></svg>'))
        for letter in wide
    }
    return wide if len(wide) == 2 and len(pictures) == 1 else []
