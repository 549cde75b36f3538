"""Starts the workers of a sweep: in their builds, on their cores, fresh or forked, alone or as a world."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from rigmark.bench.builds import build as builds_module
from rigmark.bench.builds import worker_package
from rigmark.bench.builds.build import Build
from rigmark.bench.builds.variables import environment, with_variables
from rigmark.bench.enums import TIMED, Outcome, StartMethod, TrialKind
from rigmark.bench.host.workfolder import working_folder
from rigmark.bench.launch import ranks as world
from rigmark.bench.launch.agents import Agents
from rigmark.bench.machine import hardware, isa
from rigmark.bench.plan.case import DEFAULT_BUILD, Case
from rigmark.bench.plan.schedule import Trial
from rigmark.bench.processes import probe
from rigmark.bench.processes.forkserver import ForkServer, ForkServers
from rigmark.bench.processes.persistent import LiveWorker
from rigmark.bench.processes.spawn import Answer, Listener, not_run, run_worker
from rigmark.bench.telemetry.recorder import Recorder
from rigmark.bench.worker import strategies

DEFAULT_DEADLINE_S = 600.0

NO_VARIABLES: Mapping[str, str] = MappingProxyType({})

Arrays = dict[str, Any]
"""What a worker left beside its answer, by name; empty where it failed."""


@dataclass(frozen=True, kw_only=True)
class Probed:
    """What a build turned out to be."""

    build: Build
    facts: dict[str, Any]            # Python and package versions; empty where it does not start
    failure: tuple[Outcome, str] | None


@dataclass(frozen=True)
class Member:
    """Tells a recorder of a rank's process, and leaves the marks to the first rank: barriers make them those of all."""

    recorder: Recorder

    def started(self, pid: int) -> None:
        self.recorder.started(pid)

    def marked(self, name: str, at_s: float) -> None:
        pass


