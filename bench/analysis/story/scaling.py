"""What more devices bring: a table for each series, the laws fitted to it, the cause of what is lost, the next size."""

from __future__ import annotations

from collections.abc import Sequence

from bench.analysis import formatting
from bench.analysis.document import Align, Block, Cell, Column, Document, Items, Origin, Paragraph, Row, Section, Table
from bench.analysis.scaling import FEWEST_SIZES, Point, Series
from bench.analysis.statistics import CONFIDENCE, FEWEST_FOR_INTERVAL, Estimate
from bench.analysis.story.groups import identifier
from bench.analysis.summary import is_nothing
from bench.words import Scaling

TITLE = "Scaling"
WORDS = {
    Scaling.STRONG: "strong scaling, one global batch: ideal is a step in 1/N of the time",
    Scaling.WEAK: "weak scaling, one local batch: ideal is N times the throughput",
}
INTERVAL = (
    f"In brackets stands the {CONFIDENCE:.0%} interval over pairs of trials, of one device and of many; fewer than "
    f"{FEWEST_FOR_INTERVAL} pairs have none. A step of many devices is that of the slowest."
)


def section(found: Sequence[Series]) -> Section | None:
    """None where nothing was measured on more than one device."""
    if not found:
        return None
    return Section(
        id="scaling", title="More devices", blocks=(Paragraph(text=INTERVAL),),
        sections=tuple(_series(each) for each in found),
    )


def document(found: Sequence[Series]) -> Document:
    """The section alone, for a command that shows nothing else."""
    whole = section(found)
    return Document(title=TITLE, summary=(), sections=() if whole is None else (whole,))


def _series(series: Series) -> Section:
    facts = series.facts
    setting = f"{facts['framework']} {facts['compile_mode']} {series.strategy}"
    subject = f"{facts['model']} {facts['mode']}, {setting}, {series.scaling} scaling, batch {series.batch}"
    more = f"{facts['precision']}, {facts['device']}, {formatting.count(int(facts['threads']), 'thread')} each, " \
           f"{facts['data']} data"
    placed = {point.row.get("processes") for point in series.points[1:]}
    if placed == {1}:
        more += ", all in one process"
    identity = identifier(
        "scaling", subject, more, facts["session"], facts["code_version"], facts["framework_version"]
    )
    blocks: tuple[Block, ...] = (_table(identity, series), Items(texts=tuple(_sentences(series))))
    return Section(id=identity, title=f"{subject}, {more}", blocks=blocks)


def _table(identity: str, series: Series) -> Table:
    unit = formatting.time_unit(point.step_time_s for point in series.points)
    has_sent = any(not is_nothing(point.row.get("sent_bytes")) for point in series.points)
    is_replicas = series.strategy == "replicas"
    latency = formatting.time_unit(point.row.get("latency_p50_s") for point in series.points)

    def cells(point: Point) -> tuple[Cell, ...]:
        mark = Origin(str(point.row["origin"])).mark if point.row.get("origin") in tuple(Origin) else ""
        size = f"{mark} {point.world_size}" + (" oversubscribed" if point.is_oversubscribed else "")
        found = [
            Cell(text=size, value=float(point.world_size)),
            Cell(text=str(point.local_batch), value=float(point.local_batch)),
            Cell(text=str(point.global_batch), value=float(point.global_batch)),
            _cell(point.throughput), _of_one(point, point.speed_up), _of_one(point, point.efficiency),
            Cell(text=formatting.significant(point.step_time_s / unit.scale), value=point.step_time_s),
        ]
        if is_replicas:
            found += [_time(point, f"latency_{q}_s", latency) for q in ("p50", "p99")]
        elif has_sent:
            sent = point.row.get("sent_bytes")
            found += [
                Cell(text=formatting.UNKNOWN) if is_nothing(sent) else
                Cell(text=formatting.significant(float(sent or 0) / 1e6), value=float(sent or 0)),
                _time(point, "communication_time_s", unit), _time(point, "communication_exposed_s", unit),
            ]
        return (*found, Cell(text=_trust(point)))

    right = Align.RIGHT
    columns = [
        Column(title="devices", align=right), Column(title="local batch", align=right),
        Column(title="global batch", align=right), Column(title="throughput", unit="samples/s", align=right),
        Column(title="speed-up", align=right), Column(title="efficiency", align=right),
        Column(title="step time", unit=unit.name, align=right),
    ]
    if is_replicas:
        columns += [Column(title=f"latency {q}", unit=latency.name, align=right) for q in ("p50", "p99")]
    elif has_sent:
        columns += [
            Column(title="sent", unit="MB a step", align=right, is_detail=True),
            Column(title="communicating", unit=unit.name, align=right, is_detail=True),
            Column(title="not hidden", unit=unit.name, align=right, is_detail=True),
        ]
    return Table(
        id=f"table.{identity}", caption=f"{series.facts['model']}, {WORDS[series.scaling]}",
        columns=(*columns, Column(title="validity")),
        rows=tuple(
            Row(id=identifier(identity, point.world_size, point.row.get("devices_per_process")), cells=cells(point))
            for point in series.points
        ),
    )


