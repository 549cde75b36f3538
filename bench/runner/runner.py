"""Runs a plan: measures the trials that are not stored yet, one after another, and stores a record of each."""

from __future__ import annotations

import itertools
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from rigmark.bench.builds.build import Build
from rigmark.bench.builds.worker_package import Files
from rigmark.bench.enums import Outcome
from rigmark.bench.errors import UserError
from rigmark.bench.host import limits as host
from rigmark.bench.launch.launcher import Launcher
from rigmark.bench.launch.workers import DEFAULT_DEADLINE_S, Workers
from rigmark.bench.machine import hardware, system
from rigmark.bench.machine.node import node
from rigmark.bench.networks import Networks
from rigmark.bench.plan.case import Case
from rigmark.bench.plan.schedule import Trial
from rigmark.bench.runner.budget import Budget
from rigmark.bench.runner.tally import Progress, Silent, Tally
from rigmark.bench.store.reading import LeftOut
from rigmark.bench.store.record import Identity, Record, key_of
from rigmark.bench.store.store import Store
from rigmark.bench.store.stored import StoredRecord
from rigmark.bench.telemetry.recorder import Recording
from rigmark.bench.trials.context import Base, Context
from rigmark.bench.trials.inputs import Inputs
from rigmark.bench.trials.instruction_sets import Watch
from rigmark.bench.trials.kinds import Kinds
from rigmark.bench.trials.oracle import Oracle

FAILS_AGAIN = frozenset(
    {
        Outcome.UNSUPPORTED, Outcome.NOT_INSTALLED, Outcome.BUILD_BROKEN, Outcome.OUT_OF_MEMORY, Outcome.TIMEOUT,
        Outcome.PARITY_FAILED,
    }
)
"""Outcomes that would only occur again in the next repetition of the same case, which is therefore not started."""


MAY_PASS_NEXT_TIME = frozenset({Outcome.TIMEOUT, Outcome.CRASHED, Outcome.OUT_OF_MEMORY, Outcome.BUILD_BROKEN})
"""Failures that may not occur again: the next run of the same command repeats the trial and replaces the record."""


