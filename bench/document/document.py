"""A finished report as plain data: its contents in order, with every number already formatted. No rendering."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from rigmark.bench.document import language


class Align(StrEnum):
    LEFT = "left"
    RIGHT = "right"


class Origin(StrEnum):
    """Where a number comes from; each origin has its own mark, so that none can be mistaken for another."""

    MEASURED = "measured"
    QUOTED = "quoted"            # from a publication of others
    PREDICTED = "predicted"      # by a model
    ENTERED = "entered"          # by the user

    @property
    def mark(self) -> str:
        return {"measured": "●", "quoted": "❝", "predicted": "◇", "entered": "✎"}[self.value]


class Family(StrEnum):
    """Kinds of work in a step; each has a letter, so that a figure can be read without colours."""

    CONVOLUTION = "convolution"
    DENSE = "dense"
    ATTENTION = "attention"
    RECURRENT = "recurrent"
    POOLING = "pooling"
    NORMALISATION = "normalisation"
    ELEMENT_WISE = "element-wise"
    MOVEMENT = "moving data"
    TRAINING = "loss, optimizer, gradient adds"
    OTHER = "other, or many small layers"
    RESIDUAL = "no layer"

    @property
    def letter(self) -> str:
        return "·" if self is Family.RESIDUAL else self.value[0].upper()


class Standing(StrEnum):
    """How certain a verdict is."""

    CLEAR = "clear"
    LIKELY = "likely"
    SAME = "no difference that matters"
    OPEN = "too close to call"
    DEPENDS = "depends on how much you use it"
    FEW = "too few trials"
    ALONE = "nothing to compare"
    NOTHING = "nothing measured"


@dataclass(frozen=True, kw_only=True)
class Paragraph:
    text: str


@dataclass(frozen=True, kw_only=True)
class Items:
    """A list of sentences; ``ids`` makes each one linkable."""

    texts: tuple[str, ...]
    ids: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Code:
    """Text to be shown verbatim: a command, or the end of a program's output."""

    text: str


@dataclass(frozen=True, kw_only=True)
class Note:
    """A finding that a cell refers to."""

    number: int
    id: str


@dataclass(frozen=True, kw_only=True)
class Cell:
    text: str
    value: float | None = None           # in the base unit, as stored; None if the cell is not a number
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Column:
    title: str
    unit: str = ""
    align: Align = Align.LEFT
    is_detail: bool = False              # a narrow medium may show it after the others


@dataclass(frozen=True, kw_only=True)
class Row:
    id: str
    cells: tuple[Cell, ...]
    name: str = ""                       # short name, if other rows are compared with it
    group: str = ""                      # rows of the same group are comparable
    command: str = ""                    # command that measures it again; a medium may offer to copy it
    against: tuple[Cell, ...] = ()       # its comparison with each row of its group, in order; empty: none


@dataclass(frozen=True, kw_only=True)
class Table:
    id: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()          # sentences below the table
    ratio: int | None = None             # column to fill from ``Row.against``, for a baseline of the reader


@dataclass(frozen=True, kw_only=True)
class Bar:
    label: str
    text: str                            # the formatted value, as in the table
    value: float
    low: float | None
    high: float | None
    values: tuple[float, ...]            # of the single trials if there is no interval; else empty
    origin: Origin = Origin.MEASURED


@dataclass(frozen=True, kw_only=True)
class Bars:
    """Horizontal bars from zero; ``table`` is the id of the table that holds the same numbers."""

    id: str
    title: str
    unit: str
    bars: tuple[Bar, ...]
    table: str


@dataclass(frozen=True, kw_only=True)
class Curve:
    label: str
    values: tuple[float, ...]
    is_reference: bool = False           # whether the others should follow it


@dataclass(frozen=True, kw_only=True)
class Mark:
    """An event at a point of curves."""

    at: int                              # number of the point; the first is 1
    label: str


@dataclass(frozen=True, kw_only=True)
class Curves:
    """Lines over 1, 2, 3, ..., or over ``x_names``; ``table`` is the id of the table with values of the curves."""

    id: str
    title: str
    x_title: str
    y_title: str
    curves: tuple[Curve, ...]
    table: str
    marks: tuple[Mark, ...] = ()
    x_names: tuple[str, ...] = ()        # names of the points, in order; empty: their numbers


@dataclass(frozen=True, kw_only=True)
class Size:
    """A number of devices, and their speed-up over one device."""

    devices: int
    speed_up: float
    low: float | None                    # interval; None if there is none
    high: float | None
    text: str
    counts: bool = True                  # False: shown, but more than the cores of the machine
    origin: Origin = Origin.MEASURED


@dataclass(frozen=True, kw_only=True)
class Growth:
    """The speed-ups of one case by number of devices, the smallest number first."""

    label: str
    sizes: tuple[Size, ...]


