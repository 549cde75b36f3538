"""A world: processes that train one network together. They start together, end together, and give one answer.

A launcher decides where each rank runs, and starts it. This module gives each rank its job, ends all ranks if one
fails, and combines their answers.
"""

from __future__ import annotations

import contextlib
import math
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rigmark.bench.enums import CONSEQUENCES, Outcome
from rigmark.bench.plan.case import Case
from rigmark.bench.processes.spawn import Answer
from rigmark.bench.worker import precisions, strategies

LOOPBACK = "127.0.0.1"
GRACE_S = 2.0                # time for the other ranks to report their own failure after one has failed
Arrays = dict[str, Any]
RankResult = tuple[Answer, Arrays]

WORST_FIRST = (
    Outcome.BUILD_BROKEN, Outcome.NOT_INSTALLED, Outcome.UNSUPPORTED, Outcome.OUT_OF_MEMORY, Outcome.PARITY_FAILED,
    Outcome.TIMEOUT, Outcome.CRASHED,
)
"""The precedence of outcomes. A crash comes late, since losing contact to a failed rank is a crash too."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where one process of a case runs."""

    host: str
    cpus: tuple[int, ...]            # numbers of the cores that it is limited to
    local_rank: int                  # index among the processes of the case on its host


@dataclass(frozen=True, kw_only=True)
class Rank:
    """One process of a world that is to be started."""

    index: int
    job: Mapping[str, Any]       # including "world", see bench.worker.strategies


Start = Callable[[Rank, int], RankResult]
"""Starts a rank and waits for its end; the number is a descriptor that becomes readable if it must stop earlier."""


def cpus_of(case: Case, rank: int, cpus: Sequence[int]) -> list[int]:
    """The cores of a rank: cores of its own, unless there are fewer cores than threads of all ranks."""
    count = case.threads * case.devices_per_process
    return sorted({cpus[(rank * count + index) % len(cpus)] for index in range(count)})


def ranks(
    case: Case, jobs: Sequence[Mapping[str, Any]], places: Sequence[Place], *, patience_s: float,
    address: str = LOOPBACK,
) -> list[Rank]:
    """The processes of a case, each with its job: what to do, and where to connect to the others."""
    ports = free_ports(case.processes + 1, address)
    ranks = []
    for index, job in enumerate(jobs):
        world = {
            "size": case.world_size, "devices_per_process": case.devices_per_process, "processes": case.processes,
            "rank": index, "local_rank": places[index].local_rank, "strategy": case.strategy, "address": address,
            "ports": ports, "patience_s": patience_s, "options": strategies.parse(case.strategy).options,
        }
        ranks.append(Rank(index=index, job={**job, "world": world}))
    return ranks


def free_ports(count: int, address: str = LOOPBACK) -> list[int]:
    """Different ports on which nobody listens at the moment."""
    with contextlib.ExitStack() as listening:
        ports = []
        for _ in range(count):
            listener = listening.enter_context(socket.socket())
            listener.bind((address, 0))
            ports.append(int(listener.getsockname()[1]))
        return ports


def together(start: Start, of: Sequence[Rank]) -> list[RankResult]:
    """The answers of all ranks, each of which is started from a thread that sleeps until its end.

    If one fails, the others have GRACE_S to report their own failure, then they are ended; after an exception too.
    """
    has_to_stop, stop_end = os.pipe()
    stop = contextlib.ExitStack()
    stop.callback(os.close, stop_end)
    try:
        with ThreadPoolExecutor(max_workers=len(of)) as threads, stop:
            futures = [threads.submit(start, rank, has_to_stop) for rank in of]
            waiting = set(futures)
            while waiting:
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                if any(future.exception() or future.result()[0].outcome is not Outcome.OK for future in done):
                    wait(waiting, timeout=GRACE_S)
                    break
            stop.close()
            return [future.result() for future in futures]
    finally:
        os.close(has_to_stop)


# One answer of many -------------------------------------------------------------------------------------------------


def joined(case: Case, answers: Sequence[Answer]) -> Answer:
    """The answer of a world: that of its worst rank, which is named, or of all together if all succeeded.

    Each timing is that of the slowest rank; CPU time is that of all processes.
    """
    failed = [(rank, answer) for rank, answer in enumerate(answers) if answer.outcome is not Outcome.OK]
    if failed:
        rank, worst = min(failed, key=_badness)
        return replace(
            worst, reason=f"rank {rank} of {len(answers)}: {worst.reason}", recording=answers[0].recording
        )
    differing = _differing(case, answers)
    if differing:
        return replace(answers[0], outcome=Outcome.PARITY_FAILED, reason=differing, result={}, last_words="")
    result = dict(answers[0].result)
    if "timings_s" in result:
        result |= _measurement([answer.result for answer in answers])
    result.pop("digests", None)
    communication = result.pop("communication", None)
    return replace(
        answers[0], result=result | {"world": _world(case, answers, communication)},
        wall_time_s=max(answer.wall_time_s for answer in answers),
    )


