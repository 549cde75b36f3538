"""Is the new side slower than the base? Measures pairs that take turns, and more pairs only while a verdict is open.

A side is a build of builds.toml or a git revision of the user's project. Every case of a suite gets a pair, in an order
drawn from the name of the session, then another pair, until its verdict is final or the budget is spent. Verdicts are
made at the numbers of pairs that bench.analysis.statistics.decision names, so that stopping early does not raise the
error rate. Every pair is stored at once, and the same command continues from there. Then both sides of what became
slower or faster have their layers timed, again in pairs, so that the cause can be told.

If the base is a folder of stored results, nothing can be paired: the new side is timed as ``rigmark run`` does it.
"""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from rigmark.bench.ab.rounds import FAILURES_AT_MOST, Rounds
from rigmark.bench.analysis.causes.layers import PAIRS as PROFILES
from rigmark.bench.analysis.causes.network import with_cause
from rigmark.bench.analysis.comparison import pairs as judging
from rigmark.bench.analysis.comparison.sides import across, case_label, compare_sides
from rigmark.bench.analysis.comparison.verdicts import CaseVerdict, Verdicts
from rigmark.bench.analysis.statistics.decision import Decision, Verdict
from rigmark.bench.builds import build as builds_module
from rigmark.bench.builds import revisions
from rigmark.bench.builds.build import Build
from rigmark.bench.builds.revisions import Revision
from rigmark.bench.builds.worker_package import Files
from rigmark.bench.document.language import tr
from rigmark.bench.enums import PLANNED_GAPS, Clock, Outcome, StartMethod, TrialKind
from rigmark.bench.errors import UserError, unknown
from rigmark.bench.machine import hardware
from rigmark.bench.networks import Networks
from rigmark.bench.plan.case import DEFAULT_BUILD, Case, Timing
from rigmark.bench.plan.schedule import Trial, plan, proof_case
from rigmark.bench.plan.sweep import Sweep
from rigmark.bench.runner.runner import FAILS_AGAIN, Runner
from rigmark.bench.runner.tally import Progress, Tally
from rigmark.bench.store.record import BASE, NEW, SIDES
from rigmark.bench.store.store import RECORDS, Store, existing
from rigmark.bench.store.stored import Pair, StoredRecord
from rigmark.bench.trials.context import Base
from rigmark.bench.trials.kinds import pair
from rigmark.bench.worker import frameworks

NOTE_TURNS = "Both sides took turns in pairs of new processes; their step times are for verdicts, not for publication."
NOTE_UNPAIRED = ("The base is stored results, so nothing is paired: the sides were measured at different times, and "
                 "what changed on the machine in between passes for a difference. rigmark compare judges the same "
                 "trials, and takes --across.")

NOTE_IDLE = "{project} is not used by {frameworks}, whose cases were left out: no commit of it can change them."

KINDS = ("build", "results", "rev")

CAUSE_SHARE = 0.25           # of the budget, which telling causes may take beyond it
PROFILE = {"min_time_s": 0.3, "warm_up_max_s": 1.0, "max_time_s": 5.0}       # of a layer trial, at the most


@dataclass(frozen=True, kw_only=True)
class Side:
    """One of the two compared sides."""

    name: str                                    # as the user named it
    build: Build                                 # its name identifies the side in records
    shipped: Files | None = None     # the worker package of another revision of Rigmark
    problem: str | None = None                   # why its build could not be created
    is_installed: bool = False                   # whether it is a revision of another project than Rigmark


