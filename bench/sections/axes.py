"""What does one axis change, all else equal? One section for instruction sets, and one for precisions."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from rigmark.bench.analysis.comparison.compare import Comparison
from rigmark.bench.analysis.results.summary import key
from rigmark.bench.analysis.statistics.decision import Verdict
from rigmark.bench.claims.claim import Claim
from rigmark.bench.claims.speeds import said_of_a_speed_up
from rigmark.bench.devices import is_host
from rigmark.bench.document import formatting
from rigmark.bench.document.document import Align, Block, Cell, Column, Items, Paragraph, Row, Section, Table
from rigmark.bench.document.identifiers import identifier
from rigmark.bench.document.language import tr, tr_later, word
from rigmark.bench.enums import LEVELS, MIXED, NOT_PROVEN, Isa, Precision
from rigmark.bench.plan import axes
from rigmark.bench.sections.figures import Doubts, Show, figure, memory, parity, speed_up, throughput, trust
from rigmark.bench.sections.groups import Entry, Group, versus
from rigmark.bench.sections.sessions import SessionResults, unrepeated

OF_SOFTWARE = ("framework", "framework_version", *(name for name in axes.OF_SOFTWARE if name != "framework"))
SHORT = tuple(name for name in axes.SOFTWARE if name != "framework_version")
SETTINGS = (*axes.SETTINGS, "framework_version")


@dataclass(frozen=True, kw_only=True)
class Series:
    """Results that differ in the axis alone, in its order."""

    group: Group                         # of the first of them: what they have in common, except the axis
    entries: tuple[Entry, ...]

    @property
    def framework(self) -> str:
        return str(self.entries[0].row["framework"])

    @property
    def baseline(self) -> Entry | None:
        """The first that was measured."""
        return next((entry for entry in self.entries if entry.is_measured), None)


@dataclass(frozen=True, kw_only=True)
class Axis:
    """A column of results whose effect has a section."""

    column: str
    order: tuple[str, ...]               # the baseline first
    title: str
    noun: str                            # one of its values
    head: str                            # of its column in the table
    question: str                        # what the section answers
    shows: Callable[[], tuple[Show, ...]]      # what stands beside the speed
    sentences: Callable[[Sequence[Series], Sequence[Claim]], Iterator[str]]
    notes: Callable[[Sequence[Series]], Iterator[str]]


def sections(groups: Sequence[Group], doubts: Doubts, claims: Sequence[Claim] = ()) -> list[Section]:
    """One section for each axis along which results differ; ``claims`` about the axis are tested against them."""
    by_axis = ((axis, series(groups, axis)) for axis in AXES)
    return [_section(axis, several, doubts, claims) for axis, several in by_axis if several]


def series(groups: Sequence[Group], axis: Axis) -> list[Series]:
    """Results that differ in this axis alone; of repeated sessions only the latest."""
    members: dict[tuple[object, ...], list[tuple[Group, Entry]]] = {}
    for group in groups:
        shared = tuple(fact for name, fact in group.facts.items() if name != axis.column)
        for entry in group.entries:
            members.setdefault((*shared, *key(entry.row, SETTINGS)), []).append((group, entry))

    def position(member: tuple[Group, Entry]) -> int:
        return axis.order.index(member[1].row[axis.column])

    several = [sorted(alike, key=position) for alike in members.values()]
    every = [
        Series(group=alike[0][0], entries=tuple(entry for _, entry in alike))
        for alike in several if len({entry.row[axis.column] for _, entry in alike}) > 1
    ]
    but = (axis.column, "session")
    by_session = (
        SessionResults.of_entries(
            each, (*(fact for name, fact in each.group.facts.items() if name not in but),
                   *key(each.entries[0].row, SETTINGS)),
            each.entries, (axis.column,),
        )
        for each in every
    )
    return [each for each, _ in unrepeated(by_session)]


def _section(axis: Axis, several: Sequence[Series], doubts: Doubts, claims: Sequence[Claim]) -> Section:
    models = dict.fromkeys(str(each.group.facts["model"]) for each in several)
    tables = [
        _table(axis, model, [each for each in several if each.group.facts["model"] == model], doubts)
        for model in models
    ]
    blocks: tuple[Block, ...] = (Paragraph(text=tr(axis.question)),)
    if sentences := tuple(axis.sentences(several, claims)):
        blocks += (Items(texts=sentences),)
    return Section(id=axis.column, title=tr(axis.title), blocks=(*blocks, *tables))


def _table(axis: Axis, model: str, several: Sequence[Series], doubts: Doubts) -> Table:
    shows = (throughput(), *axis.shows(), *trust(doubts))
    name = identifier("table", axis.column, model)
    rows = tuple(
        Row(
            id=identifier(name, each.group.id, *axes.telling(entry.row, OF_SOFTWARE), entry.row[axis.column]),
            cells=(
                Cell(text=word(each.group.facts["mode"])),
                Cell(text=tr(", ").join(each.group.conditions_without(axis.column))),
                Cell(text=axes.named(entry.row, SHORT)),
                Cell(text=str(entry.row[axis.column])), _ratio(each, entry), *(show.cell(entry) for show in shows),
            ),
        )
        for each in several for entry in each.entries
    )
    return Table(
        id=name, caption=tr("{model} by {noun}, all else equal", model=model, noun=tr(axis.noun)),
        columns=(
            Column(title=tr("mode")), Column(title=tr("conditions"), is_detail=True), Column(title=tr("framework")),
            Column(title=tr(axis.head)), Column(title=tr("speed-up against the first"), align=Align.RIGHT),
            *(show.column for show in shows),
        ),
        rows=rows, notes=tuple(axis.notes(several)),
    )


def _subjects(several: Sequence[Series], column: str) -> list[str]:
    """Framework and network of each, with the settings that distinguish it from others of the same name."""
    names = [tr("{framework}, {subject}", framework=each.framework, subject=each.group.subject) for each in several]
    parts = [
        [*each.group.conditions_without(column), *map(str, key(each.entries[0].row, SETTINGS[1:]))] for each in several
    ]
    shared: dict[str, set[str]] = {}
    for name, own in zip(names, parts, strict=True):
        shared[name] = shared.get(name, set(own)) & set(own)
    apart = [[part for part in own if part not in shared[name]] for name, own in zip(names, parts, strict=True)]
    return [f"{name} ({tr(', ').join(own)})" if own else name for name, own in zip(names, apart, strict=True)]


def _ratio(each: Series, entry: Entry) -> Cell:
    if each.baseline is None or not entry.has_figures:
        return Cell(text=formatting.UNKNOWN)
    return speed_up(each.baseline, entry)


def _against_first(each: Series, value: str, column: str) -> Comparison | None:
    """The comparison of the entry with this value with the first; None if one of them was not measured."""
    entry = next((e for e in each.entries if e.row[column] == value and e.is_measured), None)
    if entry is None or each.baseline is None or entry is each.baseline:
        return None
    return versus(each.baseline, entry)


def _size(comparison: Comparison) -> str:
    speed = comparison.speed_up
    size = formatting.ratio(speed.value, speed.low, speed.high, (speed.value,))
    if comparison.is_paired:
        return size
    return tr("{size} (not measured in the same run, so there is no verdict)", size=size)


# Instruction sets ---------------------------------------------------------------------------------------------------

LIMITED_IN_PART = tr_later("limited to {isa} (but not all of its operations kept to that limit)")
NOT_SEEN_LIMITED = tr_later("limited to {isa} (it is not proven that it kept to that limit)")


def _isa_sentences(several: Sequence[Series], claims: Sequence[Claim]) -> Iterator[str]:
    for each, subject in zip(several, _subjects(several, "isa"), strict=True):
        comparison = _against_first(each, Isa.NATIVE, "isa")
        first = each.baseline
        if comparison is None or first is None:
            continue
        proof = {entry.row["isa"]: entry.row["isa_proof"] for entry in each.entries}
        ran = proof[first.row["isa"]]
        limited = tr_later("limited to {isa}")
        if ran != first.row["isa"]:
            limited = LIMITED_IN_PART if ran == MIXED else NOT_SEEN_LIMITED
        sentence = tr(
            "{subject}: with all instruction sets of this processor, {size} the throughput of the same {limited}.",
            subject=subject, size=_size(comparison), limited=tr(limited, isa=first.row["isa"]),
        )
        native = next(entry for entry in each.entries if entry.row["isa"] == Isa.NATIVE)
        for claim, standing in said_of_a_speed_up(claims, "isa", native.row, first.row, comparison):
            sentence += tr(' It is said: "{says}" Here that is {outcome}.', says=tr(claim.says), outcome=word(standing))
        yield sentence


def _isa_notes(several: Sequence[Series]) -> Iterator[str]:
    yield tr(
        "Asked: the widest instruction set that the framework may use, set by its own switches. Ran: the widest "
        "encoding of the vector instructions that were observed while the convolution, the matrix product and the "
        "element-wise operation ran; '{mixed}' if these differ, '{not_proven}' if too few were observed, and then the "
        "figure is not one of that instruction set.",
        mixed=word(MIXED), not_proven=word(NOT_PROVEN),
    )
    yield tr(
        "sse41 stands for all of SSE up to SSE4.2, avx2 for AVX2 with FMA. Native has no limit, and may use another "
        "library than the limited ones do."
    )


def _ran(entry: Entry) -> Cell:
    return Cell(text=word(entry.row["isa_proof"]))


# Precisions ---------------------------------------------------------------------------------------------------------


def _precision_sentences(several: Sequence[Series], claims: Sequence[Claim]) -> Iterator[str]:
    for each, subject in zip(several, _subjects(several, "precision"), strict=True):
        if each.baseline is None or each.baseline.row["precision"] != Precision.FP32:
            continue
        parts = []
        for entry in each.entries:
            comparison = _against_first(each, entry.row["precision"], "precision")
            if comparison is None:
                continue
            off = entry.row["parity_error"]
            error = "" if off is None else tr(", output off by {error}", error=formatting.relative_error(off))
            is_clear = comparison.verdict in (Verdict.FASTER, Verdict.SLOWER) or not comparison.is_paired
            doubt = "" if is_clear else tr(", {doubt}", doubt=word(comparison.verdict))
            parts.append(f"{entry.row['precision']} {_size(comparison)}{doubt}{error}")
        if parts:
            yield tr(
                "{subject}, throughput against fp32: {parts}.", subject=subject, parts="; ".join(parts),
            )


def _precision_notes(several: Sequence[Series]) -> Iterator[str]:
    stated: dict[str, Mapping[str, object]] = {}
    for entry in (entry for each in several for entry in each.entries if entry.row["policy"]):
        stated.setdefault(str(entry.row["precision"]), json.loads(str(entry.row["policy"])))
    for name, policy in stated.items():
        scaled = tr("; training scales the loss") if policy["is_loss_scaled"] else ""
        yield tr(
            "{name}: weights are stored in {weights} and activations in {activations}; factors of products are "
            "{products}, their sums {sums}{scaled}.", name=name, weights=policy["weights"],
            activations=policy["activations"], products=policy["products"], sums=policy["sums"], scaled=scaled,
        )
    if all(is_host(each.group.facts["device"]) for each in several):
        yield tr(
            "These are figures of a CPU. tf32 is a mode of GPUs; few CPUs have units for fp16, and the others emulate "
            "it. What they gain on a GPU must be measured there."
        )


def _overflows(entry: Entry) -> Cell:
    steps = entry.row["overflow_steps"]
    return Cell(text=formatting.UNKNOWN) if steps is None else Cell(text=str(int(steps)), value=float(steps))


AXES = (
    Axis(
        column="isa", order=(*LEVELS, Isa.NATIVE), title=tr_later("Instruction sets: what do they gain?"),
        noun=tr_later("instruction set"), head=tr_later("asked"),
        question=tr_later(
            "The same framework, from the same files, limited to fewer instructions than this processor has. This "
            "shows what a build without them would cost."
        ),
        shows=lambda: (Show(column=Column(title=tr("ran")), cell=_ran),),
        sentences=_isa_sentences, notes=_isa_notes,
    ),
    Axis(
        column="precision",
        order=(Precision.FP32, *(name for name in Precision if name is not Precision.FP32)),
        title=tr_later("Precision: what do narrower numbers gain, and what do they cost?"),
        noun=tr_later("precision"), head=tr_later("precision"),
        question=tr_later(
            "The same network and weights in other formats: their speed, their error against the float64 oracle, and "
            "their memory."
        ),
        shows=lambda: (
            parity(), memory(),
            Show(
                column=Column(title=tr("steps skipped"), align=Align.RIGHT, is_detail=True), cell=figure(_overflows)
            ),
        ),
        sentences=_precision_sentences, notes=_precision_notes,
    ),
)