def _badness(failed: tuple[int, Answer]) -> tuple[Any, ...]:
    _, answer = failed
    progress = len(answer.marks) if answer.outcome is Outcome.TIMEOUT else 0     # who hangs has the least
    return answer.cause in CONSEQUENCES, WORST_FIRST.index(answer.outcome), progress, answer.wall_time_s


def _differing(case: Case, answers: Sequence[Answer]) -> str | None:
    """A sentence if devices that should have made the same updates differ; None if all are equal."""
    if not strategies.load(case.strategy).SUMS_GRADIENTS:
        return None
    first, *others = [digests for answer in answers for digests in answer.result["digests"]]
    for device, digests in enumerate(others, start=1):
        strange = [key for key in first if digests.get(key) != first[key]]
        if strange:
            return (f"after equal numbers of steps {len(strange)} of {len(first)} parameters of device {device} differ "
                    f"from those of device 0, '{strange[0]}' among them")
    return None


def _measurement(ranks: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One measurement of all ranks together, from those of bench.worker.measure in each rank."""
    def over_ranks(name: str, function: Callable[..., float]) -> list[float]:
        return [function(values) for values in zip(*(rank[name] for rank in ranks), strict=True)]

    own_s = [math.fsum(rank["cpu_times_s"]) for rank in ranks]
    strangers = [
        max(0.0, rank["other_cpu_time_s"] - (math.fsum(own_s) - own))
        for rank, own in zip(ranks, own_s, strict=True) if rank["other_cpu_time_s"] is not None
    ]
    memory = [rank["peak_memory_bytes"] for rank in ranks if rank["peak_memory_bytes"] is not None]
    return {
        "timings_s": over_ranks("timings_s", max), "host_times_s": over_ranks("host_times_s", max),
        "cpu_times_s": over_ranks("cpu_times_s", math.fsum),
        "warm_up_timings_s": over_ranks("warm_up_timings_s", max),
        "prepare_time_s": max(rank["prepare_time_s"] for rank in ranks),
        "first_step_s": max(rank["first_step_s"] for rank in ranks),
        "peak_memory_bytes": max(memory, default=None),
        "other_cpu_time_s": min(strangers, default=None),
    }


def _world(case: Case, answers: Sequence[Answer], communication: Mapping[str, Any] | None) -> dict[str, Any]:
    """The facts of each rank in the form of a record."""
    names = ("rank_timings_s", "rank_cpu_times_s", "communication", "sent_bytes", "nodes")
    facts: dict[str, Any] = dict.fromkeys(names)
    if communication is not None:
        ranks = [answer.result for answer in answers]
        facts |= {
            "rank_timings_s": [rank["timings_s"] for rank in ranks],
            "rank_cpu_times_s": [rank["cpu_times_s"] for rank in ranks],
            "communication": _communication([rank["communication"] for rank in ranks]),
        }
    return {"processes": case.processes, **facts}


COMMUNICATION = ("time_s", "exposed_s", "buckets", "reduced_bytes", "step_times_s")


def _communication(ranks: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Means over the ranks, or the first reason why one of them is not known."""
    problem = next((rank["problem"] for rank in ranks if "problem" in rank), None)
    if problem is not None:
        return {**dict.fromkeys(COMMUNICATION), "problem": problem}
    return {
        "problem": None,
        **{name: math.fsum(rank[name] for rank in ranks) / len(ranks) for name in ("time_s", "exposed_s")},
        **{name: ranks[0][name] for name in ("buckets", "reduced_bytes")},
        "step_times_s": [max(times_s) for times_s in zip(*(rank["step_times_s"] for rank in ranks), strict=True)],
    }


def proof_arrays(of_ranks: Sequence[Arrays]) -> Arrays:
    """The arrays of a proof from those of all ranks: joined outputs, mean losses, and the shared gradients."""
    first = of_ranks[0]
    outputs = [name for name in first if name.partition(":")[0] == "output"]
    whole = {**first, **{name: np.concatenate([arrays[name] for arrays in of_ranks]) for name in outputs}}
    if "losses" in first:
        whole["losses"] = np.mean([arrays["losses"] for arrays in of_ranks], axis=0)
    return whole


def sent_bytes(case: Case, parameters: int) -> int | None:
    """Bytes that each device must at least send per step; None if its strategy does not know.

    Gradients have the format of the weights that they update, which is fp32 in mixed precision, unless compressed.
    """
    is_compressed = strategies.GRADIENT_COMPRESSION in strategies.parse(case.strategy).options
    each = precisions.FORMAT_BYTES["fp16"] if is_compressed else precisions.gradient_bytes(case.precision)
    gradient_bytes = each * parameters
    least: int | None = strategies.load(case.strategy).sent_bytes(gradient_bytes, case.world_size)
    return least
