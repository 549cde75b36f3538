"""The usual launcher: every process runs on this machine, spawned, or forked from one that has the framework."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rigmark.bench.launch.ranks import LOOPBACK, Place, cpus_of
from rigmark.bench.machine import hardware
from rigmark.bench.plan.case import Case
from rigmark.bench.processes.forkserver import ForkServer, ForkServers
from rigmark.bench.processes.launch import Launch
from rigmark.bench.processes.spawn import Answer, Listener, run_worker


class Here:
    """Starts workers on this machine; as bench.launch.launcher.Launcher."""

    address = LOOPBACK

    def __init__(self) -> None:
        self._servers = ForkServers()
        self._choosing = threading.Lock()

    def refusal(self, case: Case) -> str | None:
        return None

    def places(self, case: Case) -> list[Place]:
        cpus = hardware.usable_cpus()
        return [
            Place(host=LOOPBACK, cpus=tuple(cpus_of(case, rank, cpus)), local_rank=rank)
            for rank in range(case.processes)
        ]

    def start(
        self, launch: Launch, job: Mapping[str, Any], directory: Path, *, listener: Listener | None = None,
        stop: int | None = None,
    ) -> Answer:
        fork = launch.fork
        if fork is None:
            return run_worker(launch, job, directory, listener=listener, stop=stop)
        # Each rank has a fork server of its own, since a server handles one fork at a time.
        key = (
            launch.build.interpreter, launch.package, tuple(launch.environment.items()), launch.cpus,
            fork.framework, launch.rank,
        )
        with self._choosing:
            server = self._servers.of(fork.group, key, lambda: ForkServer(
                launch, Path(tempfile.mkdtemp(dir=directory.parent)), preload=fork.framework,
            ))
        return server.run(job, directory, listener=listener, stop=stop)

    def release(self) -> None:
        self._servers.close()