class Runner:
    """Measures trials and stores them. Use it as a context manager, which removes its working folder.

    ``shipped`` replaces our worker package by that of another revision; the oracle is always ours. Pairs need ``base``.
    ``networks`` has those that the user brought; None: there are none.
    """

    def __init__(
        self, store: Store, builds: Mapping[str, Build], *, suite: str, command: str, session: str = "1",
        deadline_s: float = DEFAULT_DEADLINE_S, launcher: Launcher | None = None, telemetry: bool = True,
        telemetry_rate_hz: float | None = None, shipped: Files | None = None, base: Base | None = None,
        networks: Networks | None = None,
    ):
        self._store = store
        self._node = node(store.salt)
        self._suite = suite
        self._command = command
        self._session = session
        self._base = base
        self._networks = networks
        self._run_id = uuid.uuid4().hex[:12]
        self._workers = Workers(
            builds, cache=store.cache, deadline_s=deadline_s, launcher=launcher, telemetry=telemetry,
            telemetry_rate_hz=telemetry_rate_hz, shipped=shipped,
        )

    def __enter__(self) -> Runner:
        self._workers.__enter__()
        inputs = Inputs(self._workers.folder, self._networks)
        self.context = Context(
            store=self._store, workers=self._workers, inputs=inputs,
            oracle=Oracle(self._store, inputs, self._workers.ask_oracle), instruction_sets=Watch(self._workers),
            node=self._node.id, session=self._session, base=self._base,
        )
        self._kinds = Kinds(self.context)
        return self

    def __exit__(self, *error: object) -> None:
        self._workers.__exit__(*error)

    def identity(self, trial: Trial) -> Identity:
        """The identity of a trial on this machine, with the build as it is installed now."""
        return self._kinds.of(trial.kind).identity(trial)

    def key(self, trial: Trial) -> str:
        """The key under which this machine stores a trial."""
        return self._key(self.identity(trial))

    def _key(self, identity: Identity) -> str:
        return key_of(identity.id, self._node.id)

    def run(
        self, trials: Sequence[Trial], progress: Progress | None = None, *, budget_s: float | None = None
    ) -> Tally:
        """Measures every trial that is not stored yet; each record is on disk before the next trial starts.

        Repetitions that do not fit into ``budget_s`` seconds are not started; None: there is no limit.
        Cases are limited to the instruction sets of their builds. Raises UserError if a case asks for another one, and
        reading.TooNew if the record of a trial is from a later Rigmark; both before anything is measured.
        """
        progress = progress or Silent()
        tally = Tally()
        ended: set[Case] = set()
        budget = Budget(budget_s)
        started = time.monotonic()
        trials = [self._kinds.of(trial.kind).resolved(trial) for trial in trials]
        with self._store.measuring():
            for trial in trials:
                self._store.keep_newer(self.key(trial))
            for index, trial in enumerate(trials):
                kind = self._kinds.of(trial.kind)
                if kind.ends_with_its_case and trial.case in ended:
                    tally.not_started += 1
                    continue
                identity = kind.identity(trial)
                known = self._known(identity, tally)
                if known is not None and known.outcome not in MAY_PASS_NEXT_TIME:
                    outcome = known.outcome
                    tally.already_there.append(known)
                    record = None
                elif not budget.fits(trial):
                    tally.beyond_budget += 1
                    continue
                else:
                    progress.before(trial, index, len(trials))
                    record = self._measure(trial, identity, known)
                    self._store.put(record, instead_of=known)
                    outcome = record.outcome
                    tally.stored.append(record)
                    tally.stepping_time_s += kind.stepping_time_s(record)
                self._forget_unanswered(identity)
                progress.after(trial, record)
                if kind.ends_its_case and outcome in FAILS_AGAIN:
                    ended.add(trial.case)
        tally.wall_time_s = time.monotonic() - started
        return tally

    def _known(self, identity: Identity, tally: Tally) -> StoredRecord | None:
        """The stored record of a trial; None if there is none, or if it cannot be read and must be measured again."""
        try:
            return self._store.find(self._key(identity))
        except LeftOut as error:
            tally.damaged.append(error.what)
            return None

    def _forget_unanswered(self, identity: Identity) -> None:
        """Removes the record of a trial that was stored while its build did not start, now that it does.

        The contents of a build are part of a trial's identity, so no later attempt would replace that record.
        """
        asked = [identity.build, *([] if identity.base is None else [identity.base])]
        for silent in itertools.product((False, True), repeat=len(asked)):
            build, *base = (_unanswered(each) if is_silent else each
                            for each, is_silent in zip(asked, silent, strict=True))
            other = replace(identity, build=build, base=base[0] if base else None)
            if other.id != identity.id:
                self._store.forget_failed(self._key(other))

    def is_settled(self, trial: Trial) -> bool:
        """Whether a record is stored that makes measuring this trial unnecessary."""
        known = self._known(self.identity(trial), Tally())
        return known is not None and known.outcome not in MAY_PASS_NEXT_TIME

    def _measure(self, trial: Trial, identity: Identity, known: StoredRecord | None) -> Record:
        """Measures a trial; ``known`` is the record that the new one replaces, or None."""
        case, kind = trial.case, self._kinds.of(trial.kind)
        load_before, described = hardware.load_average(), system.described()
        recorded_at = host.now().isoformat(timespec="seconds")
        self._workers.get_ready()
        started = time.monotonic()
        answer = kind.measure(trial)
        world = answer.result.pop("world", None)
        telemetry = None if answer.recording is None else self._stored_telemetry(answer.recording, identity, known)
        wall_time_s = time.monotonic() - started         # before the fields are computed, for which workers may start
        return Record(
            identity=identity, suite=self._suite, run_id=self._run_id, command=self._command,
            recorded_at=recorded_at, outcome=answer.outcome, reason=answer.reason, last_words=answer.last_words,
            interpreter=self._workers.probe(case.build).build.interpreter,
            machine=hardware.machine().plain(), node=self._node.id, boot=self._node.boot, system=described,
            telemetry=telemetry, load_before=load_before, wall_time_s=wall_time_s,
            cpus=self._workers.cpus_of(case), world=world, **kind.subject(case), **kind.fields(trial, answer),
        )

    def _stored_telemetry(
        self, recording: Recording, identity: Identity, known: StoredRecord | None
    ) -> dict[str, Any]:
        """The telemetry of a record, after its series was stored beside it."""
        block = recording.block
        try:
            self._store.keep_other(self._key(identity), known)       # the series belongs to that record too
            return block | {"series": self._store.put_series(self._key(identity), recording.write_parquet)}
        except (OSError, MemoryError, UserError) as error:     # a measurement must not be lost because of this
            return block | {"problem": block["problem"] or f"its series could not be stored: {error}"}


def _unanswered(build: Mapping[str, Any]) -> dict[str, Any]:
    """The facts of the same build as they are if it does not start."""
    return {**build, "python": None, "framework_version": None, "packages": dict.fromkeys(build["packages"])}