def sides(
    words: tuple[str, str], known: dict[str, Build], *, folder: Path, beneath: Build, packages: Sequence[str],
    sweeps: Sequence[Sweep], suite: str, tell: Callable[[str], None],
) -> list[Side | Store]:
    """The two sides that a user named: each a build, a git revision of the project in ``folder``, or a folder of
    results.

    A prefix ``build:``, ``rev:`` or ``results:`` states which. A revision is installed on top of the packages of
    ``beneath``; see bench.builds.revisions. Raises UserError if a name means nothing, or more than one of these, before
    anything is installed; and as ``depending``, once the first of two revisions tells that of both.
    """
    meanings = [named(word, known, folder) for word in words]
    both: list[Side | Store] = []
    for word, meant in zip(words, meanings, strict=True):
        side = _installed(word, meant, beneath, packages, tell) if isinstance(meant, Revision) else meant
        if not both and isinstance(meant, Revision) and isinstance(side, Side) and side.is_installed and all(
            isinstance(other, Revision) and revisions.are_packaged_alike(meant, other) for other in meanings
        ):
            depending(sweeps, (side,), suite)
        both.append(side)
    return both


def named(word: str, known: dict[str, Build], folder: Path) -> Side | Store | Revision:
    """What a name of a side means; raises UserError if it is nothing, or more than one thing."""
    kind, colon, name = word.partition(":")
    if not colon or kind not in KINDS:
        kind, name = "", word
    revision = revisions.find(name, folder) if kind in ("", "rev") else None
    fitting = {
        "build": kind in ("", "build") and name in known,
        "results": kind in ("", "results") and (folder / name / RECORDS).is_dir(),
        "rev": revision is not None,
    }
    kinds = [kind for kind, fits in fitting.items() if fits]
    if not kinds:
        raise unknown(kind or "build, results folder or git revision", name, known)
    if len(kinds) > 1:
        raise UserError(f"'{word}' is a {' and a '.join(kinds)}; write {' or '.join(f'{k}:{word}' for k in kinds)}")
    if kinds == ["build"]:
        return Side(name=word, build=known[name])
    return existing(folder / name) if revision is None else revision


def _installed(
    word: str, revision: Revision, beneath: Build, packages: Sequence[str], tell: Callable[[str], None]
) -> Side:
    shipped = revisions.worker_files(revision)
    if shipped is not None:
        return Side(name=word, build=replace(beneath, name=revision.name), shipped=shipped)
    try:
        return Side(
            name=word, build=revisions.installed(revision, beneath, packages, tell), is_installed=True
        )
    except UserError as error:
        return Side(name=word, build=replace(beneath, name=revision.name), problem=str(error))


def depending(
    sweeps: Sequence[Sweep], sides: Sequence[Side | Store], suite: str
) -> tuple[tuple[Sweep, ...], tuple[str, ...]]:
    """The part of the sweeps in which the sides can differ, and notes about what was left out.

    Our networks run in a framework. If no framework uses a project, its commits cannot change what is measured, and
    every verdict would be "same". Raises UserError if that is so for all sweeps.
    """
    made = [each.build for each in sides if isinstance(each, Side) and each.is_installed]
    if not made or any(isinstance(each, Side) and each.problem is not None for each in sides):
        return tuple(sweeps), ()
    imports = {name: frameworks.load(name).IMPORTS for sweep in sweeps for name in sweep.frameworks}
    using = frozenset[str]().union(*(revisions.users(build, imports.values()) for build in made))
    idle = sorted(name for name, imported in imports.items() if imported not in using)
    project = made[-1].name.partition(builds_module.OF_REVISION)[0]
    if len(idle) == len(imports):
        raise UserError(
            f"nothing that suite {suite} measures depends on {project}, which is not used by {', '.join(idle)}, so all "
            "its commits would be called the same; compare revisions of a framework or of a package that it imports, "
            "or two builds with the versions that the commits pin (rigmark builds create)"
        )
    kept = (replace(sweep, frameworks=tuple(name for name in sweep.frameworks if name not in idle)) for sweep in sweeps)
    note = NOTE_IDLE.format(project=project, frameworks=", ".join(idle))
    return tuple(sweep for sweep in kept if sweep.frameworks), (note,) if idle else ()


