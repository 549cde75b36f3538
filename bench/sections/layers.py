"""Where the time goes: stacked bars side by side, shares by operation, the longest layers, the roofline, advice."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from rigmark.bench.analysis.layers.layers import (
    TOO_SHORT,
    UNATTRIBUTED,
    LayerProfile,
    LayerRow,
    Part,
    Side,
    by_op,
    longest,
    part,
    side_by_side,
)
from rigmark.bench.analysis.layers.roofline import Peaks
from rigmark.bench.analysis.results import exports
from rigmark.bench.document import formatting
from rigmark.bench.document.document import (
    Align,
    Attachment,
    Block,
    Cell,
    Column,
    Document,
    Fold,
    Items,
    Paragraph,
    Row,
    Section,
    Table,
)
from rigmark.bench.document.identifiers import identifier
from rigmark.bench.document.language import ENGLISH, speaking, tr, word
from rigmark.bench.plan import axes
from rigmark.bench.sections import gaps
from rigmark.bench.sections.advice import ABOVE_LIMIT, advice, row_name, step_of
from rigmark.bench.sections.doubts import Doubt
from rigmark.bench.sections.layer_figures import MOST_LAYERS, family, peak_words, roofline_plot, stacked_bars
from rigmark.bench.sections.layer_groups import Member, Together

Doubts = Mapping[tuple[str, str], Doubt]

TOP = 10
NAMED_MEMBERS = 12           # of a fused row

FILE_FACTS = (*axes.named_but("device"), "local_batch", "threads")
FILE_FIGURES = (
    "layer", "members", "op", "direction", "method", "time_s", "share", "flops", "bytes_moved", "flops_per_s", "bound",
)
"""Columns of the attached file; the others follow from them."""

def section(profiled: Sequence[Together], doubts: Doubts) -> Section | None:
    """One subsection per model, with one per group in it; None if no layer was timed."""
    if not profiled:
        return None
    models = dict.fromkeys(each.group.facts["model"] for each in profiled)
    text = tr(
        "Each layer was timed within whole steps, in a process of its own beside the timed trials. Bars and shares "
        "are of those instrumented steps; cover, closure and overhead say how far they can be trusted."
    )
    return Section(
        id="layers", title=tr("Where the time goes"), blocks=(Paragraph(text=text), _attachment(profiled)),
        sections=tuple(
            Section(
                id=f"layers.{identifier(model)}", title=str(model),
                sections=tuple(_group(each, doubts) for each in profiled if each.group.facts["model"] == model),
            )
            for model in models
        ),
    )


def document(profiled: Sequence[Together], *, top: int | None) -> Document:
    """The cases one after another, each with its ``top`` rows, all if None."""
    sections = []
    for each in profiled:
        if between := tuple(gaps.sentences(each)):
            title = tr("What makes the difference: {subject}, {conditions}", subject=each.group.subject,
                       conditions=each.group.conditions)
            sections.append(Section(id=f"gap.{each.id}", title=title, blocks=(Items(texts=between),)))
        for member in each.members:
            case = member.case
            caption = tr("What takes the most time of {step}", step=step_of(case))
            table = rows_table(case, identifier("table", case.id), caption, top)
            bars = stacked_bars([member], identifier("bars", case.id), table.id, each.group.subject)
            blocks: list[Block] = [Paragraph(text=_figures_words(case)), bars, Items(texts=tuple(advice(case))), table]
            if case.findings:
                blocks.append(Items(texts=tuple(f"{finding.id}: {finding.text}." for finding in case.findings)))
            title = f"{each.group.subject}, {settings(case)}, {each.group.conditions}"
            sections.append(Section(id=identifier("case", case.id), title=title, blocks=tuple(blocks)))
    return Document(title=tr("Where the time goes"), summary=(), sections=tuple(sections))


def settings(case: LayerProfile) -> str:
    """"torch 2.13.0 eager channels_last"."""
    return axes.software({**case.case, "framework_version": case.facts["framework_version"]})


def _group(profiles: Together, doubts: Doubts) -> Section:
    side = _side_table(profiles)
    bars = stacked_bars(
        profiles.members, f"bars.{profiles.id}", side.id, f"{profiles.group.subject}, {profiles.group.conditions}"
    )
    between = tuple(gaps.sentences(profiles))
    blocks: tuple[Block, ...] = (
        bars, *([Items(texts=between)] if between else []), Items(texts=tuple(_advised(profiles))),
        _figures_table(profiles, doubts), _op_table(profiles),
        *(block for member in profiles.members for block in _details(profiles, member)),
        Fold(title=tr("Every layer, side by side"), blocks=(side,)),
    )
    title = f"{word(profiles.group.facts['mode'])}{tr(': ')}{profiles.group.conditions}"
    return Section(id=profiles.id, title=title, blocks=blocks)


def _advised(profiles: Together) -> Iterator[str]:
    """The advice on each case; advice on several is given once, and advice on all of them last and without names."""
    labels_of: dict[str, list[str]] = {}
    for member in profiles.members:
        for text in advice(member.case):
            labels_of.setdefault(text, []).append(member.label)
    for text, labels in labels_of.items():
        if len(labels) < len(profiles.members):
            yield tr("{label}: {said}", label=formatting.listed(labels), said=text)
    yield from (text for text, labels in labels_of.items() if len(labels) == len(profiles.members))


def _details(profiles: Together, member: Member) -> list[Block]:
    table = f"table.top.{identifier(member.case.id)}"
    subject = profiles.group.subject
    title = tr("Layers of {label} that take the most time, {subject}", label=member.label, subject=subject)
    plot = roofline_plot(member, f"roofline.{identifier(member.case.id)}", table)
    blocks: list[Block] = [rows_table(member.case, table, title, TOP)]
    has_roof = plot.peak_flops_per_s is not None or plot.peak_bytes_per_s is not None
    return [plot, *blocks] if plot.dots and has_roof else blocks


# Tables of a group --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Show:
    """One column of a table of cases: its head, and the cell of a case."""

    column: Column
    cell: Callable[[Member], Cell]


def _figures_table(profiles: Together, doubts: Doubts) -> Table:
    unit = formatting.time_unit(member.case.step_time_s for member in profiles.members)

    def time(value: Callable[[LayerProfile], float | None]) -> Callable[[Member], Cell]:
        return lambda member: _number(value(member.case), lambda time_s: formatting.significant(time_s / unit.scale))

    def ratio(value: Callable[[LayerProfile], float | None]) -> Callable[[Member], Cell]:
        return lambda member: _number(value(member.case), lambda ratio: formatting.number(ratio, 2))

    def doubted(member: Member) -> Cell:
        notes = tuple(doubts[finding.id, finding.text].note for finding in member.case.findings)
        return Cell(text=formatting.count(len(notes), "finding") if notes else tr("none"), notes=notes)

    right = Align.RIGHT
    shows = [
        Show(column=Column(title=tr("framework")), cell=lambda member: Cell(text=member.label)),
        Show(column=Column(title=tr("settings"), is_detail=True), cell=lambda member: Cell(text=settings(member.case))),
        Show(
            column=Column(title=tr("instrumented step"), unit=unit.name, align=right),
            cell=time(lambda c: c.step_time_s),
        ),
        Show(
            column=Column(title=tr("timed step"), unit=unit.name, align=right),
            cell=time(lambda c: c.timed_step_time_s),
        ),
        Show(column=Column(title=tr("cover"), align=right), cell=ratio(lambda c: c.figures.cover)),
        Show(column=Column(title=tr("closure"), align=right), cell=ratio(lambda c: c.figures.closure)),
        Show(column=Column(title=tr("overhead"), align=right), cell=ratio(lambda c: c.figures.overhead)),
        Show(column=Column(title="MFU", align=right), cell=lambda m: _number(m.case.figures.mfu, formatting.share)),
        Show(column=Column(title=tr("findings")), cell=doubted),
    ]
    return Table(
        id=f"table.figures.{profiles.id}",
        caption=tr("How far the layers account for the step, {subject}", subject=profiles.group.subject),
        columns=tuple(show.column for show in shows),
        rows=tuple(
            Row(id=identifier("profile", m.case.id), cells=tuple(show.cell(m) for show in shows))
            for m in profiles.members
        ),
        notes=(
            tr(
                "Cover: the time of all layers, loss and optimizer, divided by the instrumented step. Closure: the "
                "same, divided by the step of the timed trials. Overhead: the instrumented step divided by the plain "
                "step of the same process. 1 is best; a value outside 0.90 to 1.10 is a finding. MFU: the FLOPs that "
                "the network's definition needs, divided by the step time and by this machine's peak."
            ),
            *_peak_notes(profiles.members[0].case.peaks),
        ),
    )


def _time(time_s: float, unit: formatting.Unit) -> str:
    return formatting.significant(time_s / unit.scale, 2)


def _number(value: float | None, words: Callable[[float], str]) -> Cell:
    return Cell(text=formatting.UNKNOWN) if value is None else Cell(text=words(value), value=value)


def _op_table(profiles: Together) -> Table:
    parts = {member.label: {each.name: each for each in by_op(member.case.rows)} for member in profiles.members}
    largest = {
        name: max(of[name].share for of in parts.values() if name in of)
        for name in dict.fromkeys(name for of in parts.values() for name in of)
    }
    names = sorted(largest, key=lambda name: (name == UNATTRIBUTED, -largest[name]))
    rows = tuple(
        Row(
            id=identifier("op", profiles.short_id, name),
            cells=(
                Cell(text=f"{family(name).letter} {row_name(name)}"),
                *(_number(of[name].share if name in of else None, formatting.share) for of in parts.values()),
            ),
        )
        for name in names
    )
    return Table(
        id=f"table.ops.{profiles.id}",
        caption=tr("Share of {step} by type of operation", step=step_of(profiles.members[0].case)),
        columns=(Column(title=tr("operation")), *(Column(title=label, align=Align.RIGHT) for label in parts)),
        rows=rows,
        notes=(tr(
            "A fused kernel counts as the layer in it that has the most arithmetic. The letter is the one in the "
            "figures. {sign}: this operation has no row of its own.", sign=formatting.UNKNOWN,
        ),),
    )


def _side_table(profiles: Together) -> Table:
    """Every layer of the graph and its time in each case: equal layers are one row."""
    unit = formatting.time_unit(member.case.step_time_s for member in profiles.members)
    sides = side_by_side([member.case for member in profiles.members])
    shown = set(sorted(sides, key=lambda name: -max(side.time_s or 0.0 for side in sides[name]))[:MOST_LAYERS])
    notes = [
        tr('All directions of a layer together. "in conv1": it is fused with that layer, whose kernels do its work.')
    ]
    if len(shown) < len(sides):
        notes.append(tr("The {n} longest of {all} rows; the attached file has all.", n=len(shown), all=len(sides)))
    return Table(
        id=f"table.side.{profiles.id}", caption=tr("Time of each layer, {subject}", subject=profiles.group.subject),
        columns=(
            Column(title=tr("layer")),
            *(Column(title=member.label, unit=unit.name, align=Align.RIGHT) for member in profiles.members),
        ),
        rows=tuple(
            Row(
                id=identifier("side", profiles.short_id, name),
                cells=(Cell(text=row_name(name)), *(_side_cell(side, unit) for side in sides[name])),
            )
            for name in sides if name in shown
        ),
        notes=tuple(notes),
    )


def _side_cell(side: Side, unit: formatting.Unit) -> Cell:
    within = [
        tr("too short to time") if name == TOO_SHORT else tr("in {layer}", layer=name) for name in side.within
    ]
    if side.time_s is None:
        return Cell(text=", ".join(within) or (tr("no kernel seen") if side.is_idle else formatting.UNKNOWN))
    sentences = [_time(side.time_s, unit), *(tr("and {others}", others=name) for name in within)]
    return Cell(text=" ".join(sentences), value=side.time_s)


# Rows of a case -----------------------------------------------------------------------------------------------------


def rows_table(case: LayerProfile, identity: str, caption: str, top: int | None) -> Table:
    """The rows that take the most time, with their rates; then the others as one row, and the residual."""
    rows = longest(case.rows, top)
    # Readers look at the longest rows, so the units are chosen for these.
    time_unit = formatting.time_unit(row.time_s for row in rows[:1])
    flops_unit, bytes_unit = (
        formatting.rate_unit([max((rate for rate in rates if rate is not None), default=None)], name)
        for name, rates in (
            ("FLOP/s", [row.place.flops_per_s for row in rows]), ("B/s", [row.place.bytes_per_s for row in rows])
        )
    )
    is_known = any(row.place.bound for row in rows)

    def cells(row: LayerRow) -> list[Cell]:
        place = row.place
        return [
            Cell(text=full_name(row)), Cell(text=word(row.direction or "")), Cell(text=row.op or ""),
            Cell(text=_time(row.time_s, time_unit), value=row.time_s),
            Cell(text=formatting.share(row.share), value=row.share),
            _number(place.flops_per_s, lambda rate: formatting.significant(rate / flops_unit.scale, 2)),
            _number(place.bytes_per_s, lambda rate: formatting.significant(rate / bytes_unit.scale, 2)),
            _number(place.intensity, lambda intensity: formatting.significant(intensity, 2)),
            *([
                Cell(text=word(place.bound or formatting.UNKNOWN)),
                _number(place.limit_s, lambda limit_s: _time(limit_s, time_unit)),
                _number(place.gap, lambda gap: formatting.times(gap, 2)),
            ] if is_known else []),
        ]

    right = Align.RIGHT
    columns = [
        Column(title=tr("layer")), Column(title=tr("direction")), Column(title=tr("op"), is_detail=True),
        Column(title=tr("time"), unit=time_unit.name, align=right), Column(title=tr("share"), align=right),
        Column(title="FLOP/s", unit=flops_unit.name, align=right),
        Column(title=tr("bytes/s"), unit=bytes_unit.name, align=right, is_detail=True),
        Column(title="FLOP/byte", align=right, is_detail=True),
    ]
    if is_known:
        columns += [
            Column(title=tr("bound by")), Column(title=tr("limit"), unit=time_unit.name, align=right, is_detail=True),
            Column(title=tr("time / limit"), align=right),
        ]
    shown = [(identifier(case.id, row.layer, row.direction or ""), cells(row)) for row in rows]
    shown += [
        (identifier(case.id, name), [
            Cell(text=text), *[Cell(text="")] * 2, Cell(text=_time(each.time_s, time_unit), value=each.time_s),
            Cell(text=formatting.share(each.share), value=each.share), *[Cell(text="")] * (len(columns) - 5),
        ])
        for name, text, each in _below(case, rows)
    ]
    return Table(
        id=identity, caption=caption, columns=tuple(columns),
        rows=tuple(Row(id=name, cells=tuple(row)) for name, row in shown), notes=tuple(_row_notes(case, rows)),
    )


def _below(case: LayerProfile, shown: Sequence[LayerRow]) -> list[tuple[str, str, Part]]:
    """The rows below the longest ones, which make the table add up to the step: (name, name in words, part)."""
    others = longest(case.rows)[len(shown):]
    below = []
    if others:
        with speaking(ENGLISH):      # the id of a row is equal in every language
            name = f"({formatting.count(len(others), 'other row')})"
        below.append((name, f"({formatting.count(len(others), 'other row')})", part("", others)))
    return [
        *below, *((row.layer, row_name(row.layer), part(row.layer, [row])) for row in case.rows if row.is_residual)
    ]


def full_name(row: LayerRow) -> str:
    """The names of the layer and of those that are fused into it."""
    others = [member for member in row.members if member != row.layer]
    named = _first(others)
    if row.layer == TOO_SHORT:
        return f"{row_name(row.layer)}: {', '.join(named)}"
    return " + ".join([row_name(row.layer), *named])


def _first(names: Sequence[str]) -> list[str]:
    more = len(names) - NAMED_MEMBERS
    return [*names[:NAMED_MEMBERS], *([tr("{n} more", n=more)] if more > 0 else [])]


def _row_notes(case: LayerProfile, rows: Sequence[LayerRow]) -> list[str]:
    notes = []
    if any(len(row.members) > 1 for row in rows):
        notes.append(tr(
            "Layers joined by + run as one: their times cannot be separated, their work is counted together."
        ))
    above = {row.place.bound for row in rows if row.place.gap is not None and row.place.gap < 1}
    if above:
        reasons = "; ".join(f"{word(bound)}, {tr(why)}" for bound, why in ABOVE_LIMIT.items() if bound in above)
        notes.append(tr(
            "A ratio below 1x is faster than the limit. {reasons}.", reasons=reasons[:1].upper() + reasons[1:],
        ))
    if any(row.method != "in_place" for row in rows):
        replayed = [row.layer for row in rows if row.method != "in_place"]
        notes.append(tr("Timed alone instead of within the step: {layers}.", layers=", ".join(replayed)))
    if case.without_kernel:
        notes.append(tr(
            "In at least one direction, no kernel was seen for {layers}.",
            layers=", ".join(_first(case.without_kernel)),
        ))
    return notes


def _peak_notes(peaks: Peaks) -> list[str]:
    every = ((peaks.flops_per_s, "FLOP/s"), (peaks.bytes_per_s, "B/s"), (peaks.launch_s, "s"))
    known = [f"{peak_words(peak, name)} ({peak.source})" for peak, name in every if peak]
    return [tr("This machine's limits: {limits}.", limits="; ".join(known))] if known else []


def _figures_words(case: LayerProfile) -> str:
    times = [case.step_time_s, case.timed_step_time_s]
    unit = formatting.time_unit(times)
    timed = "" if case.timed_step_time_s is None else tr(
        ", timed without instruments {step_time}", step_time=formatting.with_unit(case.timed_step_time_s, unit),
    )
    figures = {
        tr("cover"): case.figures.cover, tr("closure"): case.figures.closure, tr("overhead"): case.figures.overhead,
    }
    ratios = ", ".join(
        f"{name} {formatting.UNKNOWN if value is None else formatting.number(value, 2)}"
        for name, value in figures.items()
    )
    of_peak = "" if case.figures.mfu is None else tr("; MFU {mfu}", mfu=formatting.share(case.figures.mfu))
    peaks = "".join(f" {note}" for note in _peak_notes(case.peaks))
    return tr(
        "Instrumented step {step_time}{timed}; {ratios}{of_peak}.{peaks}",
        step_time=formatting.with_unit(case.step_time_s, unit), timed=timed, ratios=ratios, of_peak=of_peak,
        peaks=peaks,
    )


# File ---------------------------------------------------------------------------------------------------------------


def plain(rows: Sequence[LayerRow]) -> list[dict[str, Any]]:
    """Rows in the form that scripts of users rely on; None for what is not known."""
    return [
        {
            "layer": row.layer, "members": list(row.members), "op": row.op, "direction": row.direction,
            "method": row.method, "time_s": row.time_s, "share": row.share, "flops": row.flops,
            "bytes_moved": row.bytes_moved, "flops_per_s": row.place.flops_per_s, "bytes_per_s": row.place.bytes_per_s,
            "intensity": row.place.intensity, "bound": row.place.bound, "limit_s": row.place.limit_s,
            "gap": row.place.gap,
        }
        for row in rows
    ]


def _attachment(profiled: Sequence[Together]) -> Attachment:
    """All rows of all cases."""
    rows = [
        {"trial": member.case.id} | {name: member.case.case[name] for name in FILE_FACTS}
        | {name: row[name] for name in FILE_FIGURES} | {"members": " ".join(row["members"])}
        for each in profiled for member in each.members for row in plain(member.case.rows)
    ]
    return Attachment(
        name="rigmark-layers.csv", mime_type="text/csv", description=tr("every row of every step, as CSV"),
        content=exports.csv(pd.DataFrame(rows), digits=4),
    )
