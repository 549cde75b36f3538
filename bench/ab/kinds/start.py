"""Start-up of networks: from the start of a worker's process to the end of its first step.

A turn is two new processes of a side, one after the other, with a folder of their own for what frameworks keep of
compiled programs: it is empty for the first, which is "without cache", and as that one left it for the second, "from
cache".
"""

from __future__ import annotations

import contextlib
import math
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rigmark.bench.ab.contest import Side
from rigmark.bench.ab.kinds import Ending, Kind, Turn, TurnFailed
from rigmark.bench.analysis.comparison.numbers import Quantity
from rigmark.bench.analysis.comparison.sides import case_label
from rigmark.bench.analysis.results import startup
from rigmark.bench.builds import build as builds
from rigmark.bench.document.language import tr
from rigmark.bench.enums import Outcome, StartMethod, TrialKind
from rigmark.bench.machine import hardware
from rigmark.bench.networks import Networks
from rigmark.bench.plan.case import DEFAULT_BUILD, Case, Timing
from rigmark.bench.plan.schedule import Trial, proof_case
from rigmark.bench.plan.sweep import Sweep
from rigmark.bench.processes.installed import packages
from rigmark.bench.runner.runner import Runner
from rigmark.bench.store.record import BASE, NEW
from rigmark.bench.store.store import Store
from rigmark.bench.trials.kinds.timing import Timing as Timed

QUANTITY = Quantity(name="start-up", unit="s")
TIMING = Timing(
    start_method=StartMethod.SPAWN, min_timings=2, min_time_s=1e-3, max_time_s=1e-3, warm_up_max_s=1e-3,
)
CACHES = {
    "TORCHINDUCTOR_CACHE_DIR": "inductor", "TRITON_CACHE_DIR": "triton", "CUDA_CACHE_PATH": "cuda",
    "JAX_COMPILATION_CACHE_DIR": "jax",
}
"""Folders in which frameworks keep compiled programs, by the variables that name them."""
KEEP_ALL = {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0", "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1"}
WITHOUT, FROM = "without cache", "from cache"


class StartContest(Kind):
    """A contest of start-ups."""

    def __init__(
        self, base: Side, new: Side, sweeps: Sequence[Sweep], store: Store, *, networks: Networks | None = None,
        **settings: Any,
    ):
        """``settings`` are those of a Runner."""
        self._sides, self._store = {BASE: base, NEW: new}, store
        self._settings = {**settings, "networks": networks, "telemetry": False}
        cores = len(hardware.usable_cpus())
        cases = [case for sweep in sweeps for case in replace(sweep, builds=(new.build.name,)).cases(cores)
                 if isinstance(case, Case) and case.world_size == 1]
        self._cases = {label(case): case for case in cases}
        self._runners: dict[str, Runner] = {}

    @contextlib.contextmanager
    def proven(self) -> Iterator[None]:
        """Both sides with the proofs of all cases, which are trials of their own and no part of the contest."""
        cores = len(hardware.usable_cpus())
        with contextlib.ExitStack() as stack:
            for name, side in self._sides.items():
                if side.problem is None:
                    known = {DEFAULT_BUILD: builds.load()[DEFAULT_BUILD], side.build.name: side.build}
                    runner = stack.enter_context(Runner(self._store, known, shipped=side.shipped, **self._settings))
                    cases = [replace(case, build=side.build.name) for case in self._cases.values()]
                    runner.run([Trial(kind=TrialKind.PROOF, case=proof_case(case, cores)) for case in cases])
                    self._runners[name] = runner
            yield

    @contextlib.contextmanager
    def ready(self) -> Iterator[None]:
        for name, side in self._sides.items():
            if side.problem is not None:
                raise TurnFailed(Ending.BUILD_BROKEN, f"{name}: {side.problem}")
        yield

    def units(self) -> Sequence[str]:
        return [*self._cases]

    def turn(self, unit: str, side: str) -> Turn:
        case = replace(self._cases[unit], build=self._sides[side].build.name)
        with tempfile.TemporaryDirectory(prefix="rigmark-cache-") as folder:
            of_cache = {name: self._phases(case, side, folder) for name in (WITHOUT, FROM)}
        numbers = {f"{unit}, {name}": math.fsum(phases.values()) for name, phases in of_cache.items()}
        return Turn(
            numbers=numbers, wall_time_s=math.fsum(numbers.values()), cpu_time_s=None, facts={"phases": of_cache},
        )

    def _phases(self, case: Case, side: str, folder: str) -> Mapping[str, float]:
        """Seconds of each phase of one new process, whose network is proven."""
        runner = self._runners[side]
        case = runner.context.workers.resolved(case)
        variables = {**KEEP_ALL, **{name: str(Path(folder) / below) for name, below in CACHES.items()}}
        answer = runner.context.workers.obstacle(case) or Timed(runner.context).stepped(
            Trial(kind=TrialKind.TIMING, case=case, timing=TIMING), variables
        )
        if answer.outcome is not Outcome.OK:
            raise TurnFailed(answer.outcome, f"{side}: {answer.reason}", answer.last_words)
        phases = startup.phases(answer.marks)
        if phases is None:
            raise TurnFailed(
                Ending.NO_NUMBER,
                f"{side}: its worker does not tell when its first step ended, as older versions do not",
            )
        return phases

    def quantity(self, case: str) -> Quantity:
        return QUANTITY

    def plain(self) -> dict[str, Any]:
        return {
            "kind": "start", "label": "start-up", "quantity": {
                "name": QUANTITY.name, "unit": QUANTITY.unit, "is_higher_better": False, "margin": None,
            },
            "cpus": list(hardware.usable_cpus()),
            **{name: self._plain_side(side) for name, side in self._sides.items()},
        }

    def _plain_side(self, side: Side) -> dict[str, Any]:
        return {
            "name": side.name, "command": side.build.interpreter, "interpreter": side.build.interpreter,
            "build": side.build.name, "variables": hardware.variables(side.build.variables),
            "packages": packages(side.build.interpreter, Path.cwd(), {**os.environ, **side.build.variables}),
        }

    def notes(self) -> tuple[str, ...]:
        return (tr(
            "Start-up is the time from the start of a process to the end of its first step. Without cache: what "
            "frameworks keep of compiled programs was deleted before; from cache: another process had just filled it."
        ),)


KIND = StartContest


def label(case: Case) -> str:
    """The case for people, without its build, in which the sides differ."""
    return case_label({name: value for name, value in case.plain().items() if name != "build"})
