"""Is the new one slower than the base? Pairs that take turns, more of them only where that is still open.

A side is a build of builds.toml or a git revision of the user's project. Every case of a suite gets a pair, in an order
drawn from the session's name, then another, until its verdict is final or the budget is spent. Verdicts are made at
the numbers of pairs that bench.analysis.statistics.decision names, so that stopping early costs no truth. Every pair
is stored at once: the same command goes on from there.

Where the base is a folder of stored results, nothing can be paired: the new side is timed as ``rigmark run`` does it.
"""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from rigmark.bench.analysis.comparison import pairs as judging
from rigmark.bench.analysis.comparison.sides import across, case_label, compare_sides
from rigmark.bench.analysis.comparison.verdicts import CaseVerdict, Verdicts
from rigmark.bench.analysis.statistics.decision import LOOKS, Decision, decide_all
from rigmark.bench.builds import build as builds_module
from rigmark.bench.builds import revisions
from rigmark.bench.builds.build import Build
from rigmark.bench.builds.variables import with_variables
from rigmark.bench.builds.worker_package import Files
from rigmark.bench.document.language import tr
from rigmark.bench.enums import PLANNED_GAPS, Clock, Outcome, StartMethod, TrialKind
from rigmark.bench.errors import UserError, unknown
from rigmark.bench.machine import hardware
from rigmark.bench.plan.case import DEFAULT_BUILD, Case, Timing
from rigmark.bench.plan.schedule import Trial, plan, proof_case
from rigmark.bench.plan.sweep import Sweep
from rigmark.bench.runner.runner import FAILS_AGAIN, Runner
from rigmark.bench.runner.tally import Progress
from rigmark.bench.store.record import BASE, NEW
from rigmark.bench.store.store import RECORDS, Store, existing
from rigmark.bench.trials.context import Base
from rigmark.bench.trials.kinds import pair
from rigmark.bench.worker import frameworks

FAILURES_AT_MOST = 3         # of the pairs of a case, before no more are started
NOTE_TURNS = "Both sides took turns in pairs of fresh processes; such step times are for verdicts, not for publishing."
NOTE_UNPAIRED = ("The base is stored results, so nothing is paired: the sides were measured at different times, and "
                 "what changed on the machine in between passes for a difference. rigmark compare judges the same "
                 "trials, and takes --across.")

NOTE_IDLE = "{project} is not used by {frameworks}, whose cases were left out: no commit of it can change them."

KINDS = ("build", "results", "rev")


@dataclass(frozen=True, kw_only=True)
class Side:
    """One of the two that are compared."""

    name: str                                    # as the user named it
    build: Build                                 # whose name identifies it in records
    shipped: Files | None = None     # the worker package of another revision of Rigmark
    problem: str | None = None                   # why it could not be made
    is_installed: bool = False                   # it is a revision of another project than Rigmark


