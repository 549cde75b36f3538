"""Compares two sets of stored trials: which cases they share, which are not comparable and why, which side is
slower."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from rigmark.bench.analysis.comparison.systems import known_facts
from rigmark.bench.analysis.comparison.verdicts import CaseVerdict, Method, Verdicts
from rigmark.bench.analysis.results import validity
from rigmark.bench.analysis.results.summary import rows_of
from rigmark.bench.analysis.statistics.decision import (
    FALSE_ALARMS,
    Decision,
    Verdict,
    decide_all,
    false_discovery,
    judge,
)
from rigmark.bench.analysis.statistics.estimate import CONFIDENCE, Estimate, estimate
from rigmark.bench.document.language import tr, tr_later
from rigmark.bench.enums import PLANNED_GAPS, TIMED, Implementation, Outcome
from rigmark.bench.errors import UserError, unknown
from rigmark.bench.plan import axes

IDENTITY_COLUMNS = (
    "graph_fingerprint", "machine", "node", "device_name", "python", "framework_version", "packages", "variables",
    "code_version", "adapter", "settings", "origin",
)
"""Facts that are not part of a case, but must be equal for two measurements of it to be comparable."""

FACTS = (*axes.NAMES, *IDENTITY_COLUMNS)

SYSTEM = "system"
"""The state of the machine of a side's trials; it does not split a side, since it may differ between sessions."""

COVERS: Mapping[str, tuple[str, ...]] = {
    **axes.COVERS, "framework_version": ("packages",), "machine": ("device_name", "node", SYSTEM),
}
"""Facts that necessarily differ if another fact does."""

SESSIONS = 5                 # per side, for an interval without pairs
PROCESSES = 4                # per session
# With one session of 12 processes per side, 49 to 73 % of comparisons of a machine with itself found a difference; with
# several sessions as units of Welch's test, 0 to 1.5 %.


@dataclass(frozen=True, kw_only=True)
class Side:
    """All trials of one case on one side that may be pooled."""

    facts: Mapping[str, Any]
    trials: pd.DataFrame                 # of ``timed_trials``

    @property
    def measured(self) -> pd.DataFrame:
        """The trials that count: successful and not invalid."""
        return self.trials[(self.trials.outcome == Outcome.OK) & ~self.trials.is_invalid]

    def judged(self) -> list[validity.Judged]:
        """All successful trials, in the order in which they were recorded."""
        done = self.trials[self.trials.outcome == Outcome.OK].sort_values("recorded_at", kind="stable")
        return [validity.judge(trial) for trial in rows_of(done)]

    @property
    def failure(self) -> str | None:
        """The latest failure in words; None if no trial failed."""
        failed = self.trials[self.trials.outcome != Outcome.OK]
        return None if failed.empty else f"{failed.iloc[-1].outcome}: {failed.iloc[-1].reason}"

    @property
    def is_planned_gap(self) -> bool:
        return bool(self.trials.outcome.isin(list(PLANNED_GAPS)).all())

    @cached_property
    def system(self) -> Mapping[str, str]:
        """The known facts of its system, see bench.analysis.comparison.systems."""
        return known_facts(self.measured.system_facts)

    @property
    def measurements(self) -> set[tuple[Any, ...]]:
        """Each trial with its time, since old records of identical machines have equal keys."""
        return set(self.trials[["id", "run_id", "recorded_at"]].itertuples(index=False, name=None))

    def sessions(self) -> list[list[float]]:
        """Step times of each session with at least PROCESSES processes."""
        grouped = self.measured.groupby(["results", "session"], sort=False)
        return [list(group.step_time_s) for _, group in grouped if len(group) >= PROCESSES]


def across(names: Iterable[str]) -> frozenset[str]:
    """The facts that may differ, with those that then necessarily differ too; raises UnknownName."""
    asked = tuple(names)
    for name in asked:
        if name not in (*FACTS, SYSTEM):
            raise unknown("fact", name, (*FACTS, SYSTEM))
    return frozenset(asked).union(*(COVERS.get(name, ()) for name in asked))


