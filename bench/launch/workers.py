"""Starts the workers of a sweep: in their builds, on their cores, spawned or forked, alone or as a world."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from rigmark.bench import devices
from rigmark.bench.builds import build as builds_module
from rigmark.bench.builds import worker_package
from rigmark.bench.builds.build import Build
from rigmark.bench.enums import TIMED, Implementation, Outcome, StartMethod, TrialKind
from rigmark.bench.host.workfolder import working_folder
from rigmark.bench.launch import ranks as world
from rigmark.bench.launch.here import Here
from rigmark.bench.launch.launcher import Launcher
from rigmark.bench.machine import hardware, isa
from rigmark.bench.plan.case import DEFAULT_BUILD, Case
from rigmark.bench.plan.schedule import Trial
from rigmark.bench.processes import probe
from rigmark.bench.processes.launch import Fork, Launch
from rigmark.bench.processes.persistent import LiveWorker
from rigmark.bench.processes.spawn import ARRAYS, Answer, Listener, not_run
from rigmark.bench.telemetry.recorder import Recorder
from rigmark.bench.worker import frameworks, strategies

DEFAULT_DEADLINE_S = 600.0

NO_VARIABLES: Mapping[str, str] = MappingProxyType({})

Arrays = dict[str, Any]
"""The arrays of a worker's answer by name; empty if it failed."""


@dataclass(frozen=True, kw_only=True)
class Probed:
    """What a worker found out about a build."""

    build: Build
    facts: dict[str, Any]            # Python and package versions; empty if it does not start
    failure: tuple[Outcome, str] | None


@dataclass(frozen=True)
class Member:
    """Reports the process of a rank to a recorder, but no marks: barriers make those of rank 0 valid for all ranks."""

    recorder: Recorder

    def started(self, pid: int) -> None:
        self.recorder.started(pid)

    def marked(self, name: str, at_s: float) -> None:
        pass


