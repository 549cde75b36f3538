"""The verdicts on all cases of a comparison: as plain data, as a document, and summarised."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any

from rigmark.bench.analysis.causes.cause import Cause
from rigmark.bench.analysis.statistics.decision import DELTA, FALSE_ALARMS, Decision, Verdict
from rigmark.bench.analysis.statistics.estimate import Estimate
from rigmark.bench.document import formatting
from rigmark.bench.document.document import (
    Align,
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
from rigmark.bench.document.language import tr, tr_later


class Method(StrEnum):
    """What the pairs, or else the units, of a comparison are."""

    TURNS = "turns"                  # two processes that took turns step by step
    ALTERNATING = "alternating"      # two processes, one after the other, in random order
    REPETITIONS = "repetitions"      # the same repetition of one run, in which the order is random
    SESSIONS = "sessions"            # not paired: means of sessions, separate for each side
    UNREPLICATED = "unreplicated"    # not paired, and too few sessions: no interval


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What a verdict is about, where that is not the time of a step."""

    name: str                            # "wall time", "peak memory", or how it is found in what a command prints
    unit: str                            # "s", "B", or "": that of the printed number
    is_higher_better: bool
    scale: float | None                  # judged by difference, in units of this; None: by ratio
    base: Estimate
    new: Estimate

    def difference(self, speed_up: Estimate) -> tuple[float, float | None, float | None] | None:
        """new - base with the ends of its interval; None where the ratio is judged."""
        if self.scale is None:
            return None
        sign = self.scale if self.is_higher_better else -self.scale
        ends = [None if each is None else sign * math.log(each) + 0.0 for each in (speed_up.low, speed_up.high)]
        low, high = ends if self.is_higher_better else reversed(ends)
        return sign * math.log(speed_up.value) + 0.0, low, high

    def unit_for(self, number: float) -> formatting.Unit:
        """The suitable unit for a number of this size."""
        if not self.unit:
            return formatting.Unit(name="", scale=1.0)
        size = [abs(number)]
        return formatting.time_unit(size) if self.unit == "s" else formatting.rate_unit(size, self.unit)

    def text(self, number: float) -> str:
        """A number with its unit."""
        return formatting.with_unit(number, self.unit_for(number), 4).rstrip()


@dataclass(frozen=True, kw_only=True)
class CaseVerdict:
    """One case on both sides."""

    label: str                           # for people
    facts: Mapping[str, Any]             # columns of the case that both sides share
    verdict: Verdict | None              # None if the sides could not be compared, see ``reason``
    method: Method | None = None
    decision: Decision | None = None
    base_step_time_s: Estimate | None = None
    new_step_time_s: Estimate | None = None
    reason: str | None = None            # why there is no verdict, or no interval
    has_failed: bool = False             # a trial failed unexpectedly, or the sides are not comparable
    differs: tuple[str, ...] = ()        # "framework_version: 2.12.0 against 2.13.0"
    doubts: tuple[str, ...] = ()
    seconds_per_pair: float | None = None
    judged: Judged | None = None         # None: the time of a step
    cause: Cause | None = None           # None: not slower or faster, or not asked for

    @property
    def change(self) -> float | None:
        """Relative change from base to new: 0.03 is 3 % more, which is slower of a time; None if it has no ratio."""
        if self.decision is None or self.decision.speed_up is None or (self.judged and self.judged.scale is not None):
            return None
        speed_up = self.decision.speed_up.value
        return speed_up - 1 if self.judged and self.judged.is_higher_better else 1 / speed_up - 1

    @property
    def about_more_s(self) -> float | None:
        """Seconds that ``about_more_pairs`` would take; None if not known."""
        more = self.decision and self.decision.about_more_pairs
        return None if not more or self.seconds_per_pair is None else more * self.seconds_per_pair

    def plain(self) -> dict[str, Any]:
        decision = self.decision
        return {
            "label": self.label, **self.facts, "verdict": self.verdict, "method": self.method,
            "speed_up": decision and _plain(decision.speed_up), "base_step_time_s": _plain(self.base_step_time_s),
            "new_step_time_s": _plain(self.new_step_time_s), "p_value": decision and decision.p_value,
            "pairs": decision and decision.pairs, "about_more_pairs": decision and decision.about_more_pairs,
            "about_more_s": self.about_more_s, "visible_change": decision and decision.visible, "reason": self.reason,
            "has_failed": self.has_failed, "differs": list(self.differs), "doubts": list(self.doubts),
            "cause": self.cause and self.cause.plain(), **self._plain_judged(),
        }

    def _plain_judged(self) -> dict[str, Any]:
        if self.judged is None:
            return {}
        speed_up = self.decision.speed_up if self.decision else None
        difference = self.judged.difference(speed_up) if speed_up else None
        return {
            "quantity": self.judged.name, "unit": self.judged.unit,
            "better": "higher" if self.judged.is_higher_better else "lower",
            "base": _plain(self.judged.base), "new": _plain(self.judged.new),
            "speed_up": None if difference else _plain(speed_up),
            "difference": difference and dict(zip(("value", "low", "high"), difference, strict=True)),
        }


