"""What a launcher does: it says where the processes of a case run, and starts them there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from rigmark.bench.launch.ranks import Place
from rigmark.bench.plan.case import Case
from rigmark.bench.processes.launch import Launch
from rigmark.bench.processes.spawn import Answer, Listener


class Launcher(Protocol):
    """Whatever starts the processes of a trial: this process, torchrun, mpirun, srun."""

    @property
    def address(self) -> str:
        """Of the host of rank 0, which is this one, as the other ranks reach it."""

    def refusal(self, case: Case) -> str | None:
        """Why the processes of a case cannot be started; None where they can."""

    def places(self, case: Case) -> Sequence[Place]:
        """Where the processes of a case run, by rank; of a case that is refused, only those that there are."""

    def start(
        self, launch: Launch, job: Mapping[str, Any], directory: Path, *, listener: Listener | None = None,
        stop: int | None = None,
    ) -> Answer:
        """What became of a worker, after it has ended. Several are started at once, from one thread each.

        ``directory`` is empty, and then holds what the worker left: the arrays of an answer that is ok in answer.npz,
        what it printed in stdout. ``listener`` and ``stop`` are as bench.processes.spawn.run_worker has them.
        """

    def release(self) -> None:
        """End the processes that workers are forked from; the next fork starts one anew."""
