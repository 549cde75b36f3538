"""A pair: two new processes, base and new, that take turns on the same cores; one number, one record.

Both exist at the same time, but only one works: it runs steps on command, while the other one sleeps. Which side starts
first, and which goes first in each pair of turns, is random. So noise, drift and other programs affect both sides
alike, and the sign of a pair's ratio is random if nothing differs. Each turn begins with a step that is not timed,
since the other side has emptied the caches; still, such times are for verdicts, not for publication.

If both do not fit into memory together, whole processes run one after another, in random order.

A record contains of a pair, beside facts about both sides:

``design``         "turns", or "alternating" for whole processes
``why``            why processes alternate; None if they took turns
``started_first``  the side whose process started first
``first``          the side that went first in each pair of turns; empty if processes alternate
``base``, ``new``  seconds of each turn on the clocks of bench.worker.turns, and the facts of a timing trial
"""

from __future__ import annotations

import contextlib
import math
import random
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil

from rigmark.bench.enums import Isa, Outcome, TrialKind
from rigmark.bench.plan.case import Case
from rigmark.bench.plan.schedule import Trial
from rigmark.bench.processes.persistent import Ended, LiveWorker
from rigmark.bench.processes.spawn import Answer, not_run
from rigmark.bench.store.record import BASE, NEW, SIDES, Identity
from rigmark.bench.trials import jobs
from rigmark.bench.trials.context import Base, Context
from rigmark.bench.trials.kinds._steps import Steps
from rigmark.bench.trials.kinds.timing import Timing

TURNS, ALTERNATING = "turns", "alternating"

FEWEST_TURNS = 10            # if steps are long
TURNS_ALONE = 300            # of each side, if whole processes alternate
TURNS_AT_ONCE = 30           # after which it is checked whether they are enough
PRECISION = 0.003            # sufficient standard error of a pair's log ratio: processes differ by more than that
TURN_TIME_S = 0.001          # least seconds of a turn: several short steps, so that waking up hardly matters
# Not longer: Linux runs a process that has slept at once, but interrupts it after its share of some ms. With 9
# processes on two cores, turns of 10, 3 and 1 ms of 3 to 4 s together had standard errors of 4.2, 3.2 and 0.8 %.
MEMORY_MARGIN = 1.1          # factor by which free memory must exceed the peak memory of such processes

QUARTILES_TO_SIGMA = 1.349   # distance of the quartiles of a normal distribution
MEDIAN_ERROR = 1.2533        # sqrt(pi / 2): standard error of the median relative to that of the mean

SETTINGS = {"turn_precision": PRECISION, "turn_time_s": TURN_TIME_S}
"""Settings that are part of the identity of a pair, beside the timing of its sweep."""

PASSIVE = {
    # OpenMP (PyTorch, MXNet): GNU's and LLVM's runtimes. OpenBLAS (NumPy) waits 2**N cycles, and 4 is the least.
    # The pools of TensorFlow and JAX (Eigen) sleep by themselves after some microseconds, and have no variable.
    "OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0", "KMP_BLOCKTIME": "0", "OPENBLAS_THREAD_TIMEOUT": "4",
}
"""Environment variables that make idle thread pools sleep, so that the waiting side does not use the cores."""

Start = Callable[[bool], LiveWorker]
"""Starts a side; the argument is True if it may start in parallel with the other, on cores of its own. For its turns it
moves to the shared cores."""


class Pair(Steps):
    """The kind of pairs; their context must have a base."""

    def __init__(self, context: Context):
        super().__init__(context)
        self._needed_bytes: dict[Case, int] = {}         # main memory that pairs of a case need

    def resolved(self, trial: Trial) -> Trial:
        """The trial unchanged, since each side has a build of its own."""
        return trial

    def identity(self, trial: Trial) -> Identity:
        base = self._base
        usual = super().identity(trial)
        other = Side(base.context).identity(replace(self._of_base(trial), kind=TrialKind.TIMING))
        return replace(usual, settings=usual.settings | SETTINGS, base={
            "name": other.case["build"], "isa": other.case["isa"], "code_version": other.code_version, **other.build,
        })

    def measure(self, trial: Trial) -> Answer:
        """The answer of a pair; each side states by itself why it cannot be measured."""
        return self.ask(trial)

    def ask(self, trial: Trial) -> Answer:
        assert trial.timing is not None
        of_side = {BASE: self._of_base(trial), NEW: trial}
        sides = {BASE: Side(self._base.context), NEW: Side(self.context)}
        for side in sides.values():
            side.context.workers.release()   # of the proofs, so that only the pair uses memory

        def start(name: str) -> Start:
            return lambda is_beside: sides[name].start(of_side[name], is_beside=is_beside)

        answer = measure(
            {name: start(name) for name in SIDES},
            seed=f"{self.context.session}/{trial.repetition}/{trial.case.label}",
            max_time_s=2 * trial.timing.max_time_s, needed_bytes=self._needed_bytes.get(trial.case),
        )
        if answer.outcome is Outcome.OK:
            self._needed_bytes[trial.case] = memory_of(answer.result)
            resolved = {name: sides[name].resolved(of_side[name]) for name in SIDES}
            asks = any(each.case.isa != Isa.NATIVE for each in resolved.values())
            for name, side in sides.items():
                answer.result[name] |= side.beside(replace(resolved[name], asks_for_isa=asks), answer)
        return answer

    def fields(self, trial: Trial, answer: Answer) -> dict[str, Any]:
        return {**super().fields(trial, answer), "pair": answer.result or None}

    @property
    def _base(self) -> Base:
        if self.context.base is None:
            raise ValueError("a pair needs a base; give the runner one")
        return self.context.base

    def _of_base(self, trial: Trial) -> Trial:
        return replace(trial, case=replace(trial.case, build=self._base.build))