def compare_sides(
    base: pd.DataFrame, new: pd.DataFrame, *, names: tuple[str, str], may_differ: Collection[str] = (),
    problems: Sequence[str] = (),
) -> Verdicts:
    """The verdicts on every case that both sides have; the tables of trials have a column "results", their folder.

    Raises UserError if they have no case in common.
    """
    key_columns = ["kind", *(column for column in axes.NAMES if column not in may_differ)]
    sides = [_sides(trials, key_columns) for trials in (base, new)]
    common = [key for key in sides[0] if key in sides[1]]
    if not common:
        raise UserError(_nothing_in_common(sides, names, key_columns))
    cases = [_compared(dict(zip(key_columns, key, strict=True)), sides[0][key], sides[1][key], may_differ)
             for key in common]
    only = [
        tuple(case_label(dict(zip(key_columns, key, strict=True))) for key in mine if key not in other)
        for mine, other in (sides, sides[::-1])
    ]
    return Verdicts(
        base=names[0], new=names[1], cases=tuple(_together(cases)), only_base=only[0], only_new=only[1],
        problems=tuple(problems),
    )


def case_label(facts: Mapping[str, Any]) -> str:
    """A short name: "mlp training, torch eager nchw fp32, cpu, batch 64, 1 thread".

    It is the same in every language, since it is also the case's id.
    """
    def words(*columns: str) -> str:
        return " ".join(str(facts[column]) for column in columns if column in facts)

    is_written = facts.get("implementation") == Implementation.AS_WRITTEN
    framework = f"{facts.get('framework', '')}{' (as written)' * is_written}"
    unsaid = (
        axis for axis in axes.AXES
        if axis.goes_unsaid and axis.said != "{}" and axis.name not in ("implementation", "build")
    )
    parts = [
        words("model", "mode"), f"{framework} {words('compile_mode', 'layout', 'precision')}".strip(), words("device"),
        f"batch {facts['local_batch']}" if "local_batch" in facts else "",
        f"{facts['threads']} thread{'s' * (int(facts['threads']) != 1)}" if "threads" in facts else "",
        f"data {facts['data']}" if facts.get("data", "synthetic") != "synthetic" else "",
        f"build {facts['build']}" if facts.get("build", "default") != "default" else "",
        f"{facts['world_size']} devices ({facts['strategy']})" if facts.get("world_size", 1) != 1 else "",
        *(axis.said.format(facts[axis.name]) for axis in unsaid if facts.get(axis.name, axis.default) != axis.default),
    ]
    return ", ".join(part for part in parts if part)


# Sorting ------------------------------------------------------------------------------------------------------------


def _sides(trials: pd.DataFrame, key_columns: Sequence[str]) -> dict[tuple[Any, ...], list[Side]]:
    """Every case with its trials, in groups with equal facts, which may be pooled."""
    timed = timed_trials(trials)
    if timed.empty:
        return {}
    sides: dict[tuple[Any, ...], list[Side]] = {}
    for _, group in timed.groupby(["kind", *FACTS], sort=False, dropna=False):
        facts = {name: _known(group.iloc[0][name]) for name in ("kind", *FACTS)}
        sides.setdefault(tuple(facts[name] for name in key_columns), []).append(Side(facts=facts, trials=group))
    return sides