def _cell(of: Estimate) -> Cell:
    text = formatting.significant(of.value) if of.low is None or of.high is None \
        else formatting.interval(of.value, of.low, of.high)
    return Cell(text=text, value=of.value)


def _of_one(point: Point, of: Estimate) -> Cell:
    return Cell(text="baseline", value=1.0) if point.world_size == 1 else _cell(of)


def _time(point: Point, name: str, unit: formatting.Unit) -> Cell:
    time_s = point.row.get(name)
    if time_s is None or is_nothing(time_s):
        return Cell(text=formatting.UNKNOWN)
    return Cell(text=formatting.significant(float(time_s) / unit.scale), value=float(time_s))


def _trust(point: Point) -> str:
    return "suspect" if point.findings else str(point.row.get("validity") or formatting.UNKNOWN)


def _sentences(series: Series) -> list[str]:
    largest = series.points[-1]
    said = [_answer(point) for point in series.points[1:]]
    said.append(f"Why: {series.cause}.")
    if series.law is None or series.costs is None or series.prediction is None:
        said.append(f"No law is fitted and nothing predicted below {FEWEST_SIZES} sizes that are not oversubscribed.")
    else:
        law, costs, next_size = series.law, series.costs, series.prediction
        limit = "" if law.limit is None else f", so that no number of devices gives more than " \
                                             f"{formatting.significant(law.limit)}x"
        said.append(f"{law.name}'s law: {formatting.percent(law.serial_share)} of the work does not scale{limit}.")
        parts = [formatting.with_unit(part, formatting.time_unit([part]))
                 for part in costs.parts_s(_largest_that_counts(series))]
        said.append(
            f"A step of {_largest_that_counts(series)} devices is best explained by {parts[0]} of computing, "
            f"{parts[1]} of sending gradients and {parts[2]} that grow with every device; this is off by "
            f"{formatting.percent(costs.largest_error)} at most."
        )
        said.append(
            f"{Origin.PREDICTED.mark} predicted, not measured: {next_size.world_size} devices would do "
            f"{formatting.significant(next_size.throughput)} samples/s, "
            f"{formatting.significant(next_size.speed_up)}x one, at an efficiency of "
            f"{formatting.share(next_size.efficiency)}."
        )
    said += [f"Suspect: {finding.text}." for finding in series.findings]
    doubted = [
        f"{formatting.count(point.world_size, 'device')} ({str(point.row['findings']).replace(',', ', ')})"
        for point in series.points if point.row.get("findings")
    ]
    if doubted:
        said.append(f"Figures with doubts of their own: {formatting.listed(doubted)}.")
    if largest.is_oversubscribed:
        said.append("Oversubscribed sizes show that it runs; they take no part in laws, causes and predictions.")
    return said


def _largest_that_counts(series: Series) -> int:
    return max(point.world_size for point in series.points if not point.is_oversubscribed)


def _answer(point: Point) -> str:
    speed_up = point.speed_up
    text = f"{formatting.significant(speed_up.value)}x" if speed_up.low is None or speed_up.high is None \
        else formatting.ratio(speed_up.value, speed_up.low, speed_up.high, ())
    label = ", oversubscribed," if point.is_oversubscribed else ""
    return (f"{point.world_size} devices{label} give {text} the throughput of one: "
            f"{formatting.share(point.efficiency.value)} of ideal.")
