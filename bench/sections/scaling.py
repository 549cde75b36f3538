"""The gain of more devices: all strategies against the ideal; for each its laws, losses and causes, the next size."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from rigmark.bench.analysis.results.summary import is_nothing, key
from rigmark.bench.analysis.results.validity import Validity
from rigmark.bench.analysis.scaling import FEWEST_SIZES, SAME_COLUMNS, Point, Series, environment
from rigmark.bench.analysis.statistics.estimate import CONFIDENCE, FEWEST_FOR_INTERVAL, Estimate
from rigmark.bench.document import formatting
from rigmark.bench.document.document import (
    Align,
    Block,
    Cell,
    Column,
    Document,
    Growth,
    Items,
    Origin,
    Paragraph,
    Row,
    Section,
    Size,
    SpeedUps,
    Table,
)
from rigmark.bench.document.identifiers import identifier
from rigmark.bench.document.language import ENGLISH, speaking, tr, tr_later, word
from rigmark.bench.enums import Scaling
from rigmark.bench.plan import axes
from rigmark.bench.sections.groups import RARE_COLUMNS
from rigmark.bench.sections.sessions import SessionResults, unrepeated
from rigmark.bench.worker import strategies

WORDS = {
    Scaling.STRONG: tr_later("strong scaling, equal global batch: ideally a step takes 1/N of the time"),
    Scaling.WEAK: tr_later("weak scaling, equal local batch: ideally the throughput is N times as high"),
}

TELLING = (
    "framework_version", *axes.but(*axes.OF_WORLD), "session", "machine", "node", "code_version", "graph_fingerprint",
)
"""Facts that are only mentioned if they distinguish series."""


def section(every: Sequence[Series], common: Collection[str] = ()) -> Section | None:
    """None if nothing was measured on more than one device; the latest session stands for those that it repeats.

    ``common`` are ids of findings that the report states elsewhere for most results.
    """
    if not every:
        return None
    latest = [*unrepeated(_of_session(series) for series in every)]
    names = _numbered([_identity(series) for series, _ in latest])
    titles = _numbered([", ".join(_names(series)) for series, _ in latest])
    return Section(
        id="scaling", title=tr("More devices"),
        blocks=(Paragraph(text=_interval_words()), *_together([series for series, _ in latest])),
        sections=tuple(
            _series(identifier(name), title, series, earlier, common)
            for name, title, (series, earlier) in zip(names, titles, latest, strict=True)
        ),
    )


def _of_session(series: Series) -> SessionResults[Series]:
    """A later session repeats it if that has all its sizes."""
    columns = [column for column in SAME_COLUMNS if column != "session"]
    alike = (
        *key(series.facts, columns), environment(series.points[0].row), series.scaling, series.strategy, series.batch
    )
    sizes = {_place(point) for point in series.points}
    return SessionResults(
        what=series, alike=alike, contenders=sizes, measured=sizes,
        ended_at=max(str(point.row.get("recorded_at") or "") for point in series.points),
    )


def _place(point: Point) -> tuple[int, object]:
    """Number of devices and how they are laid out."""
    return point.world_size, point.row.get("devices_per_process") if point.world_size > 1 else None


def _interval_words() -> str:
    return tr(
        "Brackets hold the {confidence:.0%} interval over pairs of trials, one on one device and one on many; with "
        "fewer than {fewest} pairs there is none. A step of many devices lasts as long as that of the slowest.",
        confidence=CONFIDENCE, fewest=FEWEST_FOR_INTERVAL,
    )


def document(every: Sequence[Series]) -> Document:
    """The section alone, for a command that shows nothing else."""
    whole = section(every)
    return Document(title=tr("Scaling"), summary=(), sections=() if whole is None else (whole,))


# All ways beside each other -----------------------------------------------------------------------------------------


def _together(every: Sequence[Series]) -> Iterator[Block]:
    """A figure and its table for each network and kind of scaling: a line and a row for each way to share the work."""
    groups: dict[tuple[str, str], list[Series]] = {}
    for series in every:
        groups.setdefault((_subject(series), _conditions(series)), []).append(series)
    for number, ((subject, conditions), several) in enumerate(groups.items(), start=1):
        identity = f"scaling.together.{number}"
        labels = _labels(several)
        yield SpeedUps(
            id=f"figure.{identity}", title=f"{subject}, {conditions}", table=f"table.{identity}", ideal=tr("ideal"),
            axes=tr("speed-up over the number of devices"),
            growths=tuple(
                Growth(label=label, sizes=tuple(_size(point) for point in series.points))
                for label, series in zip(labels, several, strict=True)
            ),
        )
        yield _overview(identity, subject, labels, several)


def _labels(several: Sequence[Series]) -> list[str]:
    """What distinguishes each from the others; a number if nothing here does."""
    settings = [_setting(series) for series in several]
    names = []
    for series, setting in zip(several, settings, strict=True):
        namesakes = [other for other, its in zip(several, settings, strict=True) if its == setting]
        telling = [name for name in TELLING if len({key(other.facts, (name,)) for other in namesakes}) > 1]
        names.append(", ".join([setting, *(_fact_in_words(name, series.facts[name]) for name in telling)]))
    return _numbered(names)


def _fact_in_words(name: str, fact: Any) -> str:
    """A fact with the words before it."""
    return axes.BY_NAME[name].words(fact) if name in axes.BY_NAME else f"{tr(RARE_COLUMNS.get(name, ''))}{fact}"


def _numbered(names: Sequence[str]) -> list[str]:
    return [
        name if names.count(name) == 1 else f"{name} #{names[:place + 1].count(name)}"
        for place, name in enumerate(names)
    ]


def _size(point: Point) -> Size:
    return Size(
        devices=point.world_size, speed_up=point.speed_up.value, low=point.speed_up.low, high=point.speed_up.high,
        text=_answer(point) if point.world_size > 1 else tr("baseline"), counts=not point.is_oversubscribed,
        origin=_origin(point) or Origin.MEASURED,
    )


def _origin(point: Point) -> Origin | None:
    return Origin(str(point.row["origin"])) if point.row.get("origin") in tuple(Origin) else None


def _overview(identity: str, subject: str, labels: Sequence[str], several: Sequence[Series]) -> Table:
    sizes = sorted({(point.world_size, point.is_oversubscribed) for each in several for point in each.points[1:]})

    def cell(series: Series, size: tuple[int, bool]) -> Cell:
        point = next((p for p in series.points if (p.world_size, p.is_oversubscribed) == size), None)
        if point is None:
            return Cell(text=formatting.UNKNOWN)
        share = formatting.share(point.efficiency.value)
        return Cell(text=tr("{speed_up}; {share} of ideal", speed_up=_cell(point.speed_up).text, share=share),
                    value=point.speed_up.value)

    return Table(
        id=f"table.{identity}", caption=tr("{subject}: speed-up", subject=subject),
        columns=(Column(title=tr("framework")), *(
            Column(
                title=formatting.count(size, "device"), unit=tr("oversubscribed") if is_over else "", align=Align.RIGHT
            )
            for size, is_over in sizes
        )),
        rows=tuple(
            Row(id=identifier(identity, label), cells=(Cell(text=label), *(cell(series, size) for size in sizes)))
            for label, series in zip(labels, several, strict=True)
        ),
    )


# One of them --------------------------------------------------------------------------------------------------------


def _identity(series: Series) -> str:
    facts = series.facts
    with speaking(ENGLISH):      # a link must work in every language
        return ".".join((
            "scaling", *_names(series), *(str(facts[name]) for name in ("session", "code_version", "framework_version"))
        ))


def _series(
    identity: str, title: str, series: Series, earlier: Sequence[Series], common: Collection[str] = ()
) -> Section:
    sentences = (*_sentences(series, common), *_before(series, earlier))
    blocks: tuple[Block, ...] = (_table(identity, series), Items(texts=sentences))
    return Section(id=identity, title=title, blocks=blocks)


def _subject(series: Series) -> str:
    """The network and how its work grows, for any strategy."""
    return tr(
        "{model} {mode}, {scaling} scaling, batch {batch}", model=series.facts["model"],
        mode=word(series.facts["mode"]), scaling=word(series.scaling), batch=series.batch,
    )


def _setting(series: Series) -> str:
    return f"{axes.named(series.facts, (*axes.CODE, 'compile_mode'))} {series.strategy}"


def _conditions(series: Series) -> str:
    facts = series.facts
    return tr(
        "{precision}, {device}, {threads} each, {data} data", precision=facts["precision"], device=facts["device"],
        threads=formatting.count(int(facts["threads"]), "thread"), data=facts["data"],
    )


def _names(series: Series) -> tuple[str, str]:
    """The network, the strategy and the conditions."""
    facts = series.facts
    subject = tr(
        "{model} {mode}, {setting}, {scaling} scaling, batch {batch}", model=facts["model"], mode=word(facts["mode"]),
        setting=_setting(series), scaling=word(series.scaling), batch=series.batch,
    )
    more = _conditions(series)
    if {point.row.get("processes") for point in series.points[1:]} == {1}:
        more += tr(", all in one process")
    return subject, more


def _table(identity: str, series: Series) -> Table:
    unit = formatting.time_unit(point.step_time_s for point in series.points)
    has_sent = any(not is_nothing(point.row.get("sent_bytes")) for point in series.points)
    is_replicas = strategies.answers_apart(series.strategy)
    latency = formatting.time_unit(point.row.get("latency_p50_s") for point in series.points)

    def cells(point: Point) -> tuple[Cell, ...]:
        origin = _origin(point)
        mark = "" if origin is None else origin.mark
        size = f"{mark} {point.world_size}" + (f" {tr('oversubscribed')}" if point.is_oversubscribed else "")
        own = [
            Cell(text=size, value=float(point.world_size)),
            Cell(text=str(point.local_batch), value=float(point.local_batch)),
            Cell(text=str(point.global_batch), value=float(point.global_batch)),
            _cell(point.throughput), _of_one(point, point.speed_up), _of_one(point, point.efficiency),
            Cell(text=formatting.significant(point.step_time_s / unit.scale), value=point.step_time_s),
        ]
        if is_replicas:
            own += [_time(point, f"latency_{q}_s", latency) for q in ("p50", "p99")]
        elif has_sent:
            sent = point.row.get("sent_bytes")
            own += [
                Cell(text=formatting.UNKNOWN) if is_nothing(sent) else
                Cell(text=formatting.significant(float(sent or 0) / 1e6), value=float(sent or 0)),
                _time(point, "communication_time_s", unit), _time(point, "communication_exposed_s", unit),
            ]
        return (*own, Cell(text=_trust(point)))

    right = Align.RIGHT
    columns = [
        Column(title=tr("devices"), align=right), Column(title=tr("local batch"), align=right),
        Column(title=tr("global batch"), align=right),
        Column(title=tr("throughput"), unit=tr("samples/s"), align=right),
        Column(title=tr("speed-up"), align=right), Column(title=tr("efficiency"), align=right),
        Column(title=tr("step time"), unit=unit.name, align=right),
    ]
    if is_replicas:
        columns += [Column(title=tr("latency {q}", q=q), unit=latency.name, align=right) for q in ("p50", "p99")]
    elif has_sent:
        columns += [
            Column(title=tr("sent"), unit=tr("MB per step"), align=right, is_detail=True),
            Column(title=tr("communicating"), unit=unit.name, align=right, is_detail=True),
            Column(title=tr("not hidden"), unit=unit.name, align=right, is_detail=True),
        ]
    return Table(
        id=f"table.{identity}", caption=f"{series.facts['model']}, {tr(WORDS[series.scaling])}",
        columns=(*columns, Column(title=tr("validity"))),
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
    return Cell(text=tr("baseline"), value=1.0) if point.world_size == 1 else _cell(of)


def _time(point: Point, name: str, unit: formatting.Unit) -> Cell:
    time_s = point.row.get(name)
    if time_s is None or is_nothing(time_s):
        return Cell(text=formatting.UNKNOWN)
    return Cell(text=formatting.significant(float(time_s) / unit.scale), value=float(time_s))


def _trust(point: Point) -> str:
    validity = point.row.get("validity") or formatting.UNKNOWN
    return tr("suspect") if point.findings and validity != Validity.INVALID else word(validity)


def _sentences(series: Series, common: Collection[str]) -> list[str]:
    largest = series.points[-1]
    sentences = [_answer(point) for point in series.points[1:]]
    sentences.append(tr("Why: {cause}.", cause=series.cause))
    if series.law is None or series.costs is None or series.prediction is None:
        sentences.append(tr(
            "With fewer than {n} sizes that are not oversubscribed, no law is fitted and nothing is predicted.",
            n=FEWEST_SIZES,
        ))
    else:
        law, costs, next_size = series.law, series.costs, series.prediction
        limit = "" if law.limit is None else tr(
            ", so that no number of devices gives more than {times}", times=formatting.times(law.limit),
        )
        sentences.append(tr(
            "{name}'s law: {share} of the work does not scale{limit}.", name=law.name,
            share=formatting.percent(law.serial_share), limit=limit,
        ))
        parts = [formatting.with_unit(part, formatting.time_unit([part]))
                 for part in costs.parts_s(_largest_that_counts(series))]
        doubt = tr("; with as many parts as sizes a fit is always exact, so its error is not known") \
            if costs.largest_error is None \
            else tr("; the largest error of this fit is {error}", error=formatting.percent(costs.largest_error))
        sentences.append(
            tr(
                "A step of {devices} devices is best explained by {computing} of computing, {sending} of sending "
                "gradients and {growing} that increase with every device{doubt}.",
                devices=_largest_that_counts(series), computing=parts[0], sending=parts[1], growing=parts[2],
                doubt=doubt,
            )
        )
        sentences.append(
            tr(
                "{mark} predicted, not measured: {devices} devices would reach {throughput} samples/s, {times} the "
                "throughput of one, at an efficiency of {efficiency}.", mark=Origin.PREDICTED.mark,
                devices=next_size.world_size, throughput=formatting.significant(next_size.throughput),
                times=formatting.times(next_size.speed_up), efficiency=formatting.share(next_size.efficiency),
            )
        )
    sentences += [tr("Suspect: {finding}.", finding=finding.text) for finding in series.findings]
    of_points = (
        (point, [name for name in str(point.row.get("findings") or "").split(",") if name and name not in common])
        for point in series.points
    )
    doubted = [
        f"{formatting.count(point.world_size, 'device')} ({', '.join(names)})" for point, names in of_points if names
    ]
    if doubted:
        sentences.append(tr("Figures with findings of their own: {doubted}.", doubted=formatting.listed(doubted)))
    if largest.is_oversubscribed:
        sentences.append(
            tr("Oversubscribed sizes only show that it runs; laws, causes and predictions leave them out.")
        )
    return sentences


def _before(series: Series, earlier: Sequence[Series]) -> Iterator[str]:
    """The speed-up of the largest world in earlier sessions."""
    largest = series.points[-1]
    speed_ups = [
        point.speed_up.value for each in earlier for point in each.points if _place(point) == _place(largest)
    ]
    if speed_ups:
        low, high = formatting.times(min(speed_ups)), formatting.times(max(speed_ups))
        yield tr(
            "In {sessions} {devices} devices gave {times} the throughput of one.",
            sessions=formatting.count(len(speed_ups), "earlier session"), devices=largest.world_size,
            times=low if low == high else tr("{low} to {high}", low=low, high=high),
        )


def _largest_that_counts(series: Series) -> int:
    return max(point.world_size for point in series.points if not point.is_oversubscribed)


def _answer(point: Point) -> str:
    speed_up = point.speed_up
    text = formatting.times(speed_up.value) if speed_up.low is None or speed_up.high is None \
        else formatting.ratio(speed_up.value, speed_up.low, speed_up.high, ())
    sentence = tr_later("{devices} devices give {times} the throughput of one: {share} of ideal.")
    if point.is_oversubscribed:
        sentence = tr_later("{devices} devices, oversubscribed, give {times} the throughput of one: {share} of ideal.")
    return tr(sentence, devices=point.world_size, times=text, share=formatting.share(point.efficiency.value))