class Side(Timing):
    """One side of a pair, measured with the workers of its own context."""

    def start(self, trial: Trial, *, is_beside: bool) -> LiveWorker:
        """A worker that takes its turns on command; raises Ended if it cannot be started.

        ``is_beside``: another one starts at the same time; see bench.launch.workers.Workers.live.
        """
        trial = self.resolved(trial)
        workers = self.context.workers
        job = (
            workers.obstacle(trial.case) or _no_pair(trial.case) or self.unproven(trial.case)
            or jobs.steps(trial, self.context.inputs, self.context.oracle)
        )
        if isinstance(job, Answer):
            raise Ended(job)
        return workers.live(trial, job, is_beside=is_beside)

    def beside(self, trial: Trial, answer: Answer) -> dict[str, Any]:
        """The facts of this side in a record, beside the answer of its worker."""
        return {
            "certificate": self.certificate(trial.case), "isa": self.context.instruction_sets.seen(trial, answer),
        }


KIND = Pair


def _no_pair(case: Case) -> Answer | None:
    """Why this case cannot be measured in pairs; None if it can."""
    if case.world_size == 1:
        return None
    return not_run(Outcome.UNSUPPORTED, "pairs have one process per side; compare cases on several devices by sessions")


class _SideEnded(Exception):
    """A side ended unexpectedly."""

    def __init__(self, side: str, answer: Answer):
        super().__init__(side)
        self.side, self.answer = side, answer


class _DoesNotFit(Exception):
    """Both sides do not fit into memory together; the message states why."""


def measure(
    starts: Mapping[str, Start], *, seed: str, max_time_s: float, needed_bytes: int | None = None
) -> Answer:
    """The answer of one pair, whose workers ``starts`` starts by side.

    Turns end when their ratio is precise, or when they took as long as the start of both sides, since another pair then
    contributes more, or after ``max_time_s``. The precision does not depend on which side is which.

    ``needed_bytes`` is the memory of both sides together in an earlier pair; None if not known: then the second side
    starts when that of the first is known. The seed determines all random choices. If a side fails, its outcome is that
    of the pair, and the reason names the side.
    """
    started = time.monotonic()
    coin = random.Random(seed)
    launch = coin.sample(SIDES, 2)
    try:
        try:
            pair = _in_turns(starts, launch, coin, max_time_s, needed_bytes)
        except _DoesNotFit as reason:
            pair = {**_alternating(starts, launch, max_time_s), "why": str(reason)}
    except _SideEnded as ended:
        return replace(
            ended.answer, reason=f"{ended.side}: {ended.answer.reason}", wall_time_s=time.monotonic() - started
        )
    return Answer(
        outcome=Outcome.OK, reason=None, result=pair, marks={}, last_words="", wall_time_s=time.monotonic() - started
    )


def _in_turns(
    starts: Mapping[str, Start], launch: Sequence[str], coin: random.Random, max_time_s: float, needed_bytes: int | None
) -> dict[str, Any]:
    one, other = launch
    started = time.monotonic()
    is_known = needed_bytes is not None
    if needed_bytes is not None:
        _refuse_where_full(needed_bytes, "both processes need", available_memory_bytes())
    with _started(one, starts[one], False) as first:
        if not is_known:
            peak_bytes = held_bytes(_next_answer(one, first))
            _refuse_where_full(int(MEMORY_MARGIN * peak_bytes), "the second process needs", available_memory_bytes())
        try:
            with _started(other, starts[other], is_known) as second:
                if is_known:
                    _next_answer(one, first)
                _next_answer(other, second)
                workers = {one: first, other: second}
                return _turns(workers, launch, coin, max_time_s, time.monotonic() - started)
        except _SideEnded as ended:
            if ended.answer.outcome is Outcome.OUT_OF_MEMORY:
                raise _DoesNotFit(f"{ended.side} ran out of memory beside the other: {ended.answer.reason}") from None
            raise


def held_bytes(side: Mapping[str, Any]) -> int:
    """Peak main memory of a side; 0 if not known, and for a device with memory of its own."""
    peak = side["peak_memory_bytes"]
    return int(peak) if side["peak_memory_method"] == "process_resident" and peak is not None else 0


def memory_of(pair: Mapping[str, Any]) -> int:
    """The memory that another pair like this one needs."""
    return int(MEMORY_MARGIN * sum(held_bytes(pair[side]) for side in SIDES))


