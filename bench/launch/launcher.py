"""The interface of launchers: a launcher decides where the processes of a case run, and starts them there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from rigmark.bench.launch.ranks import Place
from rigmark.bench.plan.case import Case
from rigmark.bench.processes.launch import Launch
from rigmark.bench.processes.spawn import Answer, Listener


class Launcher(Protocol):
    """What starts the processes of a trial: this process, torchrun, mpirun, srun."""

    @property
    def address(self) -> str:
        """The address of rank 0, that is, of this host, at which the other ranks reach it."""

    def refusal(self, case: Case) -> str | None:
        """Why the processes of a case cannot be started; None if they can."""

    def places(self, case: Case) -> Sequence[Place]:
        """Where the processes of a case run, by rank; for a refused case only the existing places."""

    def start(
        self, launch: Launch, job: Mapping[str, Any], directory: Path, *, listener: Listener | None = None,
        stop: int | None = None,
    ) -> Answer:
        """The answer of a worker, after it has ended. Several workers are started at once, each from its own thread.

        ``directory`` is empty; afterwards it contains what the worker left: the arrays of a successful answer in
        answer.npz, and what it printed in stdout. ``listener`` and ``stop`` are as in bench.processes.spawn.run_worker.
        """

    def release(self) -> None:
        """Ends the fork servers; the next fork starts a new one."""
