"""Markdown for a chat or a pull request: sentences and tables; long parts are folded."""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from rigmark.bench.document import formatting
from rigmark.bench.document.document import (
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
    SpeedUps,
    Spreads,
    StackedBars,
    Table,
    Timeline,
    Verdict,
    Verdicts,
)
from rigmark.bench.document.language import tr, word

SUFFIX = ".md"
FOLD_ROWS = 20               # a longer table is folded
DEEPEST = 6                  # levels of headings
LIMIT = 65_536               # characters of a comment on GitHub, which refuses a longer one
NOTE = 2_000                 # of these, room to say what was left out
MOST_NAMED, NAMED = 12, 60   # sections in that note, and characters of a title
MENTION = "&#64;"            # an @ that calls nobody


Path = tuple[tuple[int, str], ...]       # headings above a piece: level and title
Piece = tuple[Path, list[str]]           # lines that are kept or left out together


def render(document: Document) -> str:
    """The document; figures are left to their tables.

    At most LIMIT characters: what does not fit is left out, piece by piece, and the head says of which sections.
    """
    pieces = [piece for section in document.sections for piece in _pieces(section, ())]
    text = _text([*_opening(document.title, "; ".join(document.summary)), *_lines(pieces)])
    return text if len(text) <= LIMIT else _shortened(document, pieces)


def _opening(title: str, summary: str) -> list[str]:
    return [f"# {escaped(title)}", "", *([escaped(summary), ""] if summary else [])]


def _text(lines: Iterable[str]) -> str:
    return "\n".join(lines).rstrip() + "\n"


def _lines(pieces: Iterable[Piece]) -> Iterator[str]:
    """Each heading once, before the first piece below it."""
    above: Path = ()
    for path, lines in pieces:
        yield from (*_headings(above, path), *lines)
        above = path


def _headings(above: Path, path: Path) -> Iterator[str]:
    """Those of the path that do not stand above already."""
    common = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(above, path, strict=False)))
    for level, title in path[common:]:
        yield from (f"{'#' * min(level, DEEPEST)} {escaped(title)}", "")


def _shortened(document: Document, pieces: Sequence[Piece]) -> str:
    """What fits: of each section first what goes into half of the room that is left, so that a long one leaves some."""
    head = _opening(document.title[:NAMED], "; ".join(document.summary)[:NOTE])
    by_section: dict[Path, list[int]] = {}
    for index, (path, _) in enumerate(pieces):
        by_section.setdefault(path[:1], []).append(index)
    room = LIMIT - len(_text(head)) - NOTE
    kept: set[int] = set()
    for part in (0.5, 1.0):
        for indices in by_section.values():
            allowed = part * room
            for index in indices:
                path, lines = pieces[index]
                above = pieces[index - 1][0] if index else ()
                size = sum(len(line) + 1 for line in (*_headings(above, path), *lines))
                if index not in kept and size <= allowed:
                    kept.add(index)
                    allowed -= size
                    room -= size
    while True:
        text = _text([*head, *_left_out(by_section, kept), *_lines(pieces[index] for index in sorted(kept))])
        if len(text) <= LIMIT:
            return text
        kept.remove(max(kept))       # for the headings of pieces whose forerunner was left out


def _left_out(by_section: Mapping[Path, Sequence[int]], kept: Collection[int]) -> Iterator[str]:
    counts = {path[0][1]: sum(index not in kept for index in indices) for path, indices in by_section.items()}
    named = [f"{title[:NAMED]} ({formatting.count(n, 'part')})" for title, n in counts.items() if n]
    if len(named) > MOST_NAMED:
        named[MOST_NAMED:] = [tr("{n} more", n=len(named) - MOST_NAMED)]
    note = tr(
        "Left out, since a comment holds {limit} characters: {parts}. The page of --format html has all.",
        limit=f"{LIMIT:,}", parts=formatting.listed(named),
    )
    yield from (f"> {escaped(note)}", "")


def escaped(text: str) -> str:
    """Text that means itself: no markup, no HTML, no table cell, no mention."""
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("@", MENTION)
    text = re.sub(r"([\\`*\[\]|~$])", r"\\\1", text)
    # Between letters underscores mean themselves, however many there are.
    text = re.sub(r"(?<!\w)_+|(?<!_)_++(?!\w)", lambda run: r"\_" * len(run[0]), text)
    text = re.sub(r"(?i)\b(https?|ftp)://", r"\1:&#47;&#47;", text)
    text = re.sub(r"(?i)\bwww\.", "www&#46;", text)
    text = re.sub(r"^(\d+)([.)])(?=\s|$)", r"\1\\\2", text)
    return re.sub(r"^([-+#=])", r"\\\1", text)


def _pieces(section: Section, above: Path) -> Iterator[Piece]:
    path = (*above, (len(above) + 2, section.title))
    if not section.blocks:
        yield path, []
    for block in section.blocks:
        if isinstance(block, Verdicts):
            yield from ((path, list(_verdict(verdict))) for verdict in block.verdicts)
            yield path, [""]
        elif lines := list(_block(block)):
            yield path, lines
    for inner in section.sections:
        yield from _pieces(inner, path)


def _verdict(verdict: Verdict) -> Iterator[str]:
    yield f"- **{escaped(verdict.subject)}** ({escaped(verdict.conditions)}): **{word(verdict.standing)}**."
    yield f"  {' '.join(escaped(sentence) for sentence in verdict.sentences)}"


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
            yield from (line for verdict in verdicts for line in _verdict(verdict))
            yield ""
        case Table() if len(block.rows) > FOLD_ROWS:
            yield from _folded(block.caption, _table(block))
        case Table():
            yield from (f"**{escaped(block.caption)}**", "", *_table(block))
        case Fold(title=title, blocks=blocks):
            yield from _folded(title, (line for inner in blocks for line in _block(inner)))
        case Bars() | Curves() | SpeedUps() | StackedBars() | Roofline() | Spreads() | Timeline() | Attachment():
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
