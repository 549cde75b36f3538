"""From stored trials to a finished report: verdict first, then figures, proofs, doubts, and how to repeat it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from rigmark.bench.analysis.results import exports
from rigmark.bench.analysis.statistics.decision import FALSE_ALARMS, fewest_pairs
from rigmark.bench.analysis.statistics.estimate import CONFIDENCE, FEWEST_FOR_INTERVAL
from rigmark.bench.claims.claim import Claim
from rigmark.bench.document import formatting
from rigmark.bench.document.document import Attachment, Block, Code, Document, Items, Paragraph, Section, Verdicts
from rigmark.bench.document.language import tr, word
from rigmark.bench.enums import Isa, Outcome, TrialKind
from rigmark.bench.sections import (
    axes,
    cases,
    environment,
    failures,
    figures,
    hardware,
    history,
    latency,
    layers,
    not_comparable,
    proofs,
    scaling,
    start,
    timeline,
)
from rigmark.bench.sections import doubts as doubts_module
from rigmark.bench.sections.groups import Group
from rigmark.bench.sections.inputs import ReportInputs
from rigmark.bench.sections.verdicts import verdict

SAME_DIGITS = 9              # of a float; later digits differ between processors
MOST_DRAWN = 60              # comparisons with a card and figures each


def document(
    inputs: ReportInputs, *, more: Sequence[Section] = (), title: str | None = None, claims: Sequence[Claim] = ()
) -> Document:
    """The report on stored results.

    ``more`` are sections that precede the findings; those of ``claims`` that are about an axis are shown with its
    results. It is in the current language of bench.document.language, and the results must be in the same language.
    """
    title, problems = title or tr("Rigmark report"), inputs.problems
    results, trials = inputs.results, inputs.trials
    if trials.empty:
        has_contests = any(each.id == "contests" for each in more)
        return Document(title=title, summary=(), sections=(_empty(problems, has_contests=has_contests), *more))
    doubts = doubts_module.doubts(
        inputs.groups,
        [(member.about, member.case.findings) for each in inputs.layer_groups for member in each.members],
    )
    common, over_time = doubts_module.common(doubts), history.watched(trials)
    sections = [
        _verdict_section(
            inputs.latest, history.news(over_time), common,
            has_pairs=bool((trials.kind == TrialKind.PAIR).any()),
        ),
        *_drawn(inputs.latest, cases.section(inputs.groups, doubts), doubts, trials),
        *axes.sections(inputs.groups, doubts, claims),
        *_known(
            scaling.section(inputs.scaling, common), layers.section(inputs.layer_groups, doubts),
            hardware.section(results), timeline.section(inputs.drawn, trials, inputs.telemetry),
            history.section(over_time),
            proofs.parity_section(inputs.proofs), proofs.learning_section(inputs.proofs),
        ),
        *more,
        doubts_module.section(doubts),
        failures.section(trials, inputs.records, problems),
        *_known(not_comparable.section(inputs.latest)),
        environment.section(trials),
        _limits(trials),
        _reproduce(results, trials),
    ]
    return Document(title=title, summary=_summary(trials, problems), sections=tuple(sections))


def _empty(problems: Sequence[str], *, has_contests: bool) -> Section:
    text = tr("No trial was timed, so no framework can be called faster.") if has_contests else tr(
        "Nothing is stored here yet, so there is nothing to report; measure first, say with 'rigmark run quick'."
    )
    blocks: tuple[Block, ...] = (Paragraph(text=text),)
    if problems:
        blocks += (Items(texts=tuple(problems)),)
    return Section(id="verdict", title=tr("Verdict"), blocks=blocks)


def _summary(trials: pd.DataFrame, problems: Sequence[str]) -> tuple[str, ...]:
    """Machines, dates and counts, one phrase each."""
    machines = sorted({str(name) for name in trials.device_name.dropna()})
    dates = sorted(str(date) for date in trials.recorded_at.dropna())
    phrases = [formatting.listed(machines)] if machines else []
    if dates:
        first, last = (date[:16].replace("T", " ") for date in (dates[0], dates[-1]))
        last = last.removeprefix(f"{first[:10]} ")
        phrases.append(tr("measured {first} UTC", first=first) if first.endswith(last) else tr(
            "measured {first} to {last} UTC", first=first, last=last,
        ))
    for kind, name in ((TrialKind.TIMING, "timed trial"), (TrialKind.PAIR, "pair"), (TrialKind.PROOF, "proof")):
        outcomes = trials[trials.kind == kind].outcome.value_counts()
        if len(outcomes):
            counts = [tr("{n} {outcome}", n=n, outcome=word(outcome)) for outcome, n in sorted(outcomes.items())]
            number_of = formatting.count(int(outcomes.sum()), name)
            phrases.append(tr("{trials}: {counts}", trials=number_of, counts=", ".join(counts)))
    if problems:
        phrases.append(tr("{records} could not be read", records=formatting.count(len(problems), "record")))
    return tuple(phrases)


def _verdict_section(
    groups: Sequence[Group], news: Sequence[Block], common: Mapping[str, doubts_module.Doubt], *, has_pairs: bool
) -> Section:
    # Results limited to an instruction set are not the best ones; they have a separate section.
    groups = [group for group in groups if group.facts["isa"] == Isa.NATIVE] or groups
    if not groups:
        text = tr("No trial was timed, so no framework can be called faster.")
        if has_pairs:
            text += " " + tr("Pairs of two builds or revisions are judged by rigmark compare BASE NEW.")
        return Section(id="verdict", title=tr("Verdict"), blocks=(Paragraph(text=text),))
    verdicts = Verdicts(verdicts=tuple(verdict(group, common) for group in groups))
    blocks = (verdicts,) if len(groups) <= MOST_DRAWN else cases.verdicts(verdicts)
    shared = (Items(texts=tuple(doubt.text for doubt in common.values())),) if common else ()
    return Section(id="verdict", title=tr("Verdict"), blocks=(*news, *shared, *blocks))


def _drawn(
    groups: Sequence[Group], every: Section | None, doubts: figures.Doubts, trials: pd.DataFrame
) -> list[Section]:
    """Throughput and latency, one figure per comparison; if there are too many, ``every`` result in one table."""
    interval = Paragraph(text=figures.interval_words())
    if len(groups) > MOST_DRAWN:
        text = tr(
            "{n:,} comparisons are too many to draw; every result is in the table below. Choose some with rigmark "
            "report --where, say \"model = 'resnet50'\", and each gets its figures, also of latency.", n=len(groups),
        )
        section = Section(id="throughput", title=tr("Throughput"), blocks=(interval, Paragraph(text=text)))
        return [section, *_known(every)]
    several = figures.sections(groups, doubts)
    if not several:
        return []
    throughput = Section(id="throughput", title=tr("Throughput"), blocks=(interval,), sections=several)
    return [throughput, *_known(every, latency.section(groups, trials), start.section(groups))]


def _known(*sections: Section | None) -> list[Section]:
    return [section for section in sections if section is not None]


def _limits(trials: pd.DataFrame) -> Section:
    timing = trials[trials.kind == TrialKind.TIMING]
    machines = max(trials.machine.nunique(), 1)
    processes = int((timing.outcome == Outcome.OK).sum())
    where = tr("one machine") if machines == 1 else tr("{machines} machines", machines=machines)
    texts = (
        tr(
            "Measured on {where}, in {processes}. This does not apply to other processors, other versions of these "
            "libraries, or other networks, batches and thread counts than those named.", where=where,
            processes=formatting.count(processes, "process", "processes"),
        ),
        tr(
            "Intervals are {confidence:.0%} intervals over processes, not steps, and need at least {fewest} of "
            "them; they cover the variation within one session. The same machine at another time may lie outside them, "
            "which the same 'rigmark run' with --sessions 5 --spread 2h would show, and so may another machine of the "
            "same kind.",
            confidence=CONFIDENCE, fewest=FEWEST_FOR_INTERVAL,
        ),
        tr(
            "Of the results called faster or slower, {false_alarms:.0%} at most are neither, which takes {fewest} "
            "pairs or more; rigmark compare and rigmark claims judge by the same rule.", false_alarms=FALSE_ALARMS,
            fewest=fewest_pairs(1, 1),
        ),
        tr("Each framework ran at the setting named in its row. Another setting may be faster."),
        tr("Loading and decoding of data are not timed: batches lie in memory before the clock starts."),
        tr("Parity and learning show that the arithmetic is equal, not which accuracy a long training would reach."),
    )
    return Section(id="limits", title=tr("Limits"), blocks=(Items(texts=texts),))


def _reproduce(results: pd.DataFrame, trials: pd.DataFrame) -> Section:
    commands = list(dict.fromkeys(str(command) for command in trials.command.dropna()))
    text = tr(
        "This measures the same again; weights, inputs and masks come from a fixed seed. Trials that are stored "
        "already are not repeated, so choose another results folder for a second opinion."
    )
    attachment = Attachment(
        name="rigmark-results.csv", mime_type="text/csv", content=exports.csv(results, digits=SAME_DIGITS),
        description=tr("all results, one row per case, as CSV"),
    )
    return Section(
        id="reproduce", title=tr("How to repeat it"),
        blocks=(Paragraph(text=text), *(Code(text=command) for command in commands), attachment),
    )