@dataclass(frozen=True, kw_only=True)
class Verdicts:
    """The verdicts on base and new."""

    base: str                            # as the user named it
    new: str
    cases: tuple[CaseVerdict, ...]
    only_base: tuple[str, ...] = ()      # labels of cases that the other side lacks
    only_new: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()       # what could not be read
    notes: tuple[str, ...] = field(default=())
    of_steps: bool = True                # the time of steps is judged; else what each case says

    def having(self, *verdicts: Verdict | None) -> tuple[CaseVerdict, ...]:
        return tuple(case for case in self.cases if case.verdict in verdicts)

    @property
    def has_failed(self) -> bool:
        return bool(self.problems) or any(case.has_failed for case in self.cases)

    @property
    def is_open(self) -> bool:
        return bool(self.having(Verdict.INCONCLUSIVE, Verdict.TOO_NOISY))

    def plain(self) -> dict[str, Any]:
        return {
            "base": self.base, "new": self.new, "cases": [case.plain() for case in self.cases],
            "only_base": list(self.only_base), "only_new": list(self.only_new), "problems": list(self.problems),
            "notes": list(self.notes),
        }


def _plain(estimate: Estimate | None) -> dict[str, Any] | None:
    return None if estimate is None else asdict(estimate)


# In words -----------------------------------------------------------------------------------------------------------

SAID = {
    Verdict.SLOWER: tr_later("slower"), Verdict.FASTER: tr_later("faster"), Verdict.SAME: tr_later("same"),
    Verdict.INCONCLUSIVE: tr_later("inconclusive"), Verdict.TOO_NOISY: tr_later("too noisy"),
    None: tr_later("not compared"),
}


SAID_OF_NUMBERS = {**SAID, Verdict.SLOWER: tr_later("worse"), Verdict.FASTER: tr_later("better")}
"""The same of what is no time."""


def said(case: CaseVerdict) -> str:
    """The verdict in a word."""
    return tr((SAID if case.judged is None or case.judged.unit == "s" else SAID_OF_NUMBERS)[case.verdict])


def summary(verdicts: Verdicts) -> str:
    """The counts in words: "12 cases: 1 slower, 10 same, 1 inconclusive"."""
    words = [
        said(case)
        for verdict in (Verdict.SLOWER, Verdict.FASTER, Verdict.SAME, Verdict.INCONCLUSIVE, Verdict.TOO_NOISY, None)
        for case in verdicts.having(verdict)
    ]
    counts = [f"{words.count(word)} {word}" for word in dict.fromkeys(words)]
    return tr(
        "{cases}: {counts}", cases=formatting.count(len(verdicts.cases), "case"),
        counts=", ".join(counts) or tr("nothing to compare"),
    )


def change(speed_up: Estimate) -> str:
    """The change of the time in per cent: "+3.0 % (+2.6 to +3.4 %)"; positive is slower."""
    time = speed_up.inverse(1.0)
    return formatting.change(time.value, time.low, time.high)


