"""Series over commits or runs: where their levels changed, in which direction, and which changes are recent."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from rigmark.bench.analysis.comparison.sides import FACTS, case_label, timed_trials
from rigmark.bench.analysis.retirement import Retirement, day, retirements
from rigmark.bench.analysis.statistics.changepoints import CONFIDENCE, FEWEST, SIDE, Change, changes
from rigmark.bench.analysis.statistics.decision import FLOOR, Verdict, false_discovery
from rigmark.bench.analysis.statistics.estimate import estimate
from rigmark.bench.document import formatting
from rigmark.bench.document.document import (
    Align,
    Block,
    Cell,
    Column,
    Curve,
    Curves,
    Document,
    Fold,
    Items,
    Mark,
    Paragraph,
    Row,
    Section,
    Table,
)
from rigmark.bench.document.identifiers import identifier
from rigmark.bench.document.language import tr, tr_later, word
from rigmark.bench.enums import PLANNED_GAPS, Outcome
from rigmark.bench.history.series import LESS_BY_KIND, Direction, Failure, Grounds, Series, failure
from rigmark.bench.plan import axes

FALSE_DISCOVERIES = 0.05     # share of the series reported as changed that have not changed
WORSE, BETTER, OLDER = "table.history.worse", "table.history.better", "table.history.older"
CHANGED = "table.history.changed"
TABLES = (WORSE, CHANGED, BETTER, OLDER)     # in the order in which their series are drawn
DRAWN = 20                   # series that a report draws
NAMED = ("machine", "framework_version", "python", "build")
"""Facts that distinguish several series of one case."""
WENT_AS_PLANNED = [Outcome.OK, *PLANNED_GAPS]


@dataclass(frozen=True, kw_only=True)
class Step:
    """A change of level in a series."""

    change: Change
    verdict: Verdict | None      # slower: worse; faster: better; None: not known
    last_before: str             # revisions between which the level changed
    first_after: str
    earliest: str                # 95 % interval of the first revision at the new level
    latest: str
    date: str                    # of the first revision at the new level
    is_undone: bool              # the present level is no longer worse (or better) than before
    environment: str             # "torch 2.12 to torch 2.13" if it changed at the same point; else ""

    def plain(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self).items() if name != "change"} | {
            "before": self.change.before, "after": self.change.after, "p_value": self.change.p_value,
            "index": self.change.index,
        }


@dataclass(frozen=True, kw_only=True)
class Watched:
    """A series with its steps and its state."""

    series: Series
    steps: tuple[Step, ...]
    reason: str | None = None    # why it could not be judged; None if it was
    retirement: Retirement | None = None     # None while it is still measured

    @property
    def failure(self) -> Failure | None:
        """The failure of its newest measurements; None if they succeeded."""
        return None if self.retirement else self.series.failure

    @property
    def is_short(self) -> bool:
        return len(self.series.values) < FEWEST

    def worse(self, last: int) -> tuple[Step, ...]:
        """Steps for the worse among the last points that were not undone; none for a series that is no longer
        measured."""
        return self._news(Verdict.SLOWER, last)

    def better(self, last: int) -> tuple[Step, ...]:
        return self._news(Verdict.FASTER, last)

    def changed(self, last: int) -> tuple[Step, ...]:
        """The same for a series of which it is not known whether more is better."""
        return self._news(None, last)

    def is_told(self, last: int) -> bool:
        """Whether it is known if the series became worse; False for a series that is no longer measured."""
        return not (self.retirement or self.reason or self.changed(last))

    def _news(self, verdict: Verdict | None, last: int) -> tuple[Step, ...]:
        if self.retirement:
            return ()
        first = len(self.series.values) - last
        return tuple(
            step for step in self.steps
            if step.verdict is verdict and not step.is_undone and step.change.index >= first
        )

    def plain(self) -> dict[str, Any]:
        series = self.series
        return {
            "name": series.name, "case": series.case, "unit": series.unit,
            **direction_plain(series.direction), "facts": dict(series.facts), "points": len(series.values),
            "invalid_trials": series.invalid_trials,
            "level": None if not len(series.values) else self.level, "reason": self.reason,
            "steps": [step.plain() for step in self.steps],
            "failed_since": self.failure and self.failure.since,
            "retired": self.retirement and self.retirement.text,
        }

    @property
    def level(self) -> float:
        """The median since the last step."""
        start = self.steps[-1].change.index if self.steps else 0
        return float(np.median(self.series.values[start:]))


def direction_plain(direction: Direction) -> dict[str, Any]:
    """Columns of data: whether more is better (null: not known), and from what that is known."""
    return {"is_higher_better": direction.is_higher_better, "direction_from": direction.grounds}


def watch(series: Iterable[Series]) -> list[Watched]:
    """The steps of every series, in the given order.

    At most a share FALSE_DISCOVERIES of the series reported with a step have none; series that are no longer measured
    are judged separately, so that they do not affect the others.
    """
    everything = _current(list(series))
    watched = [
        replace(_watched(each), retirement=retirement)
        for each, retirement in zip(everything, retirements(everything), strict=True)
    ]
    adjusted = {**_adjusted(watched, is_retired=False), **_adjusted(watched, is_retired=True)}
    return [
        replace(each, steps=()) if adjusted.get(str(index), 0.0) > FALSE_DISCOVERIES else each
        for index, each in enumerate(watched)
    ]


def _adjusted(watched: Sequence[Watched], *, is_retired: bool) -> dict[str, float]:
    """The p-value of each judged series, by its label, adjusted for their number."""
    # Series without a step are included: their p-values are above all that count.
    return false_discovery({
        str(index): min((step.change.p_value for step in each.steps), default=1.0)
        for index, each in enumerate(watched) if each.reason is None and bool(each.retirement) is is_retired
    })


def _current(series: Sequence[Series]) -> list[Series]:
    """The series without obsolete failures: the same succeeded later on the same machine, in another environment."""
    namesakes: dict[tuple[str, str | None], list[Series]] = {}
    for each in series:
        namesakes.setdefault((each.label, each.facts.get("machine")), []).append(each)
    kept = []
    for alike in namesakes.values():
        for each in alike:
            is_over = each.failure is not None and any(
                max(other.dates_s, default=-math.inf) > each.failure.latest_s for other in alike if other is not each
            )
            kept.append(replace(each, failure=None) if is_over else each)
    return [each for each in kept if len(each.values) or each.failure]


def _watched(series: Series) -> Watched:
    if len(series.values) < FEWEST:
        short = tr(
            "{points}; {fewest} are the fewest that show a change",
            points=formatting.count(len(series.values), "point"), fewest=FEWEST,
        )
        return Watched(series=series, steps=(), reason=short)
    if not np.all((series.values > 0) & np.isfinite(series.values)):
        return Watched(series=series, steps=(), reason=tr("has values that are not positive, so levels have no ratio"))
    all_changes = changes(series.values)
    present = all_changes[-1].after if all_changes else math.nan
    return Watched(series=series, steps=tuple(_step(series, change, present) for change in all_changes))


def _step(series: Series, change: Change, present: float) -> Step:
    is_higher_better = series.direction.is_higher_better
    is_worse = (change.ratio > 1) != is_higher_better
    still = math.log(present / change.before) * math.copysign(1, math.log(change.ratio))
    environments = series.environments
    moved = [] if not environments else [
        place for place in range(max(change.low, 1), change.high + 1) if environments[place] != environments[place - 1]
    ]
    return Step(
        change=change,
        verdict=None if is_higher_better is None else Verdict.SLOWER if is_worse else Verdict.FASTER,
        last_before=series.revisions[change.index - 1], first_after=series.revisions[change.index],
        earliest=series.revisions[change.low], latest=series.revisions[change.high],
        date=day(series.dates_s[change.index]), is_undone=still < math.log1p(FLOOR),
        environment=f"{environments[moved[0] - 1]} to {environments[moved[0]]}" if moved else "",
    )


# Stored trials ------------------------------------------------------------------------------------------------------


def series_of(trials: pd.DataFrame, may_differ: Collection[str] = ()) -> list[Series]:
    """Step time by session and run, for each case with equal facts; facts in ``may_differ`` may change within a series.

    A point is the Hodges-Lehmann centre of the processes of one session without invalid ones; a session with only
    invalid ones gives no point. Its revision is the name of the session and the id of the run. If a session failed
    completely and no newer one succeeded, it is the failure of the series.
    """
    timed = timed_trials(trials)
    if timed.empty:
        return []
    fixed = [name for name in FACTS if name not in may_differ]
    every = [
        _stored(group, fixed, may_differ) for _, group in timed.groupby(["kind", *fixed], sort=False, dropna=False)
    ]
    return [each for each in every if len(each.values) or each.failure]


def _stored(group: pd.DataFrame, fixed: Sequence[str], may_differ: Collection[str]) -> Series:
    first = group.iloc[0]
    varying = [name for name in FACTS if name in may_differ]
    # A session that was interrupted and resumed counts as one.
    points, outcomes, tried = [], [], []
    for (session, *_), processes in group.groupby(["session", *varying], sort=False, dropna=False):
        measured = processes[processes.outcome == Outcome.OK]
        failed = processes[~processes.outcome.isin(WENT_AS_PLANNED)]
        earliest = processes.iloc[0] if measured.empty else measured.iloc[0]
        at, revision = str(earliest.recorded_at), f"{session} ({earliest.run_id})"
        has_failed = measured.empty and not failed.empty
        if has_failed or not measured.empty:
            tried.append((revision, _seconds(at)))
        outcomes.append((at, revision, f"{failed.iloc[-1].outcome}: {failed.iloc[-1].reason}" if has_failed else None))
        valid = measured[~measured.is_invalid]
        if valid.empty:
            continue
        points.append((
            at, revision, estimate([float(time_s) for time_s in valid.step_time_s]).value,
            ", ".join(f"{name} {earliest[name]}" for name in varying),
        ))
    points.sort(key=lambda point: point[:2])
    outcomes.sort(key=lambda outcome: outcome[:2])
    facts = {name: str(first[name]) for name in fixed if name not in axes.NAMES}
    label = case_label({name: first[name] for name in axes.NAMES if name in fixed})
    return Series(
        name="step_time", case=label, unit="seconds", direction=LESS_BY_KIND, facts=facts,
        values=np.array([point[2] for point in points]), revisions=[point[1] for point in points],
        dates_s=np.array([_seconds(point[0]) for point in points]),
        environments=[point[3] for point in points] if may_differ else (),
        invalid_trials=int(group.is_invalid.sum()),
        failure=failure([(revision, _seconds(at), reason) for at, revision, reason in outcomes]),
        tried=sorted(tried, key=lambda outcome: outcome[1]),
    )


def _seconds(recorded_at: str) -> float:
    return float(pd.Timestamp(recorded_at).timestamp())


# In words -----------------------------------------------------------------------------------------------------------


SAID = {
    Grounds.KIND: tr_later("kind"), Grounds.DECLARED: tr_later("declared"), Grounds.OPTION: tr_later("option"),
    Grounds.UNIT: tr_later("unit"), Grounds.NAME: tr_later("name"), Grounds.NONE: tr_later("nothing tells"),
    Grounds.CONTRADICTION: tr_later("unit and name contradict each other"),
}


def better_is(direction: Direction) -> str:
    """Whether more is better, with the grounds: "more (unit)"; "not known (nothing tells)"."""
    way = {True: tr("more"), False: tr("less"), None: tr("not known")}[direction.is_higher_better]
    return tr("{way} ({grounds})", way=way, grounds=tr(SAID[direction.grounds]))


def summary(watched: Sequence[Watched], last: int) -> str:
    """The counts in words: "40 series: 1 got worse, 2 got better, 30 as before in the last 200 points, 7 not judged:
    ..."."""
    failed = sum(each.failure is not None for each in watched)
    retired = sum(each.retirement is not None for each in watched)
    sound = [each for each in watched if each.retirement is None and each.failure is None]
    judged = [each for each in sound if each.reason is None]
    worse = sum(bool(each.worse(last)) for each in judged)
    changed = sum(bool(each.changed(last)) for each in judged)
    better = sum(bool(each.better(last)) and not each.worse(last) for each in judged)
    short = [len(each.series.values) for each in sound if each.reason and each.is_short]
    counts = [
        f"{number} {text}" for number, text in (
            (failed, tr("failed last")), (worse, tr("got worse")),
            (changed, tr("changed, and it is not known which way is better")), (better, tr("got better")),
            (len(judged) - worse - changed - better, tr("as before in the last {last} points", last=last)),
            (len(short), _too_short(short)), (len(sound) - len(judged) - len(short), tr("not judged")),
            (retired, tr("no longer measured")),
        ) if number
    ]
    return tr("{n} series: {counts}", n=len(watched), counts=", ".join(counts) or tr("nothing to judge"))


