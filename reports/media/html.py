"""One self-contained page: no network; whole without its script; light, dark, printed and on a telephone."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import resources
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup

from rigmark.bench.document.document import (
    Align,
    Attachment,
    Block,
    Cell,
    Document,
    Figure,
    Fold,
    Row,
    Section,
    Standing,
    Table,
    Timeline,
    Trace,
)
from rigmark.bench.document.language import tr, tr_later, word
from rigmark.reports import svg

SUFFIX = ".html"

SIGNS = {
    Standing.CLEAR: "✓", Standing.LIKELY: "~", Standing.SAME: "=", Standing.OPEN: "≈", Standing.DEPENDS: "±",
    Standing.FEW: "?", Standing.ALONE: "1", Standing.NOTHING: "–",
}
"""A sign beside the words, so that colour is never alone."""

UPLOT = {
    "uplot.js": "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f",
    "uplot.css": "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
    "uplot.LICENSE": "8f989229699b4fe2f1a0432d0e9edc338a8a911e250e2d1b01ecd770a5f5b1bd",
}
"""SHA-256 of the vendored files of uPlot 1.6.32 (npm package uplot, dist/uPlot.iife.min.js, MIT), which are in the page
only where there is telemetry to draw."""

PAGE = 200                   # rows that a long table shows at once, as in report.js
LONG = 40                    # letters from which a cell may wrap
LARGE_FILE = 2**15           # bytes
EMPTY = -(2**15)             # stands for no reading among 16-bit steps

WORDS = {
    "filter": tr_later("filter rows"),
    "only": tr_later("only this {}"),
    "all": tr_later("all"),
    "previous": tr_later("previous"),
    "next": tr_later("next"),
    "every": tr_later("{} rows"),
    "some": tr_later("{} of {} rows"),
    "pages": tr_later("{} to {} of "),
    "parts": tr_later("{} of {} parts"),
    "compare": tr_later("compare the others with {}"),
    "versus": tr_later("vs"),
    "against": tr_later("speed-up against {}"),
    "copy": tr_later("copy"),
    "copied": tr_later("copied"),
    "copy_text": tr_later("copy this text"),
    "copy_command": tr_later("copy the command that repeats {}"),
    "seconds": tr_later("seconds"),
}
"""What the page says on its own account; {} is filled in by the script."""


def render(document: Document) -> str:
    """The page; everything in it that comes from a document is escaped."""
    blocks = list(_blocks(document.sections))
    has_timeline = any(isinstance(block, Timeline) for block in blocks)
    columns = max((len(block.columns) for block in blocks if isinstance(block, Table)), default=0)
    style = _template("report.css") + (_template("uplot.css") if has_timeline else "") + _flushed(columns)
    script = _template("report.js")
    last = []
    if has_timeline:
        last = [f"/* {_template('uplot.LICENSE')} */\n{_template('uplot.js')}", _template("timeline.js")]
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined,
        loader=jinja2.FunctionLoader(_template),
    )
    environment.globals |= {
        "kind": lambda block: type(block).__name__, "figure": _figure, "file": _file, "sign": SIGNS.__getitem__,
        "timeline": _timeline, "needs_value": _needs_value, "against": _against,
        "right": _right, "LONG": LONG, "PAGE": PAGE, "tr": tr, "word": word,
    }
    return environment.get_template("report.html").render(
        document=document, style=Markup(style), script=Markup(script), last_scripts=[Markup(each) for each in last],
        style_hash=_source(style), words_json=json.dumps({name: tr(text) for name, text in WORDS.items()}),
        script_hashes=Markup(" ".join(f"'{_source(each)}'" for each in (script, *last))),
    ).rstrip() + "\n"


def _template(name: str) -> str:
    return (resources.files("rigmark.reports") / "templates" / name).read_text(encoding="utf-8")


def _source(text: str) -> str:
    """How a content-security policy names inline text."""
    return f"sha256-{_base64(hashlib.sha256(text.encode()).digest())}"


def _blocks(sections: Iterable[Section]) -> Iterator[Block]:
    for section in sections:
        yield from _within(section.blocks)
        yield from _blocks(section.sections)


def _within(blocks: Iterable[Block]) -> Iterator[Block]:
    for block in blocks:
        yield block
        if isinstance(block, Fold):
            yield from _within(block.blocks)


def _figure(block: Figure) -> Markup:
    return Markup(svg.text(svg.figure(block)))     # ElementTree has escaped it


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


@dataclass(frozen=True, kw_only=True)
class File:
    """A file as it is downloaded."""

    name: str
    url: str
    sha256: str


def _file(attachment: Attachment) -> File:
    """Long ones are compressed: they would be most of the page."""
    content, name, kind = attachment.content.encode(), attachment.name, f"{attachment.mime_type};charset=utf-8"
    if len(content) > LARGE_FILE:
        content, name, kind = gzip.compress(content, mtime=0), f"{name}.gz", "application/gzip"
    return File(name=name, url=f"data:{kind};base64,{_base64(content)}", sha256=hashlib.sha256(content).hexdigest())


# Tables -------------------------------------------------------------------------------------------------------------


def _needs_value(table: Table) -> list[bool]:
    """For each column, whether its order cannot be read off its texts."""
    return [
        column.align is not Align.RIGHT or any(_is_hidden(row.cells[index]) for row in table.rows)
        for index, column in enumerate(table.columns)
    ]


def _is_hidden(cell: Cell) -> bool:
    """Whether the text is more than the number; then the script sorts by the value."""
    if cell.value is None:
        return False
    try:
        float(cell.text.replace(",", ""))
    except ValueError:
        return True
    return False


def _right(table: Table) -> str:
    """Classes of a table that say which columns are flushed right; on each cell they would be a tenth of the page."""
    return " ".join(f"r{number}" for number, column in enumerate(table.columns, 1) if column.align is Align.RIGHT)


def _flushed(columns: int) -> str:
    """The rules of these classes."""
    numbers = range(1, columns + 1)
    return "".join(f".r{number} tr > :nth-child({number}) {{ text-align: right; }}\n" for number in numbers)


def _against(row: Row) -> str:
    return json.dumps([
        [cell.text, None if cell.value is None else float(f"{cell.value:.6g}")] for cell in row.against
    ], ensure_ascii=False, separators=(",", ":"))


# Telemetry ----------------------------------------------------------------------------------------------------------


def _timeline(block: Timeline) -> dict[str, Any]:
    """What timeline.js draws."""
    return {
        "begin": block.begin_s, "duration": block.duration_s,
        "spans": [
            {"label": span.label, "begin": span.begin_s, "end": span.end_s, "trouble": span.is_trouble}
            for span in block.spans
        ],
        "panels": [
            {
                "unit": panel.unit, "step": panel.step_s, "zero": panel.is_from_zero,
                "traces": [{"label": trace.label, **steps(trace)} for trace in panel.traces],
            }
            for panel in block.panels
        ],
    }


def steps(trace: Trace) -> dict[str, Any]:
    """Values as 16-bit whole numbers, little-endian and in base64: value = offset + scale x number.

    The error is at most half of 1 / 65,534 of the range of the trace. EMPTY stands for no reading.
    """
    values = np.asarray(trace.values, np.float64)
    is_known = np.isfinite(values)
    low, high = (float(end(values[is_known])) if is_known.any() else 0.0 for end in (np.min, np.max))
    offset, scale = (low + high) / 2, (high - low) / (2**16 - 2) or 1.0
    numbers = np.full(len(values), EMPTY, np.int64)
    numbers[is_known] = np.rint((values[is_known] - offset) / scale)
    assert math.isfinite(offset)
    return {"offset": offset, "scale": scale, "data": _base64(numbers.astype("<i2").tobytes())}