def change_of(case: CaseVerdict) -> str:
    """The change of what a case is judged by: in per cent, or "+3 (+2 to +4)" where the difference is judged."""
    speed_up = case.decision.speed_up if case.decision else None
    if speed_up is None:
        return formatting.UNKNOWN
    if case.judged is None:
        return change(speed_up)
    difference = case.judged.difference(speed_up)
    if difference is None:
        higher = case.judged.is_higher_better
        return formatting.change(speed_up.value, speed_up.low, speed_up.high) if higher else change(speed_up)
    value, low, high = difference
    unit = case.judged.unit_for(value)
    if low is None or high is None:
        return _with_sign(formatting.significant(value / unit.scale), value, unit)
    three = (value / unit.scale, low / unit.scale, high / unit.scale)
    middle, *ends = (_with_sign(text, size, unit) for text, size in zip(formatting.digits(*three), three, strict=True))
    return tr("{value} ({low} to {high})", value=middle, low=ends[0], high=ends[1])


def _with_sign(digits: str, number: float, unit: formatting.Unit) -> str:
    """A difference with its sign and unit."""
    return f"{'+' if number > 0 else ''}{digits} {unit.name}".rstrip().replace("-", "−")


def basis(case: CaseVerdict) -> str:
    """The basis of the verdict: "12 pairs in turns"."""
    if case.decision is None or case.method is None:
        return ""
    count = case.decision.pairs
    return {
        Method.TURNS: tr("{pairs} in turns", pairs=formatting.count(count, "pair")),
        Method.ALTERNATING: tr("{pairs} of alternating processes", pairs=formatting.count(count, "pair")),
        Method.REPETITIONS: tr("{repetitions} of one run", repetitions=formatting.count(count, "repetition")),
        Method.SESSIONS: tr("{n} sessions per side", n=count),
        Method.UNREPLICATED: tr("unreplicated"),
    }[case.method]


def outlook(case: CaseVerdict) -> str:
    """Why there is no verdict, and what is needed for one; "" if there is one."""
    if case.reason is not None:
        return case.reason
    decision = case.decision
    if decision is None:
        return ""
    text = prospects(decision, case.method or Method.TURNS)
    if decision.verdict is Verdict.TOO_NOISY and decision.visible is not None and case.judged and case.judged.scale:
        size = case.judged.text(math.log1p(decision.visible) * case.judged.scale)
        text = tr("only differences above {change} would show", change=size)
    more_s = None if decision.verdict is Verdict.TOO_NOISY else case.about_more_s
    return text if not text or more_s is None else f"{text}, {duration(more_s)}"


def prospects(decision: Decision, method: Method) -> str:
    """Why there is no verdict: "needs about 5 more pairs", "only differences above 31 % would show"; else ""."""
    if decision.verdict is Verdict.TOO_NOISY and decision.visible is not None:
        return tr("only differences above {change} would show", change=formatting.percent(decision.visible))
    if decision.verdict not in (Verdict.INCONCLUSIVE, Verdict.TOO_NOISY) or not decision.about_more_pairs:
        return ""
    nouns = {Method.REPETITIONS: "more repetition", Method.SESSIONS: "more session"}
    more = formatting.count(decision.about_more_pairs, nouns.get(method, "more pair"))
    return tr("needs about {more}", more=more)


def duration(seconds: float) -> str:
    """A duration in words: "40 s", "12 min"."""
    return f"{math.ceil(seconds)} s" if seconds < 90 else f"{math.ceil(seconds / 60)} min"