@dataclass
class Attempt:
    """The measurements of one case so far."""

    case: Case
    timing: Timing
    records: list[StoredRecord] = field(default_factory=list)
    profiles: list[StoredRecord] = field(default_factory=list)       # layer trials of both sides
    is_decided: bool = False

    @property
    def cases(self) -> tuple[Attempt]:
        return (self,)

    @property
    def pairs(self) -> list[Pair]:
        return [record.taken for record in self.records if record.taken is not None]

    @property
    def failures(self) -> list[StoredRecord]:
        return [record for record in self.records if record.outcome is not Outcome.OK]

    @property
    def cannot_be_profiled(self) -> bool:
        """Whether timing its layers failed."""
        return any(record.outcome is not Outcome.OK for record in self.profiles)

    @property
    def is_open(self) -> bool:
        """Whether more pairs are needed, and can be measured."""
        failures = self.failures
        fails_again = any(failure.outcome in FAILS_AGAIN for failure in failures)
        return not self.is_decided and not fails_again and len(failures) < FAILURES_AT_MOST

    def log_speed_ups(self, clock: Clock) -> list[float] | None:
        """The logarithm of the speed-up of each pair; None if the clock is not valid for the case."""
        return judging.log_speed_ups(self.case.plain(), self.pairs, clock)

    @property
    def seconds_per_pair(self) -> float:
        """Mean time of a pair so far; 0 before the first."""
        seconds = [record.wall_time_s for record in self.records]
        return sum(seconds) / len(seconds) if seconds else 0.0


