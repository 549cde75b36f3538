"""A finished report as plain data: what is said, in which order, with every number already in words. No rendering."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from rigmark.bench.document import language


class Align(StrEnum):
    LEFT = "left"
    RIGHT = "right"


class Origin(StrEnum):
    """Where a number comes from; each has a mark of its own, so that none passes for another."""

    MEASURED = "measured"
    QUOTED = "quoted"            # from somebody's document
    PREDICTED = "predicted"      # by a model
    ENTERED = "entered"          # by the user

    @property
    def mark(self) -> str:
        return {"measured": "●", "quoted": "❝", "predicted": "◇", "entered": "✎"}[self.value]


class Family(StrEnum):
    """Kinds of work in a step; each has a letter, so that a figure can be read without its colours."""

    CONVOLUTION = "convolution"
    DENSE = "dense"
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
    """How firmly a verdict stands."""

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
    """Text to be shown letter by letter: a command, or the last words of a program."""

    text: str


@dataclass(frozen=True, kw_only=True)
class Note:
    """A finding that a cell refers to."""

    number: int
    id: str


@dataclass(frozen=True, kw_only=True)
class Cell:
    text: str
    value: float | None = None           # in the base unit, as stored; None where the cell is not a number
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
    name: str = ""                       # short, where other rows are compared with it
    group: str = ""                      # rows of equal group may be compared
    command: str = ""                    # that measures it again; a medium may offer to copy it
    against: tuple[Cell, ...] = ()       # how it stands to each row of its group, in their order; empty: not worked out


@dataclass(frozen=True, kw_only=True)
class Table:
    id: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()          # sentences that stand below it
    ratio: int | None = None             # the column that a medium may fill from ``Row.against``: the reader's baseline


@dataclass(frozen=True, kw_only=True)
class Bar:
    label: str
    text: str                            # the value in words, as in the table
    value: float
    low: float | None
    high: float | None
    values: tuple[float, ...]            # of the single trials, where there is no interval; else empty
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
    is_reference: bool = False           # what the others should follow


@dataclass(frozen=True, kw_only=True)
class Mark:
    """Something that happened at a point of curves."""

    at: int                              # 1 is the first point
    label: str


@dataclass(frozen=True, kw_only=True)
class Curves:
    """Lines over 1, 2, 3, ..., or over ``x_names``; ``table`` is the id of the table with values of the same curves."""

    id: str
    title: str
    x_title: str
    y_title: str
    curves: tuple[Curve, ...]
    table: str
    marks: tuple[Mark, ...] = ()
    x_names: tuple[str, ...] = ()        # of each place, in order; empty: their numbers


@dataclass(frozen=True, kw_only=True)
class Size:
    """A number of devices, and how many times the work of one they do."""

    devices: int
    speed_up: float
    low: float | None                    # interval; None where there is none
    high: float | None
    text: str
    counts: bool = True                  # False: shown, but more than the machine has room for
    origin: Origin = Origin.MEASURED


@dataclass(frozen=True, kw_only=True)
class Growth:
    """Of one thing on more and more devices, the smallest number first."""

    label: str
    sizes: tuple[Size, ...]


@dataclass(frozen=True, kw_only=True)
class SpeedUps:
    """Speed-up over the number of devices beside the ideal, N times with N; ``table`` has the numbers."""

    id: str
    title: str
    axes: str                            # what stands over what
    ideal: str                           # label of the ideal line
    growths: tuple[Growth, ...]
    table: str


@dataclass(frozen=True, kw_only=True)
class Segment:
    """A part of a stacked bar."""

    label: str
    text: str                            # the value in words
    value: float
    family: Family


@dataclass(frozen=True, kw_only=True)
class StackedBar:
    label: str
    text: str                            # of the whole
    segments: tuple[Segment, ...]


@dataclass(frozen=True, kw_only=True)
class StackedBars:
    """Horizontal bars from zero, each made of parts; ``table`` is the id of a table of the same numbers."""

    id: str
    title: str
    unit: str
    bars: tuple[StackedBar, ...]
    table: str

    @property
    def families(self) -> tuple[Family, ...]:
        """Those that occur, in their usual order."""
        met = {segment.family for bar in self.bars for segment in bar.segments}
        return tuple(family for family in Family if family in met)


@dataclass(frozen=True, kw_only=True)
class Dot:
    """A layer below the roof."""

    label: str
    text: str
    intensity: float                     # FLOPs per byte
    flops_per_s: float
    share: float                         # of the step
    family: Family


@dataclass(frozen=True, kw_only=True)
class Roofline:
    """FLOP/s over FLOPs per byte, both by powers of ten, below what the machine can do where that is known."""

    id: str
    title: str
    dots: tuple[Dot, ...]
    peak_flops_per_s: float | None
    peak_bytes_per_s: float | None
    peak_flops_text: str                 # these in words; empty where not known
    peak_bytes_text: str
    table: str

    @property
    def families(self) -> tuple[Family, ...]:
        met = {dot.family for dot in self.dots}
        return tuple(family for family in Family if family in met)


@dataclass(frozen=True, kw_only=True)
class Spread:
    """How timings are distributed: quantiles in the unit of the figure."""

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
    """A box for each distribution, on an axis of equal ratios; ``table`` is the id of a table of the same numbers."""

    id: str
    title: str
    unit: str
    spreads: tuple[Spread, ...]
    table: str


@dataclass(frozen=True, kw_only=True)
class Trace:
    """Readings of one device at equal steps of time; NaN where there is none."""

    label: str
    values: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One quantity of all devices."""

    title: str
    unit: str
    step_s: float                        # between two values of a trace; the first is at 0
    traces: tuple[Trace, ...]
    is_from_zero: bool = True            # whether its axis must begin there


@dataclass(frozen=True, kw_only=True)
class Span:
    """A part of the time: a region of the trial, or one in which something held it up."""

    label: str
    begin_s: float
    end_s: float
    is_trouble: bool = False


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """What was read while a trial ran, panel below panel; ``table`` is the id of the table that sums it up."""

    id: str
    title: str
    begin_s: float                       # of what is shown at first
    duration_s: float
    panels: tuple[Panel, ...]
    spans: tuple[Span, ...]
    table: str


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """An answer in words: about what, what, and how firmly."""

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
    """A file inside the report; a medium that cannot hold one leaves it out."""

    name: str
    mime_type: str
    content: str
    description: str


@dataclass(frozen=True, kw_only=True)
class Fold:
    """Long parts that the reader opens when wanted."""

    title: str
    blocks: tuple[Block, ...]


Figure = Bars | Curves | SpeedUps | StackedBars | Roofline | Spreads
Block = Paragraph | Items | Code | Table | Figure | Timeline | Verdicts | Attachment | Fold
"""A Timeline is too dense to be a figure: a medium draws it itself, or leaves it to its table."""


@dataclass(frozen=True, kw_only=True)
class Section:
    id: str
    title: str
    blocks: tuple[Block, ...] = ()
    sections: tuple[Section, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Document:
    title: str
    summary: tuple[str, ...]             # what it is about: machine, dates, counts
    sections: tuple[Section, ...]
    language: str = field(default_factory=language.current)      # that it was made in: "en", "zh"