@dataclass(frozen=True, kw_only=True)
class SpeedUps:
    """Speed-up by number of devices, with the ideal (N times with N devices); ``table`` has the numbers."""

    id: str
    title: str
    axes: str                            # title of the axes
    ideal: str                           # label of the ideal line
    growths: tuple[Growth, ...]
    table: str


@dataclass(frozen=True, kw_only=True)
class Segment:
    """A part of a stacked bar."""

    label: str
    text: str                            # the formatted value
    value: float
    family: Family


@dataclass(frozen=True, kw_only=True)
class StackedBar:
    label: str
    text: str                            # the formatted value of the whole bar
    segments: tuple[Segment, ...]


@dataclass(frozen=True, kw_only=True)
class StackedBars:
    """Horizontal bars from zero, each made of segments; ``table`` is the id of a table with the same numbers."""

    id: str
    title: str
    unit: str
    bars: tuple[StackedBar, ...]
    table: str

    @property
    def families(self) -> tuple[Family, ...]:
        """The families that occur, in their usual order."""
        met = {segment.family for bar in self.bars for segment in bar.segments}
        return tuple(family for family in Family if family in met)


@dataclass(frozen=True, kw_only=True)
class Dot:
    """A layer in a roofline plot."""

    label: str
    text: str
    intensity: float                     # FLOPs per byte
    flops_per_s: float
    share: float                         # share of the step
    family: Family


@dataclass(frozen=True, kw_only=True)
class Roofline:
    """A roofline plot: FLOP/s over FLOPs per byte, both logarithmic, with the limits of the machine if known."""

    id: str
    title: str
    dots: tuple[Dot, ...]
    peak_flops_per_s: float | None
    peak_bytes_per_s: float | None
    peak_flops_text: str                 # formatted; empty if not known
    peak_bytes_text: str
    table: str

    @property
    def families(self) -> tuple[Family, ...]:
        met = {dot.family for dot in self.dots}
        return tuple(family for family in Family if family in met)


@dataclass(frozen=True, kw_only=True)
class Spread:
    """The distribution of timings: quantiles in the unit of the figure."""

    label: str
    text: str                            # in words
    low: float                           # 5 % are below
    quarter: float
    middle: float
    three_quarters: float
    high: float                          # 95 % are below
    tail: float | None                   # 99 % are below; None for too few timings
    largest: float
    origin: Origin = Origin.MEASURED


@dataclass(frozen=True, kw_only=True)
class Spreads:
    """One box per distribution, on a logarithmic axis; ``table`` is the id of a table with the same numbers."""

    id: str
    title: str
    unit: str
    spreads: tuple[Spread, ...]
    table: str


@dataclass(frozen=True, kw_only=True)
class Trace:
    """Readings of one device at equal time steps; NaN if there is none."""

    label: str
    values: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One quantity of all devices."""

    title: str
    unit: str
    step_s: float                        # time between two values of a trace; the first is at 0
    traces: tuple[Trace, ...]
    is_from_zero: bool = True            # whether its axis must begin at zero


@dataclass(frozen=True, kw_only=True)
class Span:
    """A period: a region of the trial, or a time in which something delayed it."""

    label: str
    begin_s: float
    end_s: float
    is_trouble: bool = False


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """Readings of a trial over time, one panel below another; ``table`` is the id of the table that summarises them."""

    id: str
    title: str
    begin_s: float                       # begin of the period that is shown first
    duration_s: float
    panels: tuple[Panel, ...]
    spans: tuple[Span, ...]
    table: str


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """An answer in words: its subject, the answer, and how certain it is."""

    id: str
    subject: str
    conditions: str
    standing: Standing
    sentences: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Verdicts:
    verdicts: tuple[Verdict, ...]


@dataclass(frozen=True, kw_only=True)
class Attachment:
    """A file in the report; media that cannot contain files leave it out."""

    name: str
    mime_type: str
    content: str
    description: str


@dataclass(frozen=True, kw_only=True)
class Fold:
    """Long parts that the reader may unfold."""

    title: str
    blocks: tuple[Block, ...]


Figure = Bars | Curves | SpeedUps | StackedBars | Roofline | Spreads
Block = Paragraph | Items | Code | Table | Figure | Timeline | Verdicts | Attachment | Fold
"""A part of a section. A Timeline is too dense to be a Figure: a medium draws it itself, or shows only its table."""


@dataclass(frozen=True, kw_only=True)
class Section:
    id: str
    title: str
    blocks: tuple[Block, ...] = ()
    sections: tuple[Section, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Document:
    title: str
    summary: tuple[str, ...]             # subject of the report: machine, dates, counts
    sections: tuple[Section, ...]
    language: str = field(default_factory=language.current)      # language in which it was made: "en", "zh"