def _too_short(points: Sequence[int]) -> str:
    """The sentence "not judged with 3 to 11 points, since 12 are the fewest that show a change"."""
    if not points:
        return ""
    low, high = min(points), max(points)
    return tr(
        "not judged with {points}, since {fewest} are the fewest that show a change", fewest=FEWEST,
        points=formatting.count(high, "point") if low == high else tr("{low} to {high} points", low=low, high=high),
    )


def document(
    watched: Sequence[Watched], *, title: str, last: int, problems: Sequence[str] = (), notes: Sequence[str] = (),
    advice: str = "",
) -> Document:
    """The section alone."""
    whole = section(watched, last=last, problems=problems, notes=notes, advice=advice)
    return Document(title=title, summary=(), sections=(whole,))


def section(
    watched: Sequence[Watched], *, last: int, problems: Sequence[str] = (), notes: Sequence[str] = (),
    advice: str = "",
) -> Section:
    """The section: first what became worse; then all steps, plots of changed series, and what could not be judged."""
    together = list(zip(labels([each.series for each in watched]), watched, strict=True))
    blocks: list[Block] = [Paragraph(text=f"{summary(watched, last)}.")]
    failed = tuple(
        tr("{name}: failed since {revision}, {reason}", name=name, revision=_cut(ended.since), reason=ended.reason)
        for name, each in together if (ended := each.failure)
    )
    if failed:
        blocks.append(Items(texts=failed))
    worse = [(name, each, step) for name, each in together for step in each.worse(last)]
    better = [(name, each, step) for name, each in together for step in each.better(last)]
    changed = [(name, each, step) for name, each in together for step in each.changed(last)]
    if worse:
        blocks += [_table(WORSE, tr("Got worse, and still is"), worse)]
        if advice:
            blocks.append(Paragraph(text=advice))
    if changed:
        blocks += [
            _table(CHANGED, tr("Changed, and still is; which way is better is not known"), changed),
            Paragraph(text=tr(
                "These take no part in a verdict; state which way is better by --higher-is-better or --lower-is-better "
                "with an expression for their names."
            )),
        ]
    if better:
        blocks.append(_table(BETTER, tr("Got better, and still is"), better))
    shown = {id(step) for _, _, step in (*worse, *changed, *better)}
    older = [(name, each, step) for name, each in together for step in each.steps if id(step) not in shown]
    if older:
        caption = tr("Older steps, such as were undone, and those of series that are no longer measured")
        older_table = _table(OLDER, caption, older)
        blocks.append(Fold(title=formatting.count(len(older), "older or undone step"), blocks=(older_table,)))
    drawn = [_drawn(name, each, last) for name, each in together if each.steps]
    blocks += sorted(drawn, key=lambda curves: TABLES.index(curves.table))[:DRAWN]
    unjudged = tuple(
        f"{name}: {each.reason}" for name, each in together if each.reason and not each.retirement
    )
    if unjudged:
        blocks.append(Fold(title=tr("{n} series not judged", n=len(unjudged)), blocks=(Items(texts=unjudged),)))
    retired = tuple(
        f"{name}: {each.retirement.text}" for name, each in together if each.retirement
    )
    if retired:
        title = tr("{n} series that {n:is|are} no longer measured and {n:has|have} no news", n=len(retired))
        blocks.append(Fold(title=title, blocks=(Items(texts=retired),)))
    invalid = tuple(
        f"{name}: {formatting.count(each.series.invalid_trials, 'invalid trial')}"
        for name, each in together if each.series.invalid_trials
    )
    if invalid:
        title = tr("{n} series of which invalid trials are left out", n=len(invalid))
        blocks.append(Fold(title=title, blocks=(Items(texts=invalid),)))
    if problems:
        blocks.append(Items(texts=tuple(problems)))
    blocks += [Paragraph(text=note) for note in (
        tr(
            "A step is a change of level by {floor:.0%} or more with {side} points or more on either side. Of the "
            "series said to have one, {share:.0%} at most have none. Brackets hold the {confidence:.0%} interval of "
            "where it happened. The machine may have caused a step: only a paired run of the two revisions decides "
            "that.", floor=FLOOR, side=SIDE, share=FALSE_DISCOVERIES, confidence=CONFIDENCE,
        ),
        *notes,
    )]
    return Section(id="history", title=tr("History"), blocks=tuple(blocks))


