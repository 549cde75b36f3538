"""The report for a terminal of some width, through Rich."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Iterable, Iterator

from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table as RichTable
from rich.text import Text

from rigmark.bench.document.document import (
    Align,
    Attachment,
    Bar,
    Bars,
    Block,
    Cell,
    Code,
    Column,
    Curves,
    Document,
    Family,
    Fold,
    Items,
    Origin,
    Paragraph,
    Roofline,
    Row,
    Section,
    SpeedUps,
    Spreads,
    StackedBar,
    StackedBars,
    Standing,
    Table,
    Timeline,
    Verdict,
    Verdicts,
)
from rigmark.bench.document.language import speaking, tr, word
from rigmark.reports.plain import printable

SUFFIX = ".txt"
WIDTH = 100
LONGEST_WORD = 24            # characters that a table keeps on one line
STYLES = {Standing.CLEAR: "green", Standing.OPEN: "yellow", Standing.FEW: "yellow"}
FILLS = {Origin.MEASURED: "█", Origin.QUOTED: "░", Origin.PREDICTED: "▒", Origin.ENTERED: "▚"}


def render(document: Document, *, width: int = WIDTH, color: bool = False) -> str:
    """The document in lines of at most ``width``; with escape sequences for colour only if asked for."""
    return _printed(_parts_of(document, width), width, color=color)


def table(content: Table, *, width: int) -> str:
    """A table alone, in lines of at most ``width``: without its caption and its notes."""
    return _printed(_rows(printable(content), width), width, color=False)


def _printed(parts: Iterable[RenderableType], width: int, *, color: bool) -> str:
    console = Console(
        file=io.StringIO(), width=width, force_terminal=color, color_system="standard" if color else None,
        legacy_windows=False, highlight=False, markup=False, emoji=False, _environ={},
    )
    with console.capture() as captured:
        for part in parts:
            console.print(part)
    return "\n".join(line.rstrip() for line in captured.get().splitlines()).rstrip() + "\n"


def _parts_of(document: Document, width: int) -> Iterator[RenderableType]:
    yield Text(document.title, style="bold")
    if document.summary:
        yield Text("; ".join(document.summary), style="dim")
    for section in document.sections:
        yield from _section(section, 1, width)


def show(document: Document, *, width: int, color: bool) -> str:
    """The same of a document as it was made, for a command that knows its terminal."""
    with speaking(document.language):
        return render(printable(document), width=width, color=color)


def _section(section: Section, level: int, width: int) -> Iterator[RenderableType]:
    yield ""
    title = Text(section.title, style="bold")
    has_room = title.cell_len + 2 <= width       # a rule would cut it
    yield Rule(title, align="left", style="dim") if level == 1 and has_room else title
    for block in section.blocks:
        yield from _block(block, width)
    for inner in section.sections:
        yield from _section(inner, level + 1, width)


def _block(block: Block, width: int) -> Iterator[RenderableType]:
    match block:
        case Paragraph(text=text):
            yield Text(text)
        case Items(texts=texts):
            yield from (_hanging("- ", Text(text)) for text in texts)
        case Code(text=text):
            yield Padding(Text(text.rstrip("\n")), (0, 0, 0, 4))
        case Verdicts(verdicts=verdicts):
            yield from (_verdict(verdict) for verdict in verdicts)
        case Bars():
            yield _bars(block, width)
        case StackedBars():
            yield _stacked_bars(block, width)
        case Table():
            yield from _table(block, width)
        case Fold(title=title, blocks=blocks):
            yield Text(f"{title}:", style="bold")
            for inner in blocks:
                yield from _block(inner, width)
        case Curves() | SpeedUps() | Roofline() | Spreads() | Timeline() | Attachment():
            pass     # the table of a curve or plot follows it; a terminal holds no files


def _hanging(sign: str, text: RenderableType) -> RenderableType:
    grid = RichTable.grid()
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")     # languages without spaces, and paths, are longer than a line
    grid.add_row(Text(sign), text)
    return grid


def _verdict(verdict: Verdict) -> RenderableType:
    standing = (word(verdict.standing), STYLES.get(verdict.standing, ""))
    head = Text.assemble((verdict.subject, "bold"), f" ({verdict.conditions}): ", standing)
    return _hanging("- ", Group(head, Text(" ".join(verdict.sentences))))


# Bars ---------------------------------------------------------------------------------------------------------------


def _bar_grid() -> RichTable:
    """Label, bar, number: where they are wider than the terminal the words wrap, and are never cut."""
    grid = RichTable.grid(padding=(0, 1))
    grid.add_column(overflow="fold")
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    return grid


def _bars(figure: Bars, width: int) -> RenderableType:
    """Bars of blocks from zero; the numbers carry the interval."""
    grid = _bar_grid()
    labels, texts = (max(cell_len(text) for text in column) for column in
                     zip(*((bar.label, bar.text) for bar in figure.bars), strict=True))
    room = max(width - labels - texts - 4, 8)
    largest = max((bar.value for bar in figure.bars if math.isfinite(bar.value)), default=0.0)
    for bar in figure.bars:
        grid.add_row(Text(bar.label), Text(_blocks(bar, largest, room)), Text(bar.text))
    return Group(Text(f"{figure.title} ({figure.unit})"), grid)


def _blocks(bar: Bar, largest: float, room: int) -> str:
    share = bar.value / largest if largest > 0 and math.isfinite(bar.value) else 0.0
    return FILLS[bar.origin] * max(round(room * share), 1)


def _stacked_bars(figure: StackedBars, width: int) -> RenderableType:
    """Bars of letters, one for each kind of work."""
    grid = _bar_grid()
    labels, texts = (max(cell_len(text) for text in column) for column in
                     zip(*((bar.label, bar.text) for bar in figure.bars), strict=True))
    room = max(width - labels - texts - 4, 8)
    largest = max(sum(segment.value for segment in bar.segments) for bar in figure.bars)
    for bar in figure.bars:
        grid.add_row(Text(bar.label), Text(_letters(bar, largest, room)), Text(bar.text))
    legend = ", ".join(f"{family.letter} {word(family)}" for family in figure.families)
    return Group(Text(f"{figure.title} ({figure.unit})"), grid, Text(legend, style="dim"))


def _letters(bar: StackedBar, largest: float, room: int) -> str:
    """Each character is the kind of work that is done at its middle."""
    ends: list[tuple[float, Family]] = []
    total = 0.0
    for segment in bar.segments:
        total += segment.value
        ends.append((total, segment.family))
    count = max(round(room * total / largest), 1) if largest > 0 else 0
    middles = ((index + 0.5) * total / count for index in range(count))
    return "".join(next((family for end, family in ends if middle <= end), ends[-1][1]).letter for middle in middles)


# Tables -------------------------------------------------------------------------------------------------------------


def _table(table: Table, width: int) -> Iterator[RenderableType]:
    """The table; where it is too wide, its details in more tables of the same rows; else a paragraph for each row."""
    yield Text(table.caption, style="italic")
    yield from _rows(table, width)
    yield from (Text(note, style="dim") for note in table.notes)
    yield ""


def _rows(table: Table, width: int) -> Iterator[RenderableType]:
    everything = list(range(len(table.columns)))
    parts = [everything] if _needed(table, everything) <= width else _parts(table, width)
    for number, shown in enumerate(parts):
        if number:
            yield Text(tr("The same rows, continued:"), style="dim")
        yield _grid(table, shown)
    if not parts:
        yield from (_hanging("- ", Text(_in_words(table, row, everything))) for row in table.rows)


def _parts(table: Table, width: int) -> list[list[int]]:
    """Columns that fit beside each other, those of the first table before those of its details; each further table
    begins with the columns that tell the rows apart. None where even words wrapped in cells do not fit."""
    first = [index for index, column in enumerate(table.columns) if not column.is_detail]
    names = next((first[:count] for count in range(1, len(first) + 1) if _tell_apart(table, first[:count])), None)
    parts = [first]
    for index in range(len(table.columns)):
        if index in first:
            continue
        if names is None:
            return []
        if len(parts) == 1 or _needed(table, [*parts[-1], index], longest=_longest_word) > width:
            parts.append([*names])
        parts[-1].append(index)
    return parts if all(_needed(table, part, longest=_longest_word) <= width for part in parts) else []


def _tell_apart(table: Table, columns: list[int]) -> bool:
    return len({tuple(_cell(row.cells[index]) for index in columns) for row in table.rows}) == len(table.rows)


def _grid(table: Table, shown: list[int]) -> RenderableType:
    grid = RichTable(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for index in shown:
        column = table.columns[index]
        grid.add_column(
            Text(_head(column)), justify="right" if column.align is Align.RIGHT else "left", overflow="fold"
        )
    for row in table.rows:
        grid.add_row(*(Text(_cell(row.cells[index])) for index in shown))
    return grid


def _in_words(table: Table, row: Row, shown: list[int]) -> str:
    """"torch | mode training | throughput (samples/s) 3,143"."""
    cells = [_cell(row.cells[index]) for index in shown]
    named = [f"{_head(table.columns[index])} {text}" for index, text in zip(shown[1:], cells[1:], strict=True) if text]
    return " | ".join([cells[0], *named])


def _needed(table: Table, shown: list[int], longest: Callable[[str], int] = cell_len) -> int:
    """Width of the columns that are shown, each as wide as the longest of its texts."""
    return sum(
        max([longest(_head(table.columns[i])), *(longest(_cell(row.cells[i])) for row in table.rows)]) + 2
        for i in shown
    )


def _longest_word(text: str) -> int:
    """Characters that should stay on one line; paths and sums may break, and so may languages without spaces."""
    return min(max(map(len, re.findall(r"[!-~]+", text)), default=2), LONGEST_WORD)


def _head(column: Column) -> str:
    return f"{column.title} ({column.unit})" if column.unit else column.title


def _cell(cell: Cell) -> str:
    return " ".join([cell.text, *(f"[{note.number}]" for note in cell.notes)])
