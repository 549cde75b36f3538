"""One self-contained page: no network, no script; light, dark, printed and on a telephone."""

from __future__ import annotations

import base64
import hashlib
from importlib import resources

import jinja2
from markupsafe import Markup

from bench.analysis.document import Attachment, Document, Figure, Standing
from bench.analysis.language import tr, word
from reports import svg

SUFFIX = ".html"

SIGNS = {
    Standing.CLEAR: "✓", Standing.LIKELY: "~", Standing.SAME: "=", Standing.OPEN: "≈", Standing.DEPENDS: "±",
    Standing.FEW: "?", Standing.ALONE: "1", Standing.NOTHING: "–",
}
"""A sign beside the words, so that colour is never alone."""


def render(document: Document) -> str:
    """The page; everything in it that comes from a document is escaped."""
    templates = resources.files("reports") / "templates"
    style = (templates / "report.css").read_text(encoding="utf-8")
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined,
        loader=jinja2.FunctionLoader(lambda name: (templates / name).read_text(encoding="utf-8")),
    )
    environment.globals |= {
        "kind": lambda block: type(block).__name__, "figure": _figure, "data_url": _data_url, "sign": SIGNS.__getitem__,
        "sha256": _sha256, "tr": tr, "word": word,
    }
    return environment.get_template("report.html").render(
        document=document, style=Markup(style), style_hash=_base64(hashlib.sha256(style.encode()).digest())
    ).rstrip() + "\n"


def _figure(block: Figure) -> Markup:
    return Markup(svg.text(svg.figure(block)))     # ElementTree has escaped it


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _data_url(attachment: Attachment) -> str:
    return f"data:{attachment.mime_type};charset=utf-8;base64,{_base64(attachment.content.encode())}"


def _sha256(attachment: Attachment) -> str:
    return hashlib.sha256(attachment.content.encode()).hexdigest()