class Workers:
    """Starts workers and gives their answers. Use it as a context manager: its working folder goes with it.

    ``cache`` is where what frameworks compile is kept. ``shipped`` replaces our worker package by another revision's.
    """

    def __init__(
        self, builds: Mapping[str, Build], *, cache: Path, deadline_s: float = DEFAULT_DEADLINE_S,
        agents: Agents | None = None, telemetry: bool = True, telemetry_rate_hz: float | None = None,
        shipped: worker_package.Files | None = None,
    ):
        self.cpus = hardware.usable_cpus()
        self.agents = agents             # who starts ranks in our stead, where a launcher started us with others
        self._builds = dict(builds)
        self._cache = cache
        self._deadline_s = deadline_s
        self._telemetry = telemetry
        self._telemetry_rate_hz = telemetry_rate_hz      # None: each source at its own
        self._recorder: Recorder | None = None           # None: off
        self._shipped = shipped
        self._probed: dict[str, Probed] = {}
        self._servers = ForkServers()
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
        self.close_servers()
        self._open.close()

    def close_servers(self) -> None:
        """End the processes that workers are forked from; the next fork starts one anew."""
        self._servers.close()

    def _new_folder(self) -> Path:
        return Path(tempfile.mkdtemp(dir=self.folder))

    # Builds ---------------------------------------------------------------------------------------------------------

    def probe(self, name: str) -> Probed:
        """A build's Python and package versions, asked once."""
        if name not in self._probed:
            build = builds_module.find(name, self._builds)
            answer, _ = self._run(build, probe.job(), threads=1)
            self._probed[name] = Probed(build=build, facts=answer.result, failure=probe.failure(answer))
        return self._probed[name]

    def build_of(self, case: Case, more: Mapping[str, str] = NO_VARIABLES) -> Build:
        """The build of a case, with more variables, and with those that hold its framework to an instruction set."""
        build = with_variables(self.probe(case.build).build, more)
        return with_variables(build, isa.variables(case.framework, self.held(case).isa))

    def held(self, case: Case) -> Case:
        """The case at the instruction set of its build; raises UserError where another one is asked for."""
        return builds_module.held(case, self._builds)

    def variables(self, case: Case) -> dict[str, str]:
        """What a worker of this case finds in its environment, as far as it may change results."""
        threads = case.threads * case.devices_per_process
        return hardware.variables(environment(self.build_of(case), threads), case.device)

    def code_version(self) -> str:
        """Of the code that every trial runs."""
        return worker_package.code_version(self._content())

    def adapter_version(self, case: Case) -> str:
        """Of the code that trials of the framework and strategy of this case run beside it."""
        return worker_package.adapter_version(self._content(), case.framework, strategies.parse(case.strategy).name)

    def _content(self) -> worker_package.Files:
        return worker_package.files() if self._shipped is None else self._shipped

    # Cores ----------------------------------------------------------------------------------------------------------

    def cpus_of(self, case: Case) -> list[int]:
        """The cores that all processes of a case are held to."""
        if case.world_size == 1:
            return list(self.cpus[:case.threads])
        return sorted({cpu for rank in range(case.processes) for cpu in self._cpus_of_rank(case, rank)})

    def _cpus_of_rank(self, case: Case, rank: int) -> list[int]:
        return world.cpus_of(case, rank, self.cpus) if self.agents is None else self.agents.cpus(case, rank)

    def nodes(self, case: Case) -> int:
        """How many machines the processes of a case run on."""
        return 1 if self.agents is None else self.agents.nodes(case)

    # Answers --------------------------------------------------------------------------------------------------------

    def obstacle(self, case: Case) -> Answer | None:
        """Why no worker can run this case, as far as that is known without trying; None where one may."""
        if failure := self.probe(case.build).failure:
            return not_run(*failure)
        refusal = isa.refusal(case.framework, case.isa, case.device, hardware.cpu_features())
        refusal = refusal or strategies.parse(case.strategy).refusal()
        if self.agents is not None:
            refusal = self.agents.refusal(case) or refusal
        return not_run(Outcome.UNSUPPORTED, refusal) if refusal else None

    def get_ready(self) -> None:
        """Before a trial: let the sampler start, so that no timed trial waits for it."""
        if self._recorder is not None:
            self._recorder.start()

    def ask_oracle(self, job: Mapping[str, Any]) -> tuple[Answer, Arrays]:
        """The answer of our own NumPy, on all cores."""
        return self._run(self._builds[DEFAULT_BUILD], job, threads=len(self.cpus), package=self._own_package)

    def ask(
        self, trial: Trial, job: Mapping[str, Any], *, variables: Mapping[str, str] = NO_VARIABLES,
        is_recorded: bool = True,
    ) -> tuple[Answer, Arrays]:
        """A worker's answer on a trial of one process, and its arrays; the worker has more ``variables`` than usual.

        The answer holds the telemetry beside it, if that is on and the trial is recorded.
        """
        build, threads = self.build_of(trial.case, variables), trial.case.threads
        server = self._server(trial, build)
        if self._recorder is None or not is_recorded:
            return self._run(build, job, threads=threads, server=server)
        self._recorder.begin(self.cpus[:threads], trial.case.device, environment(build, threads))
        answer, arrays = self._run(build, job, threads=threads, server=server, listener=self._recorder)
        return replace(answer, recording=self._recorder.end(answer.marks)), arrays

    def ask_world(
        self, trial: Trial, jobs: Sequence[Mapping[str, Any]], *, variables: Mapping[str, str] = NO_VARIABLES,
        is_recorded: bool = True,
    ) -> list[world.Ran]:
        """As ``ask``, of all processes of a world; the first answer holds the telemetry of all."""
        case, build = trial.case, self.build_of(trial.case, variables)
        address, local_rank = (
            (world.LOOPBACK, int) if self.agents is None else (self.agents.address, self.agents.local_rank)
        )
        ranks = world.ranks(
            case, jobs, lambda rank: self._cpus_of_rank(case, rank), patience_s=self._deadline_s, address=address,
            local_rank=local_rank,
        )
        # With agents all ranks are spawned, for they must be alike.
        servers = [None if self.agents else self._server(trial, build, rank) for rank in ranks]
        recorder = self._recorder if is_recorded else None

        def start(rank: world.Rank, stop: int) -> world.Ran:
            if self.agents is not None and rank.index > 0:
                return self.agents.start(rank, stop, self.held(case), self._deadline_s)
            listener = Member(recorder) if recorder is not None and rank.index > 0 else recorder
            return self._run(
                build, rank.job, threads=rank.threads, server=servers[rank.index], stop=stop, listener=listener
            )

        if recorder is None:
            return world.together(start, ranks)
        here = (case.processes if self.agents is None else self.agents.here(case)) * case.devices_per_process
        recorder.begin(self.cpus_of(case), case.device, environment(build, case.threads), devices=here)
        (answer, arrays), *others = world.together(start, ranks)
        return [(replace(answer, recording=recorder.end(answer.marks)), arrays), *others]

    def overhear(self, case: Case, job: Mapping[str, Any], more: Mapping[str, str]) -> tuple[Answer, str]:
        """The answer of a fresh worker with more variables, and what it printed; empty where it failed."""
        with tempfile.TemporaryDirectory(dir=self.folder) as name:
            answer = self._run_in(Path(name), self.build_of(case, more), job, threads=case.threads)
            is_ok = answer.outcome is Outcome.OK
            return answer, (Path(name) / "stdout").read_text(errors="replace") if is_ok else ""

    def live(self, trial: Trial, job: Mapping[str, Any], *, is_beside: bool) -> LiveWorker:
        """A worker that works on command.

        ``is_beside``: another starts at the same time, so this one starts on other cores than its turns have, if there
        are such with the same memory.
        """
        threads = trial.case.threads
        turns_on, others = list(self.cpus[:threads]), list(self.cpus[threads:2 * threads])
        is_apart = is_beside and len(others) == threads and hardware.machine().numa_nodes in (1, None)
        return LiveWorker(
            self.build_of(trial.case), self._package,
            {"cpus": others if is_apart else turns_on, "turn_cpus": turns_on, **job}, self._new_folder(),
            threads=threads, deadline_s=self._deadline_s, cache=self._cache,
        )

    # Processes ------------------------------------------------------------------------------------------------------

    def _run(
        self, build: Build, job: Mapping[str, Any], *, threads: int, server: ForkServer | None = None,
        package: Path | None = None, listener: Listener | None = None, stop: int | None = None,
    ) -> tuple[Answer, Arrays]:
        """A worker's answer, and its arrays; in a fresh process, or forked from ``server``."""
        with tempfile.TemporaryDirectory(dir=self.folder) as name:
            answer = self._run_in(
                Path(name), build, job, threads=threads, server=server, package=package, listener=listener, stop=stop
            )
            arrays: Arrays = {}
            if answer.outcome is Outcome.OK and (path := Path(name) / "answer.npz").exists():
                with np.load(path) as stored:
                    arrays = dict(stored)
            return answer, arrays

    def _run_in(
        self, directory: Path, build: Build, job: Mapping[str, Any], *, threads: int, server: ForkServer | None = None,
        package: Path | None = None, listener: Listener | None = None, stop: int | None = None,
    ) -> Answer:
        """A worker's answer; what it wrote is in the directory."""
        job = {"cpus": list(self.cpus[:threads]), **job}
        if server is not None:
            return server.run(job, directory, deadline_s=self._deadline_s, listener=listener, stop=stop)
        return run_worker(
            build, package or self._package, job, directory, threads=threads, deadline_s=self._deadline_s,
            cache=self._cache, listener=listener, stop=stop,
        )

    def _server(self, trial: Trial, build: Build, rank: world.Rank | None = None) -> ForkServer | None:
        """The fork server that this trial's worker comes from; None where it starts as a fresh interpreter.

        Proofs may always be forked, since nothing in them is timed.
        """
        case = trial.case
        is_forked = trial.timing is None or trial.timing.start_method is StartMethod.FORKSERVER
        if not is_forked or not case.device.startswith("cpu") or not hasattr(os, "fork"):
            return None
        cpus = self.cpus[: case.threads] if rank is None else rank.job["cpus"]
        threads = case.threads * case.devices_per_process
        # Each rank has one of its own: a server looks after one fork at a time.
        key = (build.interpreter, *build.variables.items(), case.framework, threads, *cpus, rank and rank.index)
        return self._servers.of(
            (TrialKind.TIMING if trial.kind in TIMED else trial.kind, trial.repetition), key, lambda: ForkServer(
                build, self._package, self._new_folder(), threads=threads, cpus=cpus, preload=case.framework,
                cache=self._cache,
            )
        )
