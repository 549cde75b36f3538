"""Quoted tables: published results as their source states them, with the source. They are never pooled with measured
ones.

Each imported file becomes one JSON file in a separate folder of the store; docs/quoted.schema.json describes it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from rigmark.bench.plan import axes
from rigmark.bench.store.stored import LEAST_TIME_S, MOST_TIME_S

SCHEMA = 1
ORIGIN = "quoted"


@dataclass(frozen=True, kw_only=True)
class QuotedLayer:
    """Time of one layer in one direction, as its source states it."""

    layer: str
    op: str                          # its name in bench.ir if there is one, else that of the source in lower case
    direction: str                   # "forward" or "backward"
    time_s: float


@dataclass(frozen=True, kw_only=True)
class Quoted:
    """One line of a table, with only what it states: None is not stated.

    Numbers are those of the source, in SI units. A figure of 0 is kept, so that an audit finds it; other impossible
    values are reported by ``impossible``, and such lines are in no table.
    """

    line: str                        # its position in the file: "line 17", "benchmarks[3]"
    model: str                       # what was timed: a network, or another benchmark
    mode: str | None = None          # "inference" or "training"; None if it is neither
    framework: str | None = None
    framework_version: str | None = None
    compile_mode: str | None = None
    layout: str | None = None
    precision: str | None = None
    data: str | None = None
    device: str | None = None        # "cpu" or "gpu"
    device_name: str | None = None
    local_batch: int | None = None
    world_size: int | None = None    # devices
    strategy: str | None = None
    conditions: Mapping[str, str] = field(default_factory=dict)  # other facts that distinguish the result, as stated
    measured_at: str | None = None   # date and time as stated; distinguishes repetitions

    outcome: str = "ok"              # as bench.enums.Outcome
    reason: str | None = None        # why the outcome is not ok
    throughput_samples_per_s: float | None = None        # of all devices together
    step_time_s: float | None = None                     # per batch: forward, and backward if training
    statistic: str | None = None                         # statistic of the timings: "mean", "median"
    median_time_s: float | None = None                   # if it is stated in addition to a mean
    forward_time_s: float | None = None
    backward_time_s: float | None = None
    latency_p50_s: float | None = None
    latency_p90_s: float | None = None
    latency_p99_s: float | None = None
    peak_memory_bytes: float | None = None
    parameters: float | None = None                      # with the stated digits, for example 0.37e6
    flops_per_sample: float | None = None                # of a forward pass; a multiply-add counts as 2
    value: float | None = None                           # a figure of another kind, with its unit
    unit: str | None = None
    timings_s: tuple[float, ...] = ()                    # single steps
    forward_timings_s: tuple[float, ...] = ()
    backward_timings_s: tuple[float, ...] = ()
    layers: tuple[QuotedLayer, ...] = ()
    rounding: Mapping[str, float] = field(default_factory=dict)
    """Half a unit in the last digit of figures with few digits, by name: 0.005 for 0.05."""

    def plain(self) -> dict[str, Any]:
        """The line as plain data, without what is not stated."""
        return {name: fact for name, fact in asdict(self).items() if fact not in (None, (), {})}


FACTS = tuple(each.name for each in fields(Quoted) if each.name in (*axes.NAMES, "framework_version", "device_name"))
"""The facts that state what a line is about, beside its conditions."""

WHOLE = ("local_batch", "world_size")
SERIES = ("timings_s", "forward_timings_s", "backward_timings_s", "layers")
WORDS = (
    *(name for name in FACTS if name not in WHOLE), "line", "measured_at", "outcome", "reason", "statistic", "unit",
)
FIGURES = tuple(f.name for f in fields(Quoted) if f.name not in (*FACTS, *SERIES, *WORDS, "conditions", "rounding"))
"""Names of single numbers."""

OF_NETWORKS = ("parameters", "flops_per_sample")
"""Figures that are facts of a network, not results."""

MOST = 1e30                  # largest plausible figure in any unit but seconds; 1 / MOST is the least
MOST_WHOLE = 2**31
MOST_NAMED = 4               # lines in a sentence


def has_figure(row: Quoted) -> bool:
    """Whether a line states anything that was measured."""
    return bool(row.timings_s or row.forward_timings_s or row.backward_timings_s) or any(
        getattr(row, name) is not None for name in FIGURES if name not in OF_NETWORKS
    )


def impossible(row: Quoted) -> Iterator[str]:
    """One clause for each impossible value: "local_batch is -1, but must be a whole number from 1"."""
    for name in WORDS:
        word = getattr(row, name)
        if word is not None and not isinstance(word, str):
            yield f"{name} is {word!r}, which is no text"
    for name in WHOLE:
        count = getattr(row, name)
        if count is not None and not (isinstance(count, int) and count is not True and 1 <= count <= MOST_WHOLE):
            yield f"{name} is {count!r}, and must be a whole number from 1 to {MOST_WHOLE:,}"
    figures = [(name, name, getattr(row, name)) for name in FIGURES]
    figures += [(name, name, figure) for name in SERIES[:-1] for figure in getattr(row, name)]
    figures += [("time_s", f"the time of layer '{layer.layer}'", layer.time_s) for layer in row.layers]
    for name, label, figure in figures:
        if figure is None:
            continue
        if isinstance(figure, bool) or not isinstance(figure, int | float):
            yield f"{label} is {figure!r}, which is no number"
        elif figure != 0 and not _least(name) <= abs(figure) <= _most(name):     # nor is NaN
            yield f"{label} is {figure:g}, which no figure can be"
        elif figure < 0 and name != "value":     # only the source knows its kind, and so its sign
            yield f"{label} is {figure:g}, and must not be negative"


def _is_time(name: str) -> bool:
    return name.endswith("_s") and not name.endswith("_per_s")


def _least(name: str) -> float:
    return LEAST_TIME_S if _is_time(name) else 1 / MOST


def _most(name: str) -> float:
    return MOST_TIME_S if _is_time(name) else MOST


@dataclass(frozen=True, kw_only=True)
class Source:
    """The source of a table."""

    format: str                      # as in bench/importers
    file: str                        # its name, without folders
    sha256: str                      # of its content; of a folder, of all its files
    imported_at: str                 # UTC, ISO 8601
    title: str | None = None         # what it is, for people: "cnn-benchmarks, 2017"
    url: str | None = None
    licence: str | None = None
    published: str | None = None     # a date as far as it is known: "2017", "2017-05"
    stated_by_user: Mapping[str, str] = field(default_factory=dict)      # facts that the file does not state


@dataclass(frozen=True, kw_only=True)
class QuotedTable:
    """Everything that was imported from one file."""

    source: Source
    rows: tuple[Quoted, ...]
    notes: tuple[str, ...] = ()      # one sentence for everything that was left out or assumed
    refused: tuple[str, ...] = ()    # one sentence for each impossible line

    @property
    def id(self) -> str:
        """An id from the format and content of the file, so that it is stored once, whatever its name."""
        return id_of(self.source)

    def plain(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA, "id": self.id, "origin": ORIGIN, "source": asdict(self.source),
            "notes": [*self.notes, *filter(None, [self.refusal])],
            "rows": [row.plain() for row in self.rows],
        }

    @property
    def refusal(self) -> str | None:
        """A sentence about all refused lines; None if there are none."""
        count = len(self.refused)
        if not count:
            return None
        more = f"; and {count - MOST_NAMED:,} more" if count > MOST_NAMED else ""
        named = "; ".join(self.refused[:MOST_NAMED])
        return f"{count:,} result{'s' * (count != 1)} cannot be and {'was' if count == 1 else 'were'} left out: " \
            f"{named}{more}"


def id_of(source: Source) -> str:
    """The id of the table that was imported from a source."""
    return hashlib.sha256(json.dumps([source.format, source.sha256]).encode()).hexdigest()[:16]
