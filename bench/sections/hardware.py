"""What this machine can do: its measured limits, the best framework for each, and the results of all frameworks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from rigmark.bench.analysis.layers.roofline import memory_size
from rigmark.bench.analysis.results.summary import is_nothing, rows_of
from rigmark.bench.devices import is_host
from rigmark.bench.document import formatting
from rigmark.bench.document.document import Align, Block, Cell, Column, Fold, Paragraph, Row, Section, Table
from rigmark.bench.document.identifiers import identifier
from rigmark.bench.document.language import tr, tr_later, word
from rigmark.bench.enums import Outcome, Precision, TrialKind
from rigmark.bench.sections.groups import origin

Limit = Mapping[str, Any]            # a row of the table of results
Work = tuple[str, str]               # column of a result that counts it, and its unit

TITLES = {
    "launch": tr_later("launch of the smallest operation"), "disk_read": tr_later("disk, read"),
    "disk_write": tr_later("disk, written"), "jpeg_decode": tr_later("JPEG photographs decoded"),
}
FLOPS, BYTES = ("flops_per_s", "FLOP/s"), ("bytes_per_s", "B/s")
SAMPLES = ("throughput_samples_per_s", tr_later("samples/s"))
UNSCALED = formatting.Unit(name="samples/s", scale=1.0)


def section(results: pd.DataFrame) -> Section | None:
    """A subsection for each machine, device and number of threads; None where no limit was measured."""
    is_limit = (results.kind == TrialKind.LIMIT) & (results.outcome == Outcome.OK)
    rows: list[Limit] = [row for row in rows_of(results[is_limit]) if not is_nothing(row["step_time_s"])]
    if not rows:
        return None
    places = sorted({_place_of(row) for row in rows})
    text = tr(
        "The best that any framework reached. Each limit is a small operation that is timed like a network. Layers are "
        "compared with these limits, not with a data sheet."
    )
    is_node_told = len({row["node"] for row in rows}) > 1
    return Section(
        id="hardware", title=tr("What this machine can do"), blocks=(Paragraph(text=text),),
        sections=tuple(
            _place(place, [row for row in rows if _place_of(row) == place], is_node_told=is_node_told)
            for place in places
        ),
    )


Where = tuple[str, str, str, str, int]


def _place_of(row: Limit) -> Where:
    """(name of the device, machine, node or "", device, threads)."""
    name = str(row["device_name"] or tr("unknown device"))
    return name, row["machine"], row["node"] or "", row["device"], row["threads"]


def _place(place: Where, rows: Sequence[Limit], *, is_node_told: bool) -> Section:
    name, machine, node, device, threads = place
    # "cuda:0" may be another GPU if CUDA_VISIBLE_DEVICES was different.
    named = () if is_host(device) else (name,)
    identity = identifier("hardware", machine, *filter(None, [node]), device, *named, threads)
    arithmetic = [row for row in rows if _kind(row) in ("matmul", "conv2d")]
    memory = [row for row in rows if memory_size(row["model"])]
    others = [row for row in rows if row not in arithmetic and row not in memory]
    blocks: list[Block] = []
    if arithmetic:
        blocks.append(_arithmetic(f"table.arithmetic.{identity}", arithmetic))
    if memory:
        blocks.append(_memory(f"table.memory.{identity}", memory))
    if others:
        blocks.append(_others(f"table.others.{identity}", others))
    blocks.append(Fold(title=tr("Every framework's limits"), blocks=(_every(f"table.limits.{identity}", rows),)))
    title = f"{name}, {device}, {formatting.count(threads, 'thread')}"
    if is_node_told:
        title += f", {tr('node ')}{node or tr('not known')}"
    return Section(id=identity, title=title, blocks=tuple(blocks))


def _kind(row: Limit) -> str:
    return str(row["model"]).partition("_")[0]


def _arithmetic(identity: str, rows: Sequence[Limit]) -> Table:
    """FLOP/s by operation and precision."""
    usual = [str(precision) for precision in Precision]
    precisions = sorted(
        {str(row["precision"]) for row in rows}, key=lambda name: usual.index(name) if name in usual else len(usual)
    )
    names = sorted({str(row["model"]) for row in rows}, key=_in_order)
    return _matrix(
        identity, tr("Arithmetic: the best FLOP/s by precision"), FLOPS, names, _title,
        {p: [row for row in rows if row["precision"] == p] for p in precisions}, lambda row: str(row["model"]),
        note=tr(
            "A convolution's FLOPs are those of its definition; an algorithm that needs fewer may exceed a matrix "
            "product."
        ),
    )


def _memory(identity: str, rows: Sequence[Limit]) -> Table:
    """Bytes/s by size, copied and as a triad."""
    sizes = sorted({_size(row) for row in rows}, key=lambda size: memory_size(f"copy_{size}") or 0)
    return _matrix(
        identity, tr("Memory: the best bytes/s by the size of all arrays"), BYTES, sizes, str,
        {kind: [row for row in rows if _kind(row) == kind] for kind in sorted(set(map(_kind, rows)))}, _size,
        note=tr(
            "Small arrays stay in a cache; the largest show the speed of main memory. Each array is counted once, "
            "whether it is read or written."
        ),
    )


def _size(row: Limit) -> str:
    return str(row["model"]).partition("_")[2]


def _matrix(
    identity: str, caption: str, work: Work, names: Sequence[str], title: Any, columns: Mapping[str, Sequence[Limit]],
    name_of: Any, *, note: str,
) -> Table:
    """The best of each name in each column."""
    column, base = work
    unit = formatting.rate_unit((row[column] for of in columns.values() for row in of), base)

    def cell(rows: Iterable[Limit]) -> Cell:
        best = max((row for row in rows if not is_nothing(row[column])), key=lambda row: row[column], default=None)
        if best is None:
            return Cell(text=formatting.UNKNOWN)
        return Cell(text=f"{_rate(best, work, unit)} {_whose(best)}", value=float(best[column]))

    return Table(
        id=identity, caption=caption,
        columns=(
            Column(title=tr("limit")), *(Column(title=tr(head), unit=unit.name, align=Align.RIGHT) for head in columns)
        ),
        rows=tuple(
            Row(
                id=identifier(identity, name),
                cells=(Cell(text=title(name)), *(cell(r for r in of if name_of(r) == name) for of in columns.values())),
            )
            for name in names
        ),
        notes=(note,),
    )


def _others(identity: str, rows: Sequence[Limit]) -> Table:
    """Limits other than arithmetic and memory: launches, disk, JPEG, copies to a device, sums over processes."""
    names = sorted({str(row["model"]) for row in rows}, key=_in_order)
    lines = []
    for name in names:
        best = min((row for row in rows if row["model"] == name), key=lambda row: row["step_time_s"])
        text, value = _figure(best)
        lines.append(
            Row(
                id=identifier(identity, name),
                cells=(Cell(text=_title(name)), Cell(text=text, value=value), Cell(text=_whose(best))),
            )
        )
    return Table(
        id=identity, caption=tr("Launches, storage, decoding and communication"),
        columns=(Column(title=tr("limit")), Column(title=tr("best"), align=Align.RIGHT), Column(title=tr("of"))),
        rows=tuple(lines),
    )


def _every(identity: str, rows: Sequence[Limit]) -> Table:
    def cells(row: Limit) -> tuple[Cell, ...]:
        text, value = _figure(row)
        return (
            Cell(text=_title(str(row["model"]))), Cell(text=str(row["precision"])), Cell(text=_whose(row)),
            Cell(text=text, value=value), Cell(text=str(row["trials"]), value=float(row["trials"])),
            Cell(text=word(row["validity"])),
        )

    ordered = sorted(
        rows, key=lambda row: (_in_order(str(row["model"])), str(row["precision"]), row["step_time_s"])
    )
    return Table(
        id=identity, caption=tr("Every limit in every framework, best first"),
        columns=(
            Column(title=tr("limit")), Column(title=tr("precision")), Column(title=tr("framework")),
            Column(title=tr("reached"), align=Align.RIGHT), Column(title="n", unit=tr("trials"), align=Align.RIGHT),
            Column(title=tr("validity")),
        ),
        rows=tuple(
            Row(id=identifier(identity, index, row["model"]), cells=cells(row)) for index, row in enumerate(ordered)
        ),
        notes=(tr("Brackets hold the 95 % interval over trials, where there are enough of them."),),
    )


def _figure(row: Limit) -> tuple[str, float]:
    """The result of a limit, in words and as a number: FLOP/s, bytes/s or samples/s, otherwise seconds."""
    for work in (FLOPS, BYTES, SAMPLES) if not memory_size(row["model"]) else (BYTES,):
        column, base = work
        if not is_nothing(row[column]):
            unit = UNSCALED if work is SAMPLES else formatting.rate_unit([row[column]], base)
            return f"{_rate(row, work, unit)} {tr(unit.name)}", float(row[column])
    unit = formatting.time_unit([row["step_time_s"]])
    ends = [_scaled(row[name], unit) for name in ("step_time_s", "step_time_low_s", "step_time_high_s")]
    return f"{_quantity(*ends)} {unit.name}", float(row["step_time_s"])


def _rate(row: Limit, work: Work, unit: formatting.Unit) -> str:
    """The rate in a unit, with its interval, which follows from that of the step time."""
    rate, time_s = row[work[0]], row["step_time_s"]
    low, high = (
        None if is_nothing(row[name]) else rate * time_s / row[name] for name in ("step_time_high_s", "step_time_low_s")
    )
    return _quantity(*(_scaled(number, unit) for number in (rate, low, high)))


def _scaled(number: Any, unit: formatting.Unit) -> float | None:
    return None if is_nothing(number) else float(number) / unit.scale


def _quantity(value: float | None, low: float | None, high: float | None) -> str:
    if value is None:
        return formatting.UNKNOWN
    return formatting.significant(value) if low is None or high is None else formatting.interval(value, low, high)


def _whose(row: Limit) -> str:
    """"torch 2.13.0"; with its mark where it was not measured here."""
    source = origin(row["origin"])
    name = " ".join(str(row[part]) for part in ("framework", "framework_version") if not is_nothing(row[part]))
    return name if row["origin"] == "measured" else f"{source.mark} {name}, {word(source)}"


def _title(name: str) -> str:
    if name in TITLES:
        return tr(TITLES[name])
    kind, _, rest = name.partition("_")
    if kind == "matmul":
        return tr("matrix product, {rest} x {rest}", rest=rest)
    if kind == "all" and rest.startswith("reduce_"):
        return tr("all-reduce over {n} processes", n=rest.removeprefix("reduce_"))
    return name.replace("_", " ")


def _in_order(name: str) -> tuple[str, int, str]:
    """Sorting key: matrix products before convolutions, each by its size."""
    kind, _, rest = name.partition("_")
    number = rest.rpartition("_")[2]
    place = {"matmul": "a", "conv2d": "b", "launch": "c"}.get(kind, f"d{kind}")
    return place, int(number) if number.isdigit() else 0, rest