class Workers:
    """Starts workers and returns their answers. Use it as a context manager, which removes its working folder.

    ``cache`` is a folder for programs that frameworks compile. ``launcher`` starts all workers; None: on this machine.
    ``shipped`` replaces our worker package by that of another revision.
    """

    def __init__(
        self, builds: Mapping[str, Build], *, cache: Path, deadline_s: float = DEFAULT_DEADLINE_S,
        launcher: Launcher | None = None, telemetry: bool = True, telemetry_rate_hz: float | None = None,
        shipped: worker_package.Files | None = None,
    ):
        self.cpus = hardware.usable_cpus()
        self._launcher = Here() if launcher is None else launcher
        self._builds = dict(builds)
        self._cache = cache
        self._deadline_s = deadline_s
        self._telemetry = telemetry
        self._telemetry_rate_hz = telemetry_rate_hz      # None: the usual rate of each source
        self._recorder: Recorder | None = None           # None: telemetry is off
        self._shipped = shipped
        self._probed: dict[str, Probed] = {}
        self._open: contextlib.ExitStack = contextlib.ExitStack()

    def __enter__(self) -> Workers:
        self.folder = self._open.enter_context(working_folder())
        self._own_package = worker_package.write(self.folder)
        self._package = self._own_package if self._shipped is None else worker_package.write(
            self._new_folder(), self._shipped
        )
        if self._telemetry:
            self._recorder = Recorder(self.folder, self._telemetry_rate_hz)
            self._open.callback(self._recorder.close)
        return self

    def __exit__(self, *error: object) -> None:
        self.release()
        self._open.close()

    def release(self) -> None:
        """Ends the fork servers; the next fork starts a new one."""
        self._launcher.release()

    def _new_folder(self) -> Path:
        return Path(tempfile.mkdtemp(dir=self.folder))

    # Builds ---------------------------------------------------------------------------------------------------------

    def probe(self, name: str) -> Probed:
        """Python and package versions of a build, found out once."""
        if name not in self._probed:
            build = builds_module.find(name, self._builds)
            answer, _ = self._run(self._launch(build, self.cpus[:1]), probe.job())
            self._probed[name] = Probed(build=build, facts=answer.result, failure=probe.failure(answer))
        return self._probed[name]

    def resolved(self, case: Case) -> Case:
        """The case with the instruction set of its build; raises UserError if it asks for another one."""
        return builds_module.with_isa_of_build(case, self._builds)

    def variables(self, case: Case) -> dict[str, str]:
        """The environment variables of a worker of this case that may change results."""
        return hardware.variables(self.launch(case).environment, case.device)

    def code_version(self) -> str:
        """The version of the code that every trial runs."""
        return worker_package.code_version(self._content())

    def adapter_version(self, case: Case) -> str:
        """The version of the code of this case's framework and strategy."""
        return worker_package.adapter_version(
            self._content(), case.framework, strategies.parse(case.strategy).name,
            runs_original=case.implementation is Implementation.AS_WRITTEN,
        )

    def _content(self) -> worker_package.Files:
        return worker_package.files() if self._shipped is None else self._shipped

    # Places ---------------------------------------------------------------------------------------------------------

    def cpus_of(self, case: Case) -> list[int]:
        """The cores that all processes of a case are limited to."""
        return sorted({cpu for place in self._launcher.places(case) for cpu in place.cpus})

    def nodes(self, case: Case) -> int:
        """The number of machines on which the processes of a case run."""
        return len({place.host for place in self._launcher.places(case)})

    # Answers --------------------------------------------------------------------------------------------------------

    def obstacle(self, case: Case) -> Answer | None:
        """Why no worker can run this case, as far as known without trying; None if one may be able to."""
        if failure := self.probe(case.build).failure:
            return not_run(*failure)
        refusal = isa.refusal(case.framework, case.isa, case.device, hardware.cpu_features())
        refusal = refusal or devices.refusal(case.framework, case.device, frameworks.load(case.framework).DEVICES)
        refusal = self._launcher.refusal(case) or refusal or strategies.parse(case.strategy).refusal()
        return not_run(Outcome.UNSUPPORTED, refusal) if refusal else None

    def get_ready(self) -> None:
        """Call this before a trial: it starts the sampler, so that no timed trial waits for it."""
        if self._recorder is not None:
            self._recorder.start()

    def ask_oracle(self, job: Mapping[str, Any]) -> tuple[Answer, Arrays]:
        """The answer of the oracle, which runs in our own NumPy on all cores."""
        launch = self._launch(self._builds[DEFAULT_BUILD], self.cpus)
        return self._run(replace(launch, package=self._own_package), job)

    def ask(
        self, trial: Trial, job: Mapping[str, Any], *, variables: Mapping[str, str] = NO_VARIABLES,
        is_recorded: bool = True,
    ) -> tuple[Answer, Arrays]:
        """A worker's answer for a trial of one process, and its arrays; ``variables`` are set in addition.

        The answer includes telemetry if that is on and the trial is recorded.
        """
        launch = replace(self.launch(trial.case, variables), fork=_fork(trial))
        if self._recorder is None or not is_recorded:
            return self._run(launch, job)
        self._recorder.begin(launch.cpus, trial.case.device, launch.environment)
        answer, arrays = self._run(launch, job, listener=self._recorder)
        return replace(answer, recording=self._recorder.end(answer.marks)), arrays

    def ask_world(
        self, trial: Trial, jobs: Sequence[Mapping[str, Any]], *, variables: Mapping[str, str] = NO_VARIABLES,
        is_recorded: bool = True,
    ) -> list[world.RankResult]:
        """As ``ask``, for all processes of a world; the first answer includes the telemetry of all."""
        case, places = trial.case, self._launcher.places(trial.case)
        ranks = world.ranks(case, jobs, places, patience_s=self._deadline_s, address=self._launcher.address)
        launch = replace(self.launch(case, variables), fork=_fork(trial))
        recorder = self._recorder if is_recorded else None

        def start(rank: world.Rank, stop: int) -> world.RankResult:
            listener = Member(recorder) if recorder is not None and rank.index > 0 else recorder
            own = replace(launch, rank=rank.index, cpus=places[rank.index].cpus)
            return self._run(own, rank.job, listener=listener, stop=stop)

        if recorder is None:
            return world.together(start, ranks)
        here = [place.host for place in places].count(places[0].host) * case.devices_per_process
        recorder.begin(self.cpus_of(case), case.device, launch.environment, devices=here)
        (answer, arrays), *others = world.together(start, ranks)
        return [(replace(answer, recording=recorder.end(answer.marks)), arrays), *others]

    def printed(self, case: Case, job: Mapping[str, Any], more: Mapping[str, str]) -> tuple[Answer, str]:
        """The answer of a new worker with additional variables, and what it printed; "" if it failed."""
        with self._directory() as directory:
            answer = self._launcher.start(self.launch(case, more), job, directory)
            is_ok = answer.outcome is Outcome.OK
            return answer, (directory / "stdout").read_text(errors="replace") if is_ok else ""

    def live(self, trial: Trial, job: Mapping[str, Any], *, is_beside: bool) -> LiveWorker:
        """A worker that works on command.

        ``is_beside``: another one starts at the same time, so this one starts on other cores than those of its turns,
        if there are some with the same memory.
        """
        launch, threads = self.launch(trial.case), trial.case.threads
        turns_on, others = launch.cpus, self.cpus[threads:2 * threads]
        is_apart = is_beside and len(others) == threads and hardware.machine().numa_nodes in (1, None)
        launch = replace(launch, cpus=others if is_apart else turns_on)
        return LiveWorker(launch, {"turn_cpus": list(turns_on), **job}, self._new_folder())

    # Processes ------------------------------------------------------------------------------------------------------

    def launch(self, case: Case, more: Mapping[str, str] = NO_VARIABLES) -> Launch:
        """How a worker of a case, or the first of its world, is started: with additional variables, and limited to the
        instruction set of its build.
        """
        level = self.resolved(case).isa
        return self._launch(
            self.probe(case.build).build, self._launcher.places(case)[0].cpus,
            threads=case.threads * case.devices_per_process, more=[more, isa.variables(case.framework, level)],
            isa=level,
        )

    def _launch(self, build: Build, cpus: Sequence[int], *, threads: int | None = None, **more: Any) -> Launch:
        """The launch of a new worker; ``threads`` None: one per core."""
        return Launch.of(
            build, self._package, cpus=cpus, threads=len(cpus) if threads is None else threads,
            deadline_s=self._deadline_s, cache=self._cache, **more,
        )

    def _run(
        self, launch: Launch, job: Mapping[str, Any], *, listener: Listener | None = None, stop: int | None = None
    ) -> tuple[Answer, Arrays]:
        """A worker's answer, and its arrays."""
        with self._directory() as directory:
            answer = self._launcher.start(launch, job, directory, listener=listener, stop=stop)
            arrays: Arrays = {}
            if answer.outcome is Outcome.OK and (path := directory / ARRAYS).exists():
                with np.load(path) as stored:
                    arrays = dict(stored)
            return answer, arrays

    @contextlib.contextmanager
    def _directory(self) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(dir=self.folder) as name:
            yield Path(name)


def _fork(trial: Trial) -> Fork | None:
    """The kind of fork server for the workers of a trial; None if each starts in a new interpreter.

    Proofs may always be forked, since nothing in them is timed. Repetitions share nothing.
    """
    case = trial.case
    is_forked = trial.timing is None or trial.timing.start_method is StartMethod.FORKSERVER
    if not is_forked or not case.device.is_host or not hasattr(os, "fork"):
        return None
    kind = TrialKind.TIMING if trial.kind in TIMED else trial.kind       # timed trials of all kinds are interleaved
    return Fork(group=(kind, trial.repetition), framework=case.framework)