def timed_trials(trials: pd.DataFrame) -> pd.DataFrame:
    """Trials of TIMED kinds with "step_time_s" (NaN if they failed), "is_invalid", and all FACTS.

    An invalid trial succeeded, but its time must not be used.
    """
    timed = trials[trials.kind.isin(list(TIMED))].reset_index(drop=True)
    build = [json.loads(facts) if isinstance(facts, str) else {} for facts in timed.build_facts]
    is_ok = (timed.outcome == Outcome.OK).to_numpy()
    is_invalid = np.zeros(len(timed), bool)
    is_invalid[is_ok] = validity.is_invalid(timed[is_ok])
    return timed.assign(
        packages=[json.dumps(facts.get("packages"), sort_keys=True) for facts in build],
        variables=[json.dumps(facts.get("variables"), sort_keys=True) for facts in build],
        adapter=[facts.get("adapter") for facts in build],
        step_time_s=[
            float(np.median(timings)) / steps if outcome == Outcome.OK else math.nan
            for timings, steps, outcome in zip(timed.timings_s, timed.steps_per_timing, timed.outcome, strict=True)
        ],
        is_invalid=is_invalid,
    )


def _known(fact: Any) -> Any:
    if isinstance(fact, np.generic):
        fact = fact.item()
    return None if pd.isna(fact) else fact


def _nothing_in_common(
    sides: Sequence[Mapping[tuple[Any, ...], list[Side]]], names: tuple[str, str], key_columns: Sequence[str]
) -> str:
    for side, name in zip(sides, names, strict=True):
        if not side:
            return f"{name} has no timing trials; measure some with rigmark run"
    differing = [
        column for index, column in enumerate(key_columns)
        if not {key[index] for key in sides[0]} & {key[index] for key in sides[1]}
    ]
    values = [
        f"{column} is {_shown({key[index] for key in sides[0]})} against {_shown({key[index] for key in sides[1]})}"
        for index, column in enumerate(key_columns) if column in differing
    ]
    if not values:
        return f"{names[0]} and {names[1]} have no case in common; rigmark results shows the cases of each"
    may = ",".join(column for column in differing if column != "kind")
    advice = f"; pass --across {may} if that is the question" if may else ""
    return f"cannot compare {names[0]} with {names[1]}: {', '.join(values)}{advice}"


def _shown(values: Collection[Any]) -> str:
    return "/".join(sorted(map(str, values))[:4]) + ("/..." if len(values) > 4 else "")


# One case -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Pending:
    """A case before all cases are judged together."""

    case: CaseVerdict
    log_speed_ups: Sequence[float] = ()      # of pairs
    sessions: tuple[Sequence[Sequence[float]], Sequence[Sequence[float]]] | None = None


def _compared(
    facts: dict[str, Any], base: Sequence[Side], new: Sequence[Side], may_differ: Collection[str]
) -> Pending:
    alike = [(b, n, _differences(b, n)) for b in base for n in new]
    fitting = [(b, n) for b, n, different in alike if not different.keys() - set(may_differ)]
    blank = CaseVerdict(label=case_label(facts), facts=facts, verdict=None)
    if not fitting:
        b, n, different = min(alike, key=lambda candidate: len(candidate[2].keys() - set(may_differ)))
        refused = sorted(different.keys() - set(may_differ))
        return Pending(case=replace(
            blank, has_failed=True, differs=tuple(f"{fact}: {different[fact]}" for fact in refused),
            reason=tr(
                tr_later("unlike: {facts} differs; pass --across {may} if that is the question") if len(refused) == 1
                else tr_later("unlike: {facts} differ; pass --across {may} if that is the question"),
                facts=", ".join(refused), may=",".join(refused),
            ),
        ))
    if len(fitting) > 1:
        return Pending(case=replace(blank, has_failed=True, reason=_ambiguous(fitting)))
    b, n = fitting[0]
    case = replace(
        blank, differs=tuple(f"{fact}: {text}" for fact, text in _differences(b, n).items()),
        base_step_time_s=_step_time(b), new_step_time_s=_step_time(n),
    )
    named = ((tr("base"), b), (tr("new"), n))
    if b.measurements & n.measurements:
        return Pending(case=replace(case, has_failed=True, reason=tr("the same trials are on both sides")))
    if b.measured.empty or n.measured.empty:
        missing = [text for side, own in named if own.measured.empty for text in _nothing_left(side, own)]
        is_planned = b.is_planned_gap and n.is_planned_gap
        return Pending(case=replace(case, has_failed=not is_planned, reason="; ".join(missing)))
    case = replace(
        case, has_failed=any(own.failure for _, own in named),
        doubts=tuple(doubt for side, own in named for doubt in _doubts(side, own)),
    )
    pairs = _pairs(b, n)
    if pairs:
        seconds = float(np.median(b.measured.wall_time_s) + np.median(n.measured.wall_time_s))
        return Pending(case=replace(case, method=Method.REPETITIONS, seconds_per_pair=seconds), log_speed_ups=pairs)
    return Pending(case=case, sessions=(b.sessions(), n.sessions()))


