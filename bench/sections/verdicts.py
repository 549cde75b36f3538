"""Verdicts in words: which entry of each group is fastest, by how much, and how certain that is."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from rigmark.bench.analysis.comparison.compare import Comparison
from rigmark.bench.analysis.comparison.verdicts import Method, prospects
from rigmark.bench.analysis.results.validity import Validity
from rigmark.bench.analysis.statistics.decision import DELTA, fewest_pairs
from rigmark.bench.analysis.statistics.decision import Verdict as Judgement
from rigmark.bench.analysis.statistics.estimate import FEWEST_FOR_INTERVAL
from rigmark.bench.document import formatting
from rigmark.bench.document.document import Standing, Verdict
from rigmark.bench.document.language import tr, word
from rigmark.bench.enums import Implementation
from rigmark.bench.sections.doubts import findings_of
from rigmark.bench.sections.groups import Entry, Group, versus

MOST_NAMED = 5               # sessions
ENOUGH = fewest_pairs(1, 1)
"""With fewer pairs there is no verdict, however clear the difference is."""


def verdict(group: Group, common: Collection[str] = ()) -> Verdict:
    """The verdict on a group of comparable results, and whether earlier sessions agree.

    ``common`` are the ids of findings that are stated elsewhere for most results.
    """
    standing, sentences = _answer(group)
    if group.earlier and group.measured and (before := _before(group, standing)):
        sentences.append(before)
    if len(group.measured) > 2:      # of two, the answer is about nothing else
        sentences += _of_originals(group)
    return Verdict(
        id=f"verdict.{group.id}", subject=group.subject, conditions=group.conditions, standing=standing,
        sentences=(*sentences, *_reservations(group, common)),
    )


def _answer(group: Group) -> tuple[Standing, list[str]]:
    measured = group.measured
    if not measured:
        return Standing.NOTHING, [tr("No framework was measured here.")]
    return (Standing.ALONE, [_alone(measured[0])]) if len(measured) == 1 else _compared(measured)


def _before(group: Group, standing: Standing) -> str:
    """How sessions differ: the figures of a single entry, otherwise how many had the same verdict; may be empty."""
    if standing is Standing.ALONE:
        throughputs = [
            float(entry.row["throughput_samples_per_s"]) for each in group.earlier for entry in each.measured
        ]
        sessions = formatting.count(len(group.earlier), "earlier session")
        if not throughputs:
            return tr("In {sessions} nothing was measured.", sessions=sessions)
        low, high = (formatting.significant(each, 4) for each in (min(throughputs), max(throughputs)))
        text = low if low == high else tr("{low} to {high}", low=low, high=high)
        return tr("In {sessions} it had {throughput} samples/s.", sessions=sessions, throughput=text)
    if standing is Standing.FEW:
        return ""                # there is no verdict yet
    every = {str(each.facts["session"]): (_answer(each)[0], each.measured[0].label)
             for each in group.earlier if len(each.measured) > 1}
    answers = {name: answer for name, answer in every.items() if answer[0] is not Standing.FEW}
    sessions = formatting.count(len(answers), "earlier session")
    others = [name for name, answer in answers.items() if answer != (standing, group.measured[0].label)]
    if not others:
        return tr("{sessions} gave the same answer.", sessions=sessions) if answers else ""
    named = tr(" ({names})", names=", ".join(others)) if len(others) <= MOST_NAMED else ""
    return tr(
        "{others} of {sessions} gave another answer{named}; see every result.", others=len(others), sessions=sessions,
        named=named,
    )


def _of_originals(group: Group) -> list[str]:
    """What Rigmark's lowering gains or loses against what the user wrote, in each framework that runs both."""
    sentences = []
    for original in group.measured:
        lowered = [each for each in group.measured if each.row.get("implementation") == Implementation.LOWERED and all(
            each.row[name] == original.row[name] for name in ("framework", "build"))]
        if original.row.get("implementation") != Implementation.AS_WRITTEN or not lowered:
            continue
        comparison = versus(original, lowered[0])
        size = formatting.ratio(
            comparison.speed_up.value, comparison.speed_up.low, comparison.speed_up.high, comparison.ratios)
        judged = comparison.is_paired and comparison.speed_up.low is not None
        sentences.append(tr(
            "In {lowered}, what Rigmark makes of the network has {size} the throughput of "
            "{original}{pairs}{judgement}.", lowered=lowered[0].label, original=original.label, size=size,
            pairs=tr(", n = {pairs}", pairs=formatting.count(comparison.speed_up.count, "pair"))
            if comparison.is_paired else "",
            judgement=f": {word(comparison.verdict)}" if judged else tr(": no verdict yet"),
        ))
    return sentences


def _alone(entry: Entry) -> str:
    row = entry.row
    throughput = formatting.quantity(
        row["throughput_samples_per_s"], row["throughput_low_samples_per_s"], row["throughput_high_samples_per_s"],
        entry.throughputs,
    )
    return tr(
        "Only {label} was measured: {throughput} samples/s, n = {trials}; there is nothing to compare it with.",
        label=entry.label, throughput=throughput, trials=formatting.count(len(entry.step_times_s), "trial"),
    )