def document(verdicts: Verdicts) -> Document:
    """The document: first what changed; folded, what is the same, and the basis of the figures."""
    same, rest = verdicts.having(Verdict.SAME), [case for case in verdicts.cases if case.verdict is not Verdict.SAME]
    order = list(SAID)
    rest.sort(key=lambda case: order.index(case.verdict))
    blocks: list[Block] = [Paragraph(text=f"{summary(verdicts)}.")]
    if rest:
        blocks.append(_table("verdicts", tr("Cases with a difference"), rest, of_steps=verdicts.of_steps))
    if same:
        count = formatting.count(len(same), "case")
        title = (
            tr("{cases} the same", cases=count) if any(case.judged and case.judged.scale is not None for case in same)
            else tr("{cases} the same to within {delta:.0%}", cases=count, delta=DELTA)
        )
        table = _table("same", tr("Cases that are the same"), same, of_steps=verdicts.of_steps)
        blocks.append(Fold(title=title, blocks=(table,)))
    causes = [tr("Cause, {case}: {text}", case=case.label, text=case.cause.text) for case in rest if case.cause]
    if causes:
        blocks.append(Items(texts=tuple(causes)))
    unlike = [f"{case.label}: {'; '.join(case.differs)}" for case in verdicts.cases if case.differs]
    if unlike:
        blocks.append(Fold(title=tr("What differs between the sides"), blocks=(Items(texts=tuple(unlike)),)))
    doubts = [f"{case.label}: {doubt}" for case in verdicts.cases for doubt in case.doubts]
    if doubts:
        blocks.append(Fold(title=tr("Doubts"), blocks=(Items(texts=tuple(doubts)),)))
    for side, labels in ((verdicts.base, verdicts.only_base), (verdicts.new, verdicts.only_new)):
        if labels:
            title = tr("{cases} only in {side}", cases=formatting.count(len(labels), "case"), side=side)
            blocks.append(Fold(title=title, blocks=(Items(texts=labels),)))
    if verdicts.problems:
        blocks.append(Items(texts=verdicts.problems))
    notes = (*_legend(verdicts), *verdicts.notes)
    blocks += [Paragraph(text=note) for note in notes]
    return Document(
        title=tr("{base} against {new}", base=verdicts.base, new=verdicts.new), summary=(), sections=(
            Section(id="verdicts", title=tr("Verdicts"), blocks=tuple(blocks)),
        ),
    )


def neighbours(contests: Sequence[Verdicts], name: str = "verdicts") -> tuple[Section, ...]:
    """A section for each of several contests, which names both sides."""
    return tuple(
        replace(section, id=f"{name}-{number}", title=tr(
            "{base} against {new}", base=name_of(each.base), new=name_of(each.new),
        ), blocks=tuple(
            replace(block, id=f"{block.id}-{number}") if isinstance(block, Table) else block for block in section.blocks
        ))
        for number, each in enumerate(contests, 1) for section in document(each).sections
    )


def name_of(side: str) -> str:
    """The name of a side, without the word that says that it is a build."""
    return side.removeprefix("build:")


def _legend(verdicts: Verdicts) -> tuple[str, ...]:
    """What the figures are."""
    judged = dict.fromkeys((case.judged.name, case.judged.is_higher_better) for case in verdicts.cases if case.judged)
    if verdicts.of_steps:
        return (tr(
            "Time is that of a step; + is slower. Intervals are 95 %. Of the cases called slower or faster, "
            "{false_alarms:.0%} at most are neither.", false_alarms=FALSE_ALARMS,
        ),)
    return (
        *(
            tr("{quantity}: higher is better.", quantity=name) if is_higher
            else tr("{quantity}: lower is better.", quantity=name) for name, is_higher in judged
        ),
        tr(
            "Intervals are 95 %. Of the cases with a difference, {false_alarms:.0%} at most have none.",
            false_alarms=FALSE_ALARMS,
        ),
    )


def _table(name: str, caption: str, cases: Sequence[CaseVerdict], *, of_steps: bool) -> Table:
    unit = formatting.time_unit(
        side.value for case in cases for side in (case.base_step_time_s, case.new_step_time_s) if side is not None
    )
    rows = []
    for case in cases:
        levels = [
            Cell(text=formatting.significant(side.value / unit.scale, 4), value=side.value) if side
            else Cell(text=formatting.UNKNOWN)
            for side in (case.base_step_time_s, case.new_step_time_s)
        ] if case.judged is None else [
            Cell(text=case.judged.text(side.value), value=side.value) for side in (case.judged.base, case.judged.new)
        ]
        rows.append(Row(id=case.label, cells=(
            Cell(text=case.label), Cell(text=said(case)), Cell(text=change_of(case), value=case.change), *levels,
            Cell(text=basis(case)), Cell(text=outlook(case)),
        )))
    name_of_unit = unit.name if of_steps else ""
    return Table(
        id=name, caption=caption, rows=tuple(rows), columns=(
            Column(title=tr("case")), Column(title=tr("verdict")),
            Column(title=tr("change of time") if of_steps else tr("change"), align=Align.RIGHT),
            Column(title=tr("base"), unit=name_of_unit, align=Align.RIGHT, is_detail=True),
            Column(title=tr("new"), unit=name_of_unit, align=Align.RIGHT, is_detail=True),
            Column(title=tr("from"), is_detail=True), Column(title=tr("what it would take")),
        ),
    )