def _nothing_left(side: str, own: Side) -> Iterator[str]:
    """The reasons why no trial of this side counts."""
    if own.failure:
        yield f"{side} {own.failure}"
    if judged := own.judged():
        yield tr(
            "{side} has no valid trial: {n:the only one|all {n}} that ended well {n:is|are} invalid ({reasons})",
            side=side, n=len(judged), reasons=validity.why_invalid(judged),
        )


def _doubts(side: str, own: Side) -> Iterator[str]:
    if own.failure:
        yield tr("{side} has failed trials, {failure}", side=side, failure=own.failure)
    for finding in validity.doubts(own.judged()):
        yield tr("{side}: {doubt}", side=side, doubt=finding.text)


def _differences(base: Side, new: Side) -> dict[str, str]:
    differing = {
        name: _difference(name, base.facts[name], new.facts[name])
        for name in FACTS if base.facts[name] != new.facts[name]
        # Some records of the same machine may not state the device and node on which they ran.
        and not (name in ("device_name", "node") and None in (base.facts[name], new.facts[name]))
    }
    # A fact that is not known on one side does not count as a difference.
    states = ", ".join(
        f"{name} {_against(text, new.system[name])}"
        for name, text in base.system.items() if new.system.get(name, text) != text
    )
    return differing | ({SYSTEM: states} if states else {})


def _difference(name: str, base: Any, new: Any) -> str:
    """The difference of a fact: "2.12.0 against 2.13.0"; of a composite fact, only the parts that differ."""
    if name in ("packages", "variables", "settings"):
        left, right = (json.loads(value or "{}") or {} for value in (base, new))
        return ", ".join(
            f"{key} {_against(left.get(key, tr('not set')), right.get(key, tr('not set')))}"
            for key in sorted(left.keys() | right.keys()) if left.get(key) != right.get(key)
        )
    return _against(base, new)


def _against(base: Any, new: Any) -> str:
    return tr("{base} against {new}", base=base, new=new)


def _ambiguous(fitting: Sequence[tuple[Side, Side]]) -> str:
    facts = sorted({
        fact for sides in ([b for b, _ in fitting], [n for _, n in fitting])
        for other in sides[1:] for fact in _differences(sides[0], other)
    })
    return tr(
        "{n} ways to compare it: a side has it with more than one {facts}; choose by RESULTS@RUN, or a smaller "
        "--across", n=len(fitting), facts=", ".join(facts) or tr("set of facts"),
    )


def _step_time(side: Side) -> Estimate | None:
    return None if side.measured.empty else estimate(list(side.measured.step_time_s))


def _pairs(base: Side, new: Side) -> list[float]:
    """ln(base / new) of the repetitions that one run measured on both sides, in order.

    Two runs of a repetition happen at different times, and drift in between would look like a difference.
    """
    def by_pair(side: Side) -> dict[tuple[Any, ...], float]:
        rows = side.measured[["results", "run_id", "session", "repetition", "step_time_s"]]
        return {tuple(row[:-1]): float(row[-1]) for row in rows.itertuples(index=False)}

    left, right = by_pair(base), by_pair(new)
    return [math.log(left[pair] / right[pair]) for pair in left if pair in right]