def labels(series: Sequence[Series]) -> list[str]:
    """The shortest distinct names of series: the case, with the facts that vary among series of that case."""
    by_label: dict[str, list[Series]] = {}
    for each in series:
        by_label.setdefault(each.label, []).append(each)
    names = []
    for each in series:
        namesakes = by_label[each.label]
        varying = [
            fact for fact in each.facts
            if len(namesakes) > 1 and len({str(other.facts.get(fact)) for other in namesakes}) > 1
        ]
        named = [fact for fact in NAMED if fact in varying] or varying[:3]
        words = [f"{fact} {_short(each.facts[fact])}" for fact in named]
        names.append(", ".join([each.label, *words]))
    return names


def _short(fact: str) -> str:
    if fact.startswith("{"):
        return ", ".join(f"{key} {value}" for key, value in (json.loads(fact) or {}).items())[:60]
    return fact if len(fact) <= 40 else f"{fact[:39]}…"


def _table(name: str, caption: str, steps: Sequence[tuple[str, Watched, Step]]) -> Table:
    rows = []
    for label, each, step in steps:
        where = f"{_cut(step.last_before)}..{_cut(step.first_after)}"
        if step.earliest != step.latest:
            where = tr("{value} ({low} to {high})", value=where, low=_cut(step.earliest), high=_cut(step.latest))
        rows.append(Row(id=identifier(name, label, step.first_after), cells=(
            Cell(text=label),
            Cell(text=changed_by(step.change.ratio), value=step.change.ratio - 1),
            Cell(text=better_is(each.series.direction)),
            Cell(text=formatting.significant(step.change.before, 4), value=step.change.before),
            Cell(text=formatting.significant(step.change.after, 4), value=step.change.after),
            Cell(text=where), Cell(text=step.date), Cell(text=_remark(step)),
        )))
    return Table(id=name, caption=caption, rows=tuple(rows), columns=(
        Column(title=tr("series")), Column(title=tr("change"), align=Align.RIGHT), Column(title=tr("better is")),
        Column(title=tr("before"), align=Align.RIGHT, is_detail=True),
        Column(title=tr("after"), align=Align.RIGHT, is_detail=True), Column(title=tr("where")),
        Column(title=tr("date"), is_detail=True), Column(title=tr("remark")),
    ))


