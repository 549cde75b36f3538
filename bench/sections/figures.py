"""Throughput, with times, memory and errors: a table and bars for each group, by model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from rigmark.bench.analysis.results.summary import FEWEST_FOR_P99
from rigmark.bench.analysis.statistics.decision import Verdict as Judgement
from rigmark.bench.analysis.statistics.estimate import CONFIDENCE, FEWEST_FOR_INTERVAL
from rigmark.bench.document import formatting
from rigmark.bench.document.document import Align, Bar, Bars, Block, Cell, Column, Row, Section, Table
from rigmark.bench.document.identifiers import identifier
from rigmark.bench.document.language import tr, word
from rigmark.bench.enums import Mode
from rigmark.bench.plan import axes
from rigmark.bench.sections.doubts import Doubt, findings_of
from rigmark.bench.sections.groups import Entry, Group, versus

Doubts = Mapping[tuple[str, str], Doubt]
MOST_BASELINES = 12          # that a reader can choose from in one group


@dataclass(frozen=True, kw_only=True)
class Show:
    """One column of the table: its head, and the cell of an entry."""

    column: Column
    cell: Callable[[Entry], Cell]


def interval_words() -> str:
    """The meaning of the brackets, in a sentence."""
    return tr(
        "Brackets hold the {confidence:.0%} interval over trials, each of which is one process. With fewer than "
        "{fewest} trials there is no interval, and the value of each trial is listed.",
        confidence=CONFIDENCE, fewest=FEWEST_FOR_INTERVAL,
    )


def sections(groups: Sequence[Group], doubts: Doubts) -> tuple[Section, ...]:
    """One section per model, with one subsection per group."""
    models = list(dict.fromkeys(group.facts["model"] for group in groups))
    return tuple(
        Section(
            id=f"throughput.{identifier(model)}", title=f"{model}",
            sections=tuple(_section(group, doubts) for group in groups if group.facts["model"] == model),
        )
        for model in models
    )


def _section(group: Group, doubts: Doubts) -> Section:
    table = throughput_table(group, doubts)
    bars = throughput_bars(group, table.id)
    blocks: tuple[Block, ...] = (bars, table) if bars.bars else (table,)
    return Section(id=group.id, title=f"{word(group.facts['mode'])}{tr(': ')}{group.conditions}", blocks=blocks)


def throughput_bars(group: Group, table: str) -> Bars:
    """Throughput of all that was measured, fastest first."""
    bars = []
    for entry in (e for e in group.entries if e.has_figures):
        value, low, high = _throughput(entry)
        bars.append(
            Bar(
                label=f"{entry.origin.mark} {entry.label}" + (f" ({tr('invalid')})" if entry.is_invalid else ""),
                text=formatting.quantity(value, low, high, entry.throughputs), value=value, low=low, high=high,
                values=() if low is not None else tuple(entry.throughputs), origin=entry.origin,
            )
        )
    return Bars(
        id=f"bars.{group.id}", title=tr("Throughput, {subject}", subject=group.subject), unit=tr("samples/s"),
        bars=tuple(bars), table=table,
    )


def throughput_table(group: Group, doubts: Doubts) -> Table:
    """All results of a group, including those without a time; figures come first, for narrow screens."""
    telling, speeds = _settings(group, telling=True), _speeds(group)
    shows = [
        Show(column=Column(title=tr("framework")), cell=lambda e: Cell(text=f"{e.origin.mark} {e.row['framework']}")),
        *telling, *speeds, *_tokens(group), *trust(doubts), *_settings(group, telling=False), *_times(group),
        *_costs(group),
    ]
    rows = tuple(
        Row(
            id=identifier(group.id, *axes.telling(entry.row, axes.OF_SOFTWARE), entry.label),
            cells=tuple(show.cell(entry) for show in shows), name=entry.label, against=against(group, entry),
        )
        for entry in group.entries
    )
    return Table(
        id=f"table.{group.id}",
        caption=tr("All figures, {subject}, {conditions}", subject=group.subject, conditions=group.conditions),
        columns=tuple(show.column for show in shows), rows=rows, notes=tuple(_notes(group)),
        ratio=len(telling) + 2 if len(speeds) > 1 else None,
    )


def _notes(group: Group) -> list[str]:
    origins = dict.fromkeys(entry.origin for entry in group.entries)
    notes = [tr("{said}.", said="; ".join(f"{origin.mark} {word(origin)}" for origin in origins))]
    shown = [entry.row for entry in group.entries if entry.has_figures]
    if group.facts["steps_per_timing"] != 1:
        notes.append(tr("No latency: {steps} steps were timed together.", steps=group.facts["steps_per_timing"]))
    elif any(row["latency_p99_s"] is None for row in shown):
        notes.append(tr(
            "p99 is left out ({sign}) below {fewest} timings.", sign=formatting.UNKNOWN,
            fewest=FEWEST_FOR_P99,
        ))
    if any(row["peak_memory_bytes"] is None for row in shown):
        notes.append(tr(
            "Peak memory is left out ({sign}) where the system does not report it.", sign=formatting.UNKNOWN,
        ))
    if any(row["parity_error"] is None for row in shown):
        notes.append(tr(
            "Parity error is left out ({sign}) where no stored proof belongs to the result.", sign=formatting.UNKNOWN,
        ))
    return notes


def _throughput(entry: Entry) -> tuple[float, float | None, float | None]:
    row = entry.row
    return (row["throughput_samples_per_s"], row["throughput_low_samples_per_s"], row["throughput_high_samples_per_s"])


def _settings(group: Group, *, telling: bool) -> list[Show]:
    """The settings that distinguish results of one framework, or the others; a build or implementation that all
    share is not shown."""
    def plain(name: str) -> Callable[[Entry], Cell]:
        return lambda entry: Cell(text=formatting.UNKNOWN if entry.row[name] is None else str(entry.row[name]))

    def values(name: str) -> int:
        return len({str(entry.row[name]) for entry in group.entries})

    def tells(name: str) -> bool:
        pairs = {(str(entry.row["framework"]), str(entry.row[name])) for entry in group.entries}
        return len(pairs) > values("framework")

    columns = {"framework_version": Column(title=tr("version"))}
    for axis in map(axes.BY_NAME.__getitem__, axes.OF_SOFTWARE):
        if axis.name != "framework" and (not axis.goes_unsaid or values(axis.name) > 1):
            columns[axis.name] = Column(title=tr(axis.title), is_detail=not axis.goes_unsaid)
    return [Show(column=column, cell=plain(name)) for name, column in columns.items() if tells(name) is telling]


def figure(cell: Callable[[Entry], Cell]) -> Callable[[Entry], Cell]:
    """A cell that only a result with a time has."""
    return lambda entry: cell(entry) if entry.has_figures else Cell(text=formatting.UNKNOWN)


def throughput() -> Show:
    """The throughput of what was measured; the outcome of the rest."""
    def cell(entry: Entry) -> Cell:
        if not entry.has_figures:
            return Cell(text=word(entry.row["outcome"]))
        value, low, high = _throughput(entry)
        return Cell(text=formatting.quantity(value, low, high, entry.throughputs), value=value)

    return Show(column=Column(title=tr("throughput"), unit=tr("samples/s"), align=Align.RIGHT), cell=cell)


def _speeds(group: Group) -> list[Show]:
    shows = [throughput()]
    baseline = group.baseline
    if baseline and len(group.measured) > 1:
        title = tr("speed-up against {label}", label=baseline.label)
        shows.append(
            Show(column=Column(title=title, align=Align.RIGHT), cell=figure(lambda e: speed_up(baseline, e)))
        )
    return shows


def speed_up(baseline: Entry, entry: Entry) -> Cell:
    """How much faster an entry with figures is than the baseline."""
    if entry is baseline:
        return Cell(text=tr("baseline"), value=1.0)
    if not entry.is_measured:
        return Cell(text=tr("invalid") if entry.is_invalid else tr("not measured here"))
    comparison = versus(baseline, entry)
    ratio = comparison.speed_up
    if not comparison.is_paired:
        return Cell(text=tr("{ratio}, not in the same run", ratio=formatting.times(ratio.value)), value=ratio.value)
    text = formatting.ratio(ratio.value, ratio.low, ratio.high, comparison.ratios)
    if ratio.low is not None and comparison.verdict is not Judgement.FASTER:
        text += f" {word(comparison.verdict)}"
    return Cell(text=text, value=ratio.value)


def against(group: Group, entry: Entry) -> tuple[Cell, ...]:
    """The speed-up of an entry against each one of its group; empty if too few or too many were measured."""
    if not 2 <= len(group.measured) <= MOST_BASELINES or not entry.has_figures:
        return ()
    return tuple(
        speed_up(each, entry) if each.is_measured else Cell(text=formatting.UNKNOWN) for each in group.entries
    )


def _time(title: str, name: str, unit: formatting.Unit) -> Show:
    def cell(entry: Entry) -> Cell:
        time_s = entry.row[name]
        if time_s is None:
            return Cell(text=formatting.UNKNOWN)
        return Cell(text=formatting.significant(time_s / unit.scale), value=time_s)

    return Show(column=Column(title=title, unit=unit.name, align=Align.RIGHT, is_detail=True), cell=figure(cell))


def _times(group: Group) -> list[Show]:
    shown = [entry.row for entry in group.entries if entry.has_figures]
    step_unit = formatting.time_unit(row["step_time_s"] for row in shown)

    def step_time(entry: Entry) -> Cell:
        row = entry.row
        low, high = (
            None if row[name] is None else row[name] / step_unit.scale
            for name in ("step_time_low_s", "step_time_high_s")
        )
        return Cell(text=formatting.centre(row["step_time_s"] / step_unit.scale, low, high), value=row["step_time_s"])

    column = Column(title=tr("step time"), unit=step_unit.name, align=Align.RIGHT, is_detail=True)
    shows = [Show(column=column, cell=figure(step_time))]
    if group.facts["steps_per_timing"] == 1:
        latency_unit = formatting.time_unit(row["latency_p50_s"] for row in shown)
        shows += [_time(tr("latency {q}", q=q), f"latency_{q}_s", latency_unit) for q in ("p50", "p99")]
    return shows


def _tokens(group: Group) -> list[Show]:
    """Of generated text: the rate of tokens, and how long a reader waits for the first and for each next one."""
    shown = [entry.row for entry in group.entries if entry.has_figures]
    if group.facts["mode"] != Mode.DECODE:
        return []
    return [_estimated(tr("tokens"), "tokens{}_per_s", formatting.Unit(name=tr("tokens/s"), scale=1.0)), *(
        _estimated(title, f"{name}{{}}_s", formatting.time_unit(row[f"{name}_s"] for row in shown))
        for title, name in (
            (tr("time to first token"), "time_to_first_token"), (tr("time between tokens"), "time_between_tokens"),
        )
    )]


def _estimated(title: str, name: str, unit: formatting.Unit) -> Show:
    """A value with its interval; ``name`` is that of the three columns, with room for "_low" and "_high"."""
    def cell(entry: Entry) -> Cell:
        value, low, high = (entry.row[name.format(end)] for end in ("", "_low", "_high"))
        if value is None:
            return Cell(text=formatting.UNKNOWN)
        low, high = (None if end is None else end / unit.scale for end in (low, high))
        return Cell(text=formatting.quantity(value / unit.scale, low, high, ()), value=value)

    return Show(column=Column(title=title, unit=unit.name, align=Align.RIGHT), cell=figure(cell))


def _costs(group: Group) -> list[Show]:
    prepare_unit = formatting.time_unit(entry.row["prepare_time_s"] for entry in group.entries)
    return [memory(), _time(tr("prepare"), "prepare_time_s", prepare_unit), parity()]


def memory() -> Show:
    """Peak memory."""
    def cell(entry: Entry) -> Cell:
        size = entry.row["peak_memory_bytes"]
        if size is None:
            return Cell(text=formatting.UNKNOWN)
        return Cell(text=formatting.mebibytes(size), value=float(size))

    column = Column(title=tr("peak memory"), unit="MiB", align=Align.RIGHT, is_detail=True)
    return Show(column=column, cell=figure(cell))


def parity() -> Show:
    """Error of the output in the proof."""
    def cell(entry: Entry) -> Cell:
        error = entry.row["parity_error"]
        if error is None:
            return Cell(text=formatting.UNKNOWN)
        return Cell(text=formatting.relative_error(error), value=error)

    return Show(column=Column(title=tr("parity error"), align=Align.RIGHT, is_detail=True), cell=figure(cell))


def trust(doubts: Doubts) -> list[Show]:
    """The number of trials, and the findings about them."""
    def doubted(entry: Entry) -> Cell:
        notes = {doubts[finding].note for finding in findings_of(entry.row)}
        return Cell(text=word(entry.row["validity"]), notes=tuple(sorted(notes, key=lambda note: note.number)))

    return [
        Show(
            column=Column(title="n", unit=tr("trials"), align=Align.RIGHT),
            cell=lambda e: Cell(text=str(e.row["trials"]), value=float(e.row["trials"])),
        ),
        Show(column=Column(title=tr("validity")), cell=doubted),
    ]