# All cases ----------------------------------------------------------------------------------------------------------


def _together(pending: Sequence[Pending]) -> list[CaseVerdict]:
    """The verdicts, with the false discovery rate over all cases of a kind: networks, or micro-benchmarks."""
    paired: dict[str, dict[str, Sequence[float]]] = {}
    for place, undecided in enumerate(pending):
        if undecided.log_speed_ups:
            paired.setdefault(str(undecided.case.facts["kind"]), {})[str(place)] = undecided.log_speed_ups
    decided = {index: each for alike in paired.values() for index, each in decide_all(alike, looks=None).items()}
    welch = {
        str(index): decision for index, undecided in enumerate(pending)
        if undecided.sessions is not None and (decision := compare_sessions(*undecided.sessions)) is not None
    }
    adjusted = false_discovery({index: decision.p_value for index, decision in welch.items()})
    for index, decision in welch.items():
        assert decision.speed_up is not None
        verdict = judge(decision.speed_up, is_significant=adjusted[index] <= FALSE_ALARMS)
        decided[index] = replace(decision, verdict=verdict, p_value=adjusted[index])
    return [_finished(undecided, decided.get(str(index))) for index, undecided in enumerate(pending)]


def _finished(pending: Pending, decision: Decision | None) -> CaseVerdict:
    case = pending.case
    if decision is not None:
        method = case.method or Method.SESSIONS
        return replace(case, verdict=decision.verdict, decision=decision, method=method)
    if pending.sessions is None or case.base_step_time_s is None or case.new_step_time_s is None:
        return case
    ratio = case.base_step_time_s.value / case.new_step_time_s.value
    counts = [len(sessions) for sessions in pending.sessions]
    is_one_machine = not any(fact.startswith("machine:") for fact in case.differs)
    advice = tr("rigmark ab measures them in turns, or measure") if is_one_machine else tr("measure")
    return replace(
        case, verdict=Verdict.INCONCLUSIVE, method=Method.UNREPLICATED,
        decision=Decision(
            verdict=Verdict.INCONCLUSIVE, speed_up=Estimate(value=ratio, low=None, high=None, count=min(counts)),
            p_value=1.0, pairs=min(counts), about_more_pairs=None, visible=None,
        ),
        reason=tr(
            "unreplicated: {base} against {new} sessions of {processes} processes or more, each side measured at "
            "another time, so a difference cannot be distinguished from drift; {advice} {sessions} sessions per side "
            "(the same rigmark run with --sessions {sessions} --spread 2h)",
            base=counts[0], new=counts[1], processes=PROCESSES, advice=advice, sessions=SESSIONS,
        ),
    )


def compare_sessions(base: Sequence[Sequence[float]], new: Sequence[Sequence[float]]) -> Decision | None:
    """Welch's test on the logarithms of session means, if nothing is paired; None with fewer than SESSIONS per side.

    A mean is the Hodges-Lehmann centre of the session's processes. Also None if all sessions are equal. The verdict is
    that of this case alone.
    """
    if min(len(base), len(new)) < SESSIONS:
        return None
    from scipy import stats

    left, right = ([math.log(estimate(session).value) for session in side] for side in (base, new))
    if np.ptp(left) == 0 and np.ptp(right) == 0:
        return None
    test = stats.ttest_ind(left, right, equal_var=False)
    interval = test.confidence_interval(CONFIDENCE)
    speed_up = Estimate(
        value=math.exp(float(np.mean(left) - np.mean(right))), low=math.exp(interval.low), high=math.exp(interval.high),
        count=min(len(left), len(right)),
    )
    p_value = float(test.pvalue)
    verdict = judge(speed_up, is_significant=p_value <= FALSE_ALARMS)
    return Decision(
        verdict=verdict, speed_up=speed_up, p_value=p_value, pairs=min(len(left), len(right)), about_more_pairs=None,
        visible=None,
    )
