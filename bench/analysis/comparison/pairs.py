"""From pairs of processes to verdicts: the ratio of base to new in each pair, and the verdict on their case."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from rigmark.bench import devices
from rigmark.bench.analysis.comparison.verdicts import SAID, CaseVerdict, Method, change
from rigmark.bench.analysis.statistics.decision import Decision, Verdict
from rigmark.bench.analysis.statistics.estimate import Estimate, estimate
from rigmark.bench.document import formatting
from rigmark.bench.document.language import tr_later
from rigmark.bench.enums import Clock
from rigmark.bench.store.record import BASE, NEW, SIDES
from rigmark.bench.store.stored import Base, Identity, Pair, PairSide

IDLE_SHARE = 0.05            # of the other side's turns: a side that works more than that while waiting disturbs it
HANDLING_TIME_S = 0.0005     # of CPU: most for reading a command and answering it, which is no disturbance
CONTENDED = 1.05             # wall time / CPU time of a single thread above which others used its core


OPEN = (Verdict.INCONCLUSIVE, Verdict.TOO_NOISY)
BLIND_CLOCK = tr_later(
    "this clock cannot measure it: a turn took no time, or there is more than one thread; leave --clock cpu out"
)


def side_of(pair: Pair, side: str) -> PairSide:
    return pair.base if side == BASE else pair.new


def _times_s(pair: Pair, side: str, clock: Clock) -> NDArray[np.float64]:
    own = side_of(pair, side)
    return np.asarray(own.times_s if clock is Clock.WALL else own.cpu_times_s, np.float64)


def log_speed_up(pair: Pair, clock: Clock = Clock.WALL) -> float:
    """ln(base time / new time) of one pair: the median over its turns, each compared with that of the other side.

    For whole processes that alternate it is the ratio of their lower quartiles, because a disturbance of one process
    does not affect the other. Raises ValueError for a time that is not positive.
    """
    base, new = (_times_s(pair, side, clock) for side in SIDES)
    if not (np.all(base > 0) and np.all(new > 0)):
        raise ValueError("a turn took no time: the clock was stepped, or the record was edited")
    if pair.design == "turns":
        return float(np.median(np.log(base / new)))
    return math.log(np.quantile(base, 0.25) / np.quantile(new, 0.25))


def log_speed_ups(
    case: Mapping[str, Any], pairs: Sequence[Pair], clock: Clock = Clock.WALL
) -> list[float] | None:
    """log_speed_up of each pair; None if the clock is not valid for the case: CPU time is valid for one thread only,
    and not if it is so coarse that a turn took 0 s.
    """
    if clock is Clock.CPU and not is_single_threaded(case):
        return None
    is_seen = all(np.all(_times_s(pair, side, clock) > 0) for pair in pairs for side in SIDES)
    return [log_speed_up(pair, clock) for pair in pairs] if is_seen else None


def step_time(pairs: Sequence[Pair], side: str, steps_per_timing: int, clock: Clock) -> Estimate | None:
    """Step time of one side over the pairs; None without pairs. In turns caches are cold: do not publish it."""
    if not pairs:
        return None
    return estimate([
        float(np.median(_times_s(pair, side, clock))) / (pair.timings_per_turn * steps_per_timing) for pair in pairs
    ])


def is_single_threaded(case: Mapping[str, Any]) -> bool:
    """Whether CPU time can replace wall time: one thread on the CPU."""
    return case["threads"] == 1 and devices.is_host(case["device"])


def case_verdict(
    label: str, case: Mapping[str, Any], pairs: Sequence[Pair], decision: Decision, twin: Decision | None,
    *, clock: Clock, **more: Any,
) -> CaseVerdict:
    """The verdict on one case; ``twin`` is the decision by CPU time if the verdict is by wall time.

    ``more`` are further fields of CaseVerdict.
    """
    alternating = [pair for pair in pairs if pair.design != "turns"]
    steps = int(case["steps_per_timing"])
    doubts = [*more.pop("doubts", ()), *_doubts(case, pairs, decision, twin, clock)]
    if alternating:
        doubts.append(f"whole processes alternated in {formatting.count(len(alternating), 'pair')} of {len(pairs)}: "
                      f"{alternating[-1].why}")
    return CaseVerdict(
        label=label, facts=case, verdict=decision.verdict, decision=decision,
        method=Method.ALTERNATING if alternating else Method.TURNS, doubts=tuple(doubts),
        base_step_time_s=step_time(pairs, BASE, steps, clock), new_step_time_s=step_time(pairs, NEW, steps, clock),
        **more,
    )


def _doubts(
    case: Mapping[str, Any], pairs: Sequence[Pair], decision: Decision, twin: Decision | None, clock: Clock
) -> list[str]:
    doubts = []
    for side, other in ((BASE, NEW), (NEW, BASE)):
        share = idle_share(pairs, side, other)
        if share is not None and share > IDLE_SHARE:
            doubts.append(f"{side} worked for {formatting.percent(share)} of the other's turns while it should have "
                          "slept; its threads do not wait passively")
    if twin is not None and twin.speed_up is not None and twin.verdict is not decision.verdict:
        doubts.append(f"by CPU time it is {SAID[twin.verdict]}: {change(twin.speed_up)}")
    ratio = contention(pairs) if clock is Clock.WALL and is_single_threaded(case) else None
    if ratio is not None and ratio > CONTENDED and decision.verdict in OPEN:
        doubts.append(f"other processes took a share of the core: wall time is {ratio:.2f} times CPU time; --clock cpu "
                      "is disturbed less")
    return doubts


def idle_share(pairs: Sequence[Pair], side: str, other: str) -> float | None:
    """CPU time that one side used while waiting / time of the other's turns; None if not known.

    The time for reading commands and answering them is excluded.
    """
    worked, turns = 0.0, 0.0
    for pair in pairs:
        if pair.design == "turns":
            idle = [max(0.0, time_s - HANDLING_TIME_S) for time_s in side_of(pair, side).idle_cpu_times_s
                    if time_s is not None]
            worked += math.fsum(idle)
            turns += statistics.fmean(side_of(pair, other).host_times_s) * len(idle)
    return worked / turns if turns > 0 else None


def contention(pairs: Sequence[Pair]) -> float | None:
    """Wall time / CPU time of all turns; None without pairs."""
    every = [side_of(pair, side) for pair in pairs for side in SIDES]
    wall = math.fsum(time_s for side in every for time_s in side.host_times_s)
    cpu = math.fsum(time_s for side in every for time_s in side.cpu_times_s)
    return wall / cpu if cpu > 0 else None


def sides(identity: Identity) -> tuple[Base, Base]:
    """(base, new): the facts of the builds that a pair with this identity compares, without their names."""
    assert identity.base is not None
    build = identity.build
    new = Base(
        name="", isa=identity.case.isa, code_version=identity.code_version, python=build.python,
        framework_version=build.framework_version, packages=build.packages, variables=build.variables,
        adapter=build.adapter,
    )
    return msgspec.structs.replace(identity.base, name=""), new


def differences(identity: Identity) -> tuple[str, ...]:
    """The differences between the builds of a pair, one sentence each: "packages: torch 2.12.0 against 2.13.0"."""
    base, new = sides(identity)
    differing = []
    for fact in ("isa", "python", "packages", "variables", "code_version", "adapter"):
        stated = [getattr(side, fact) for side in (base, new)]
        if stated[0] == stated[1]:
            continue
        left, right = (each if isinstance(each, Mapping) else {"": each} for each in stated)
        differing.append(f"{fact}: " + ", ".join(
            f"{name} {left.get(name) or 'not set'} against {right.get(name) or 'not set'}".strip()
            for name in sorted({*left, *right}) if left.get(name) != right.get(name)
        ))
    return tuple(differing)