class Contest:
    """Measures base and new for the cases of a suite, and judges them."""

    def __init__(
        self, store: Store, base: Side, new: Side, sweeps: Sequence[Sweep], *, suite: str, command: str, session: str,
        budget_s: float, clock: Clock = Clock.WALL, deadline_s: float, only: Callable[[Case], bool] | None = None,
        networks: Networks | None = None, has_causes: bool = True, others: int = 0,
    ):
        """``only`` selects cases; ``networks`` as for a Runner; ``has_causes``: whether causes are told; ``others`` as
        for Rounds. Raises UserError if no case can be paired, or if the clock is not valid for one of them.
        """
        self._store, self._base, self._new = store, base, new
        self._budget_s, self._clock, self._has_causes = budget_s, clock, has_causes
        self.tally = Tally()             # of all that was run
        self._settings: dict[str, Any] = {
            "suite": suite, "command": command, "session": session, "deadline_s": deadline_s, "networks": networks,
        }
        self.attempts = [
            Attempt(case=case, timing=timing) for case, timing in _cases(sweeps, new.build.name)
            if only is None or only(case)
        ]
        if not self.attempts:
            raise UserError(f"suite {suite} has only micro-benchmarks; name a suite with networks")
        self._rounds = Rounds(self.attempts, session=session, budget_s=budget_s, clock=clock, others=others)
        threaded = [a.case.label for a in self.attempts if not judging.is_single_threaded(a.case.plain())]
        if clock is Clock.CPU and threaded:
            raise UserError(f"CPU time measures speed only with one thread on the CPU, not for {threaded[0]}; add "
                            "--threads 1, or leave --clock out")

    def run(self, progress: Progress, monotonic: Callable[[], float] = time.monotonic) -> Verdicts:
        """Measures, then judges. Stored pairs are not measured again; proofs do not count against the budget."""
        if self._base.problem is None and self._new.problem is None:
            with contextlib.ExitStack() as stack:
                base = stack.enter_context(self._runner(self._base))
                compared_with = Base(context=base.context, build=self._base.build.name)
                new = stack.enter_context(self._runner(self._new, compared_with))
                for runner, measured in ((base, self._base), (new, self._new)):
                    self.tally += runner.run(self._proofs(measured.build.name), progress)
                self.decisions(self._budget_s)       # imports what judging needs before the budget starts
                until = monotonic() + self._budget_s
                self._measure(new, progress, until, monotonic)
                if self._has_causes:
                    until = max(until, monotonic() + CAUSE_SHARE * self._budget_s)
                    self._profile({BASE: base, NEW: new}, progress, until, monotonic)
        return self.verdicts()

    def _runner(self, measured: Side, base: Base | None = None) -> Runner:
        passive = replace(measured.build, variables={**measured.build.variables, **pair.PASSIVE})
        known = {DEFAULT_BUILD: builds_module.load()[DEFAULT_BUILD], passive.name: passive}
        return Runner(self._store, known, shipped=measured.shipped, base=base, **self._settings)

    def _proofs(self, build: str) -> list[Trial]:
        cores = len(hardware.usable_cpus())
        return list(dict.fromkeys(
            Trial(kind=TrialKind.PROOF, case=replace(proof_case(attempt.case, cores), build=build))
            for attempt in self.attempts
        ))

    def _measure(
        self, runner: Runner, progress: Progress, until: float, monotonic: Callable[[], float]
    ) -> None:
        def pair(attempt: Attempt, is_in_time: bool) -> bool:
            trial = Trial(
                kind=TrialKind.PAIR, case=attempt.case, repetition=len(attempt.records), timing=attempt.timing
            )
            if not is_in_time and runner.key(trial) not in self._store:
                return False
            tally = runner.run([trial], progress)
            self.tally += tally
            if tally.stored or tally.already_there:
                attempt.records.append(self._store.get(runner.key(trial)))
            return True

        self._rounds.run(pair, until, monotonic)

    def _profile(
        self, runners: Mapping[str, Runner], progress: Progress, until: float, monotonic: Callable[[], float]
    ) -> None:
        """Times the layers of both sides in pairs, where a case is slower or faster; stored profiles are used again."""
        decided, _ = self._rounds.final()
        changed = [attempt for attempt, decision in zip(self.attempts, decided, strict=True)
                   if decision and decision.verdict in (Verdict.SLOWER, Verdict.FASTER)]
        longest_s = 0.0
        for attempt in changed:                  # one after the other: half of the pairs that it takes tell nothing
            for repetition in range(PROFILES):
                coin = random.Random(f"{self._settings['session']}/{repetition}/{attempt.case.label}")
                trials = {side: self._profile_trial(attempt, side, repetition) for side in coin.sample(SIDES, 2)}
                is_stored = all(runners[side].is_settled(trial) for side, trial in trials.items())
                if attempt.cannot_be_profiled or (not is_stored and monotonic() + longest_s > until):
                    continue
                started = monotonic()
                for side, trial in trials.items():
                    tally = runners[side].run([trial], progress)
                    self.tally += tally
                    if tally.stored or tally.already_there:
                        attempt.profiles.append(self._store.get(runners[side].key(trial)))
                longest_s = max(longest_s, monotonic() - started)

    def _profile_trial(self, attempt: Attempt, side: str, repetition: int) -> Trial:
        build = (self._base if side == BASE else self._new).build.name
        timing = {name: min(most, getattr(attempt.timing, name)) for name, most in PROFILE.items()}
        return Trial(
            kind=TrialKind.LAYERS, case=replace(attempt.case, build=build), repetition=repetition,
            timing=replace(attempt.timing, **timing),
        )

    def decisions(self, left_s: float, clock: Clock | None = None) -> list[Decision | None]:
        """The decisions on all cases, judged together; see Rounds.decisions."""
        return self._rounds.decisions(left_s, clock)

    def verdicts(self) -> Verdicts:
        """The verdicts on what was measured so far; see Rounds.final."""
        cases = [
            self._case_verdict(attempt, decision, twin)
            for attempt, decision, twin in zip(self.attempts, *self._rounds.final(), strict=True)
        ]
        return Verdicts(base=self._base.name, new=self._new.name, cases=tuple(cases), notes=(NOTE_TURNS,))

    def _case_verdict(self, attempt: Attempt, decision: Decision | None, twin: Decision | None) -> CaseVerdict:
        # The sides differ in their build.
        case = {axis: value for axis, value in attempt.case.plain().items() if axis != "build"}
        label = case_label(case)
        failure = next(((record.outcome, record.reason) for record in attempt.failures), None)
        for name, measured in ((BASE, self._base), (NEW, self._new)):
            if measured.problem is not None:
                failure = Outcome.BUILD_BROKEN, f"{name}: {measured.problem}"
        why = None if failure is None else f"{failure[0]}: {failure[1]}"
        has_failed = failure is not None and failure[0] not in PLANNED_GAPS
        if not attempt.pairs:
            reason = why or "the budget was spent before its first pair"
            return CaseVerdict(label=label, facts=case, verdict=None, reason=reason, has_failed=has_failed)
        if decision is None:
            return CaseVerdict(label=label, facts=case, verdict=None, reason=tr(judging.BLIND_CLOCK), has_failed=True)
        identity = attempt.records[-1].identity
        verdict = judging.case_verdict(
            label, case, attempt.pairs, decision, twin, clock=self._clock,
            has_failed=has_failed, seconds_per_pair=attempt.seconds_per_pair,
            differs=judging.differences(identity),
            doubts=[f"{len(attempt.failures)} of {len(attempt.records)} pairs failed, {why}"] if why else [],
        )
        if not self._has_causes:
            return verdict
        return with_cause(verdict, identity, attempt.pairs, attempt.profiles, self._clock)


