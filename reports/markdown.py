"""Markdown for a chat or a pull request: sentences and tables; long parts are folded."""

from __future__ import annotations

import re
from collections.abc import Iterator

from bench.analysis.document import (
    Align,
    Attachment,
    Bars,
    Block,
    Cell,
    Code,
    Column,
    Curves,
    Document,
    Fold,
    Items,
    Paragraph,
    Roofline,
    Section,
    Spreads,
    StackedBars,
    Table,
    Timeline,
    Verdicts,
)

SUFFIX = ".md"
FOLD_ROWS = 20               # a longer table is folded
DEEPEST = 6                  # levels of headings
MENTION = "&#64;"            # an @ that calls nobody


def render(document: Document) -> str:
    """The document; figures are left to their tables."""
    lines = [f"# {escaped(document.title)}", ""]
    if document.summary:
        lines += [escaped("; ".join(document.summary)), ""]
    for section in document.sections:
        lines += _section(section, 2)
    return "\n".join(lines).rstrip() + "\n"


def escaped(text: str) -> str:
    """Text that means itself: no markup, no HTML, no table cell, no mention."""
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("@", MENTION)
    text = re.sub(r"([\\`*\[\]|~$])", r"\\\1", text)
    text = re.sub(r"(?<!\w)_|_(?!\w)", r"\\_", text)     # inside a word an underscore means itself
    text = re.sub(r"(?i)\b(https?|ftp)://", r"\1:&#47;&#47;", text)
    text = re.sub(r"(?i)\bwww\.", "www&#46;", text)
    text = re.sub(r"^(\d+)([.)])(?=\s)", r"\1\\\2", text)
    return re.sub(r"^([-+#=])", r"\\\1", text)


def _section(section: Section, level: int) -> Iterator[str]:
    yield f"{'#' * min(level, DEEPEST)} {escaped(section.title)}"
    yield ""
    for block in section.blocks:
        yield from _block(block)
    for inner in section.sections:
        yield from _section(inner, level + 1)


def _block(block: Block) -> Iterator[str]:
    match block:
        case Paragraph(text=text):
            yield from (escaped(text), "")
        case Items(texts=texts):
            yield from (f"- {escaped(text)}" for text in texts)
            yield ""
        case Code(text=text):
            yield from _code(text)
        case Verdicts(verdicts=verdicts):
            for verdict in verdicts:
                yield f"- **{escaped(verdict.subject)}** ({escaped(verdict.conditions)}): **{verdict.standing}**."
                yield f"  {' '.join(escaped(sentence) for sentence in verdict.sentences)}"
            yield ""
        case Table() if len(block.rows) > FOLD_ROWS:
            yield from _folded(block.caption, _table(block))
        case Table():
            yield from (f"**{escaped(block.caption)}**", "", *_table(block))
        case Fold(title=title, blocks=blocks):
            yield from _folded(title, (line for inner in blocks for line in _block(inner)))
        case Bars() | Curves() | StackedBars() | Roofline() | Spreads() | Timeline() | Attachment():
            pass     # the table beside a figure has its numbers; Markdown holds no files


def _folded(title: str, lines: Iterator[str]) -> Iterator[str]:
    yield from (f"<details><summary>{escaped(title)}</summary>", "")
    yield from lines
    yield from ("</details>", "")


def _code(text: str) -> Iterator[str]:
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    yield from (fence + "text", text.rstrip("\n"), fence, "")


def _table(table: Table) -> Iterator[str]:
    yield f"| {' | '.join(_head(column) for column in table.columns)} |"
    yield f"|{'|'.join('---:' if column.align is Align.RIGHT else '---' for column in table.columns)}|"
    for row in table.rows:
        yield f"| {' | '.join(_cell(cell) for cell in row.cells)} |"
    yield ""
    for note in table.notes:
        yield from (escaped(note), "")


def _head(column: Column) -> str:
    return escaped(f"{column.title} ({column.unit})" if column.unit else column.title)


def _cell(cell: Cell) -> str:
    return escaped(" ".join([cell.text, *(f"[{note.number}]" for note in cell.notes)]))