def changed_by(ratio: float) -> str:
    """A change: "+3.1 %"; beyond a tenth or ten times "0.00281x", since only a total change is −100 %."""
    if not 0.1 <= ratio <= 10:
        return formatting.times(ratio)
    percent = 100 * (ratio - 1)
    return f"{'+' if percent > 0 else '−'}{formatting.significant(abs(percent), 2)} %"


def _remark(step: Step) -> str:
    text = tr("undone later") if step.is_undone else ""
    moved = tr("with {environment}", environment=step.environment) if step.environment else ""
    return "; ".join(filter(None, [text, moved]))


def _cut(revision: str) -> str:
    return revision[:8] if _is_commit(revision) else revision


def _is_commit(revision: str) -> bool:
    return len(revision) == 40 and all(letter in "0123456789abcdef" for letter in revision)


def _drawn(name: str, each: Watched, last: int) -> Curves:
    """The plot of a series whose steps are in one of the tables."""
    levels = np.empty(len(each.series.values))
    edges = [0, *(step.change.index for step in each.steps), len(levels)]
    for start, stop in itertools.pairwise(edges):
        levels[start:stop] = np.median(each.series.values[start:stop])
    tables = ((WORSE, each.worse(last)), (CHANGED, each.changed(last)), (BETTER, each.better(last)))
    are_commits = all(map(_is_commit, each.series.revisions))
    return Curves(
        id=identifier("series", name), title=name, x_title=tr("commit") if are_commits else tr("point"),
        y_title=tr(
            "{unit}; better is {direction}", unit=each.series.unit or tr("value"),
            direction=better_is(each.series.direction),
        ),
        x_names=tuple(map(_cut, each.series.revisions)) if are_commits else (),
        curves=(
            Curve(label=tr("measured"), values=tuple(map(float, each.series.values))),
            Curve(label=tr("level"), values=tuple(map(float, levels)), is_reference=True),
        ),
        table=next((table for table, steps in tables if steps), OLDER),
        marks=tuple(
            Mark(
                at=step.change.index + 1,
                label=tr(
                    "{verdict}: {change}, {revision} {date}", revision=_cut(step.first_after), date=step.date,
                    verdict=word(step.verdict) if step.verdict else tr("changed"), change=changed_by(step.change.ratio),
                ),
            )
            for step in each.steps
        ),
    )


def plain(watched: Sequence[Watched]) -> list[Mapping[str, Any]]:
    return [each.plain() for each in watched]