def _cases(sweeps: Sequence[Sweep], build: str) -> list[tuple[Case, Timing]]:
    """Every case once, with the timing of the first sweep that has it."""
    cores = len(hardware.usable_cpus())
    timings: dict[Case, Timing] = {}
    for sweep in sweeps:
        for case in replace(sweep, builds=(build,)).cases(cores):
            if not case.is_limit:
                timings.setdefault(case, replace(sweep.timing, start_method=StartMethod.SPAWN))
    return list(timings.items())


def against_stored(
    store: Store, base: Store, new: Side, sweeps: Sequence[Sweep], *, names: tuple[str, str], suite: str, command: str,
    session: str, budget_s: float, deadline_s: float, progress: Progress, networks: Networks | None = None,
) -> tuple[Verdicts, Tally]:
    """The verdicts against stored trials as the base, and what was run.

    The new side is timed, one repetition after another, within the budget.
    """
    if new.problem is not None:
        raise UserError(new.problem)
    known = {**builds_module.load(), new.build.name: new.build}
    trials = plan(
        [replace(sweep, builds=(new.build.name,), layers=False) for sweep in sweeps],
        cores=len(hardware.usable_cpus()), seed=session, limited_builds=builds_module.limited_builds(known),
    )
    measured: set[str] = set()
    with Runner(
        store, known, suite=suite, command=command, session=session, deadline_s=deadline_s, shipped=new.shipped,
        networks=networks,
    ) as runner:
        tally = runner.run([trial for trial in trials if trial.kind == TrialKind.PROOF], progress)
        until = time.monotonic() + budget_s
        for trial in trials:
            if trial.kind == TrialKind.PROOF:
                continue
            if measured and time.monotonic() > until:
                break
            tally += runner.run([trial], progress)
            measured.add(runner.key(trial))
    old, now = (each.trials() for each in (base, store))
    tables: list[pd.DataFrame] = [
        table.assign(results=str(each.root.resolve()))
        for each, table in ((base, old.table), (store, now.table[now.table.id.isin(measured)]))
    ]
    verdicts = compare_sides(
        *tables, names=names, may_differ=across(["build"]), problems=tuple(dict.fromkeys(old.problems + now.problems)),
    )
    return replace(verdicts, notes=(*verdicts.notes, NOTE_UNPAIRED)), tally