def side(
    word: str, known: dict[str, Build], *, folder: Path, beneath: Build, packages: Sequence[str],
    tell: Callable[[str], None],
) -> Side | Store:
    """What a user's word stands for: a build, a git revision of the project in ``folder``, or a store of results.

    ``build:``, ``rev:`` or ``results:`` before it says which. A revision is installed over the packages of ``beneath``;
    see bench.builds.revisions. Raises UserError where it is nothing, or more than one of them.
    """
    kind, colon, name = word.partition(":")
    if not colon or kind not in KINDS:
        kind, name = "", word
    revision = revisions.find(name, folder) if kind in ("", "rev") else None
    fitting = {
        "build": kind in ("", "build") and name in known,
        "results": kind in ("", "results") and (folder / name / RECORDS).is_dir(),
        "rev": revision is not None,
    }
    found = [kind for kind, fits in fitting.items() if fits]
    if not found:
        raise unknown(kind or "build, results folder or git revision", name, known)
    if len(found) > 1:
        raise UserError(f"'{word}' is a {' and a '.join(found)}; write {' or '.join(f'{k}:{word}' for k in found)}")
    if found == ["build"]:
        return Side(name=word, build=known[name])
    if revision is None:
        return existing(folder / name)
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
    """The part of the sweeps that the sides can differ in, and a note for what was left out.

    Our networks run in a framework. So the commits of a project that no framework uses cannot change what is measured,
    and "the same" would be said of anything. Raises UserError where that holds for all of it.
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
            f"nothing that suite {suite} measures depends on {project}: it is not used by {', '.join(idle)}, so that "
            "all its commits would be called the same; compare revisions of a framework, or of what one imports, or "
            "two builds with what the commits pin (rigmark builds create)"
        )
    kept = (replace(sweep, frameworks=tuple(name for name in sweep.frameworks if name not in idle)) for sweep in sweeps)
    note = NOTE_IDLE.format(project=project, frameworks=", ".join(idle))
    return tuple(sweep for sweep in kept if sweep.frameworks), (note,) if idle else ()


@dataclass
class Attempt:
    """What is known of one case so far."""

    case: Case
    timing: Timing
    records: list[dict[str, Any]] = field(default_factory=list)
    is_decided: bool = False

    @property
    def pairs(self) -> list[dict[str, Any]]:
        return [record["pair"] for record in self.records if record["outcome"] == Outcome.OK]

    @property
    def failures(self) -> list[dict[str, Any]]:
        return [record for record in self.records if record["outcome"] != Outcome.OK]

    @property
    def is_open(self) -> bool:
        """More pairs are wanted, and can be had."""
        failures = self.failures
        fails_again = any(Outcome(failure["outcome"]) in FAILS_AGAIN for failure in failures)
        return not self.is_decided and not fails_again and len(failures) < FAILURES_AT_MOST

    def log_speed_ups(self, clock: Clock) -> list[float] | None:
        """One for each pair; None where the clock tells nothing of the case."""
        return judging.log_speed_ups(self.case.plain(), self.pairs, clock)

    @property
    def seconds_per_pair(self) -> float:
        """Mean over all so far; 0 before the first."""
        seconds = [record["wall_time_s"] for record in self.records]
        return sum(seconds) / len(seconds) if seconds else 0.0


class Contest:
    """Base against new over the cases of a suite."""

    def __init__(
        self, store: Store, base: Side, new: Side, sweeps: Sequence[Sweep], *, suite: str, command: str, session: str,
        budget_s: float, clock: Clock = Clock.WALL, deadline_s: float, only: Callable[[Case], bool] | None = None,
    ):
        """``only``: which cases take part. Raises UserError where none can be paired, or where the clock tells nothing
        of one.
        """
        self._store, self._base, self._new = store, base, new
        self._session, self._budget_s, self._clock = session, budget_s, clock
        self._left_s = budget_s
        self._settings: dict[str, Any] = {
            "suite": suite, "command": command, "session": session, "deadline_s": deadline_s,
        }
        self.attempts = [
            Attempt(case=case, timing=timing) for case, timing in _cases(sweeps, new.build.name)
            if only is None or only(case)
        ]
        if not self.attempts:
            raise UserError(f"suite {suite} has limits of the machine only; name one with networks")
        threaded = [a.case.label for a in self.attempts if not judging.is_single_threaded(a.case.plain())]
        if clock is Clock.CPU and threaded:
            raise UserError(f"CPU time stands for speed with one thread on the CPU only, not for {threaded[0]}; add "
                            "--threads 1, or leave --clock out")

    def run(self, progress: Progress, monotonic: Callable[[], float] = time.monotonic) -> Verdicts:
        """Measure, and judge at the end. What is stored already is not measured again; proofs cost no budget."""
        if self._base.problem is None and self._new.problem is None:
            with contextlib.ExitStack() as stack:
                base = stack.enter_context(self._runner(self._base))
                compared_with = Base(context=base.context, build=self._base.build.name)
                new = stack.enter_context(self._runner(self._new, compared_with))
                for runner, measured in ((base, self._base), (new, self._new)):
                    runner.run(self._proofs(measured.build.name), progress)
                self.decisions(self._budget_s)       # loads what judging needs, before the clock runs
                self._measure(new, progress, monotonic() + self._budget_s, monotonic)
        return self.verdicts()

    def _runner(self, measured: Side, base: Base | None = None) -> Runner:
        passive = with_variables(measured.build, pair.PASSIVE)
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
        """Rounds in which every open case gets a pair."""
        self._left_s = self._budget_s        # once more, where the budget ends before all is decided
        for number in range(LOOKS[-1] + FAILURES_AT_MOST):
            for attempt, decision in zip(self.attempts, self.decisions(until - monotonic()), strict=True):
                attempt.is_decided = decision is None or decision.is_final
            still = [attempt for attempt in self.attempts if attempt.is_open]
            if not still:
                self._left_s = max(0.0, until - monotonic())
                return
            random.Random(f"{self._session}/{number}").shuffle(still)
            for attempt in still:
                trial = Trial(
                    kind=TrialKind.PAIR, case=attempt.case, repetition=len(attempt.records), timing=attempt.timing
                )
                is_stored = runner.key(trial) in self._store
                if not is_stored and monotonic() + attempt.seconds_per_pair > until:
                    return
                tally = runner.run([trial], progress)
                attempt.records += [record.plain() for record in tally.stored] or tally.already_there

    def decisions(self, left_s: float, clock: Clock | None = None) -> list[Decision | None]:
        """Of every case, judged together, as far as ``left_s`` more seconds allow; None where the clock tells nothing.
        """
        round_s = sum(attempt.seconds_per_pair for attempt in self.attempts if attempt.is_open)
        rounds = int(max(left_s, 0.0) / round_s) if round_s else LOOKS[-1]
        by_attempt = [attempt.log_speed_ups(clock or self._clock) for attempt in self.attempts]
        known = {str(index): values for index, values in enumerate(by_attempt) if values is not None}
        decided = decide_all(known, pairs_at_most={name: len(values) + rounds for name, values in known.items()})
        return [decided.get(str(index)) for index in range(len(self.attempts))]

    def verdicts(self) -> Verdicts:
        """On what is measured so far. Of an open case, the same budget once more would either decide it, so that it
        needs more pairs, or not, so that it is too noisy; one that was given up while there was time left is too noisy.
        """
        decided = self.decisions(self._left_s)
        twins = self.decisions(self._left_s, Clock.CPU) if self._clock is Clock.WALL else [None] * len(decided)
        cases = [
            self._case_verdict(attempt, decision, twin)
            for attempt, decision, twin in zip(self.attempts, decided, twins, strict=True)
        ]
        return Verdicts(base=self._base.name, new=self._new.name, cases=tuple(cases), notes=(NOTE_TURNS,))

    def _case_verdict(self, attempt: Attempt, decision: Decision | None, twin: Decision | None) -> CaseVerdict:
        # The sides differ in the build.
        case = {axis: value for axis, value in attempt.case.plain().items() if axis != "build"}
        label = case_label(case)
        failure = next(iter(attempt.failures), None)
        for name, measured in ((BASE, self._base), (NEW, self._new)):
            if measured.problem is not None:
                failure = {"outcome": Outcome.BUILD_BROKEN, "reason": f"{name}: {measured.problem}"}
        said = None if failure is None else f"{failure['outcome']}: {failure['reason']}"
        has_failed = failure is not None and Outcome(failure["outcome"]) not in PLANNED_GAPS
        if not attempt.pairs:
            reason = said or "the budget was spent before its first pair"
            return CaseVerdict(label=label, facts=case, verdict=None, reason=reason, has_failed=has_failed)
        if decision is None:
            return CaseVerdict(label=label, facts=case, verdict=None, reason=tr(judging.BLIND_CLOCK), has_failed=True)
        identity = attempt.records[-1]["identity"]
        return judging.case_verdict(
            label, case, attempt.pairs, decision, twin, clock=self._clock,
            has_failed=has_failed, seconds_per_pair=attempt.seconds_per_pair,
            differs=judging.differences(identity),
            doubts=[f"{len(attempt.failures)} of {len(attempt.records)} pairs failed, {said}"] if said else [],
        )


def _cases(sweeps: Sequence[Sweep], build: str) -> list[tuple[Case, Timing]]:
    """Every network once, as the first sweep times it that has it."""
    cores = len(hardware.usable_cpus())
    found: dict[Case, Timing] = {}
    for sweep in sweeps:
        for case in replace(sweep, builds=(build,)).cases(cores):
            if not case.is_limit:
                found.setdefault(case, replace(sweep.timing, start_method=StartMethod.SPAWN))
    return list(found.items())


def against_stored(
    store: Store, base: Store, new: Side, sweeps: Sequence[Sweep], *, names: tuple[str, str], suite: str, command: str,
    session: str, budget_s: float, deadline_s: float, progress: Progress,
) -> Verdicts:
    """The verdicts where the base is stored trials: the new side is timed, repetition by repetition, in the budget."""
    if new.problem is not None:
        raise UserError(new.problem)
    known = {**builds_module.load(), new.build.name: new.build}
    trials = plan(
        [replace(sweep, builds=(new.build.name,), layers=False) for sweep in sweeps],
        cores=len(hardware.usable_cpus()), seed=session, held_builds=builds_module.held_builds(known),
    )
    measured: set[str] = set()
    with Runner(
        store, known, suite=suite, command=command, session=session, deadline_s=deadline_s, shipped=new.shipped
    ) as runner:
        runner.run([trial for trial in trials if trial.kind is TrialKind.PROOF], progress)
        until = time.monotonic() + budget_s
        for trial in trials:
            if trial.kind is TrialKind.PROOF:
                continue
            if measured and time.monotonic() > until:
                break
            runner.run([trial], progress)
            measured.add(runner.key(trial))
    old, now = (each.trials() for each in (base, store))
    tables: list[pd.DataFrame] = [
        table.assign(results=str(each.root.resolve()))
        for each, table in ((base, old.table), (store, now.table[now.table.id.isin(measured)]))
    ]
    verdicts = compare_sides(
        *tables, names=names, may_differ=across(["build"]), problems=tuple(dict.fromkeys(old.problems + now.problems)),
    )
    return replace(verdicts, notes=(*verdicts.notes, NOTE_UNPAIRED))