def _compared(measured: Sequence[Entry]) -> tuple[Standing, list[str]]:
    """The fastest entry compared with each other one."""
    head, rest = measured[0], measured[1:]
    against = [(entry, versus(entry, head)) for entry in rest]
    pairs = {len(comparison.ratios) for _, comparison in against if comparison.is_paired}
    by: dict[Judgement, list[str]] = {}
    few, unpaired = [], []
    too_few: list[tuple[str, str]] = []
    unclear: list[tuple[str, str]] = []
    for entry, comparison in against:
        if not comparison.is_paired:
            unpaired.append((entry, comparison))
        elif comparison.speed_up.low is None:
            ratios = formatting.listed([formatting.times(ratio) for ratio in comparison.ratios])
            few.append(tr("{ratios} the throughput of {label}", ratios=ratios, label=entry.label))
        else:
            text = _beaten_by(entry, comparison, say_pairs=len(pairs) > 1)
            if comparison.verdict in (Judgement.FASTER, Judgement.SAME):
                by.setdefault(comparison.verdict, []).append(text)
            else:
                (too_few if _is_short(comparison) else unclear).append((text, _outlook(comparison)))
    size = tr(", n = {pairs}", pairs=formatting.count(pairs.pop(), "pair")) if len(pairs) == 1 else ""

    faster = by.get(Judgement.FASTER, [])
    same = by.get(Judgement.SAME, [])
    sentences = []
    if faster and not (same or unclear or few or too_few or unpaired):
        sentences.append(tr(
            "{label} is fastest: {faster}{size}.", label=head.label, faster=formatting.listed(faster), size=size,
        ))
    elif faster:
        sentences.append(tr(
            "{label} is {faster}{size}.", label=head.label, faster=formatting.listed(faster), size=size,
        ))
    sentences += [
        tr(
            "{label} is {words}{size}: the same to within {delta:.0%}.", label=head.label, words=text,
            size="" if faster else size, delta=DELTA,
        ) for text in same
    ]
    sentences += [
        tr(
            "Too close to call: {label} is {words}{size}; {outlook}.", label=head.label, words=text, outlook=outlook,
            size="" if faster else size,
        ) for text, outlook in unclear
    ]
    sentences += [
        tr(
            "{label} is {words}{size}, too few for a verdict: {outlook}.", label=head.label, words=text,
            outlook=outlook, size="" if faster else size,
        ) for text, outlook in too_few
    ]
    if few:
        sentences.append(
            tr(
                "{label} had {few} in the single pairs{size}; below {fewest} pairs there is no interval, and below "
                "{enough} no verdict: repeat at least {enough} times (--repetitions).", label=head.label,
                few=formatting.listed(few), size="" if faster else size, fewest=FEWEST_FOR_INTERVAL,
                enough=ENOUGH,
            )
        )
    sentences += [
        tr(
            "{label} had {ratio} the throughput of {other}, but no run measured a repetition of both, and trials "
            "measured at two times get no verdict: measure both in one run, in a new session (--session).",
            label=head.label, ratio=formatting.times(comparison.speed_up.value), other=entry.label,
        ) for entry, comparison in unpaired
    ]
    return _standing(same, unclear, bool(few or too_few or unpaired)), sentences


def _is_short(comparison: Comparison) -> bool:
    """Whether a verdict lacks pairs alone: the interval leaves 1 out, or there are too few for any verdict."""
    low, high = comparison.speed_up.low, comparison.speed_up.high
    is_apart = low is not None and high is not None and (low > 1 or high < 1)
    return comparison.verdict is Judgement.INCONCLUSIVE and (is_apart or len(comparison.ratios) < ENOUGH)


def _outlook(comparison: Comparison) -> str:
    """What is needed for a verdict."""
    if comparison.verdict is Judgement.SLOWER:
        return tr("it is slower in the pairs, though its own figure is the higher one")
    text = "" if comparison.decision is None else prospects(comparison.decision, Method.REPETITIONS)
    return text or tr("more repetitions or a quieter machine may decide it")


def _standing(same: Sequence[object], unclear: Sequence[object], few: bool) -> Standing:
    """The weakest standing, since the fastest entry must be faster than all others."""
    if few:
        return Standing.FEW
    if unclear:
        return Standing.OPEN
    return Standing.SAME if same else Standing.CLEAR


def _beaten_by(entry: Entry, comparison: Comparison, *, say_pairs: bool) -> str:
    speed_up = comparison.speed_up
    size = formatting.ratio(speed_up.value, speed_up.low, speed_up.high, comparison.ratios)
    text = tr("{size} the throughput of {label}", size=size, label=entry.label)
    if say_pairs:
        text += tr(" (n = {pairs})", pairs=formatting.count(speed_up.count, "pair"))
    if comparison.verdict is Judgement.FASTER and speed_up.value < 1 + DELTA:
        text += tr(" (less than the {delta:.0%} that matter in practice)", delta=DELTA)
    return text


def _reservations(group: Group, common: Collection[str]) -> list[str]:
    """What weakens the verdict besides its size: suspect figures, different runs, missing entries."""
    sentences = []
    suspect = [
        entry.label for entry in group.measured
        if entry.row["validity"] == Validity.SUSPECT and any(name not in common for name, _ in findings_of(entry.row))
    ]
    if suspect:
        sentences.append(tr("Suspect: {suspect} (see the findings).", suspect=formatting.listed(suspect)))
    if len({entry.row["run_id"] for entry in group.measured}) > 1:
        sentences.append(tr("These were not all measured in one run, so the machine may have changed in between."))
    missing = [f"{entry.label} ({word(entry.row['outcome'])})" for entry in group.entries
               if not entry.has_figures]
    if missing:
        sentences.append(tr("Not measured: {missing}.", missing=formatting.listed(missing)))
    without = [entry for entry in group.entries if entry.has_figures and not entry.is_measured]
    invalid = [entry.label for entry in without if entry.is_invalid]
    if invalid:
        sentences.append(tr(
            "Invalid, and so not compared: {invalid} (see the findings).", invalid=formatting.listed(invalid),
        ))
    elsewhere = [entry.label for entry in without if not entry.is_invalid]
    if elsewhere:
        sentences.append(tr(
            "Not measured on this machine, and so not compared: {elsewhere}.", elsewhere=formatting.listed(elsewhere),
        ))
    return sentences