def _refuse_where_full(needed: int, what: str, free: int) -> None:
    if needed > free:
        raise _DoesNotFit(f"{what} {needed / 1e9:.2f} GB, but {free / 1e9:.2f} GB are free")


def _turns(
    workers: Mapping[str, LiveWorker], launch: Sequence[str], coin: random.Random, max_time_s: float,
    start_time_s: float,
) -> dict[str, Any]:
    warm_up = {side: _asked(side, workers[side], "warm_up")["timings_s"] for side in launch}
    timings = timings_per_turn(warm_up.values())
    first: list[str] = []
    turns: dict[str, list[dict[str, Any]]] = {side: [] for side in SIDES}
    begun = time.monotonic()
    while True:
        if len(first) >= FEWEST_TURNS and time.monotonic() >= begun + max_time_s:
            break
        if first and len(first) % TURNS_AT_ONCE == 0:
            times_s = ([turn["time_s"] for turn in turns[side]] for side in SIDES)
            if time.monotonic() >= begun + start_time_s or standard_error(*times_s) <= PRECISION:
                break
        order = coin.sample(SIDES, 2)
        for side in order:
            turns[side].append(_asked(side, workers[side], "turn", timings=timings))
        first.append(order[0])
    return {
        "design": TURNS, "why": None, "started_first": launch[0], "first": first, "timings_per_turn": timings,
        **{side: _ended(side, workers[side], warm_up[side], turns[side]) for side in SIDES},
    }


def _alternating(starts: Mapping[str, Start], launch: Sequence[str], max_time_s: float) -> dict[str, Any]:
    """Runs one whole process after the other, with equally many timings in each turn."""
    timings = 0
    sides = {}
    for side in launch:
        with _started(side, starts[side], False) as worker:
            _next_answer(side, worker)
            warm_up = _asked(side, worker, "warm_up")["timings_s"]
            timings = timings or timings_per_turn([warm_up])
            turns: list[dict[str, Any]] = []
            until = time.monotonic() + max_time_s / 2
            while len(turns) < TURNS_ALONE and (len(turns) < FEWEST_TURNS or time.monotonic() < until):
                turns.append(_asked(side, worker, "turn", timings=timings))
            sides[side] = _ended(side, worker, warm_up, turns)
    return {
        "design": ALTERNATING, "started_first": launch[0], "first": [], "timings_per_turn": timings,
        **{side: sides[side] for side in SIDES},
    }


def timings_per_turn(warm_up_timings_s: Iterable[Sequence[float]]) -> int:
    """The number of timings per turn, for both sides: those that take TURN_TIME_S on the faster side."""
    fastest_s = min(statistics.median(timings_s) for timings_s in warm_up_timings_s)
    return max(1, math.ceil(TURN_TIME_S / fastest_s)) if fastest_s > 0 else 1


def standard_error(base_s: Sequence[float], new_s: Sequence[float]) -> float:
    """Standard error of the median of ln(base / new), from the middle half of the turns; infinite if a turn took 0
    s."""
    if min(*base_s, *new_s) <= 0:
        return math.inf
    low, _, high = statistics.quantiles([math.log(b / n) for b, n in zip(base_s, new_s, strict=True)], n=4)
    return MEDIAN_ERROR * (high - low) / QUARTILES_TO_SIGMA / math.sqrt(len(base_s))


def _ended(
    side: str, worker: LiveWorker, warm_up_timings_s: Sequence[float], turns: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Ends a side; returns its facts for a record."""
    answer = worker.end()
    if answer.outcome is not Outcome.OK:
        raise _SideEnded(side, answer)
    return {
        **{f"{name}s_s": [turn[f"{name}_s"] for turn in turns]
           for name in ("time", "host_time", "cpu_time", "idle_cpu_time")},
        "warm_up_timings_s": list(warm_up_timings_s), **answer.result, "marks": answer.marks,
    }


@contextlib.contextmanager
def _started(side: str, start: Start, is_beside: bool) -> Iterator[LiveWorker]:
    try:
        worker = start(is_beside)
    except Ended as ended:
        raise _SideEnded(side, ended.answer) from None
    with worker:
        yield worker


def _next_answer(side: str, worker: LiveWorker) -> dict[str, Any]:
    try:
        return worker.next_answer()
    except Ended as ended:
        raise _SideEnded(side, ended.answer) from None


def _asked(side: str, worker: LiveWorker, do: str, **more: Any) -> dict[str, Any]:
    try:
        return worker.ask(do, **more)
    except Ended as ended:
        raise _SideEnded(side, ended.answer) from None


CGROUP = Path("/sys/fs/cgroup")


def available_memory_bytes() -> int:
    """Bytes that new processes can use without swapping, within the limit of this container."""
    free = [psutil.virtual_memory().available]
    with contextlib.suppress(OSError, ValueError):       # "max" means no limit
        limit, used = (int((CGROUP / name).read_text()) for name in ("memory.max", "memory.current"))
        free.append(max(0, limit - used))
    return min(free)
