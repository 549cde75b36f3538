"""How far more devices help: speed-up and efficiency against one device, laws fitted to them, and what is in the way.

Strong scaling (one global batch, shared by more devices) and weak scaling (one local batch on each of more devices) are
told apart everywhere. A series begins with one device that is the same as each of the many: as many threads, the same
framework, build, settings and session.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from rigmark.bench import devices
from rigmark.bench.analysis.comparison.compare import Repetition, repetition
from rigmark.bench.analysis.results.findings import Finding, FindingKind
from rigmark.bench.analysis.results.summary import ALIKE_COLUMNS, is_nothing, key, rows_of, step_times
from rigmark.bench.analysis.results.validity import Validity, without_invalid
from rigmark.bench.analysis.statistics.estimate import Estimate, estimate
from rigmark.bench.document import formatting
from rigmark.bench.document.document import Origin
from rigmark.bench.document.language import tr
from rigmark.bench.enums import THREAD_POOLS, Outcome, Scaling, TrialKind
from rigmark.bench.plan import axes

Row = Mapping[str, Any]

FEWEST_SIZES = 3             # of a fit: a law with one unknown through two points would fit anything
MOST_EFFICIENT = 1.05        # beyond it, something other than devices has changed
NO_LOSS = 0.95               # efficiency from which on there is nothing to explain
MOST_OF = 0.5                # of the lost time, from which on something is called its cause
FALLS = 0.97                 # throughput below this share of that of fewer devices is called less

SAME_COLUMNS = (
    "origin", *axes.but(*axes.OF_WORLD), "framework_version", "graph_fingerprint", "machine", "node", "code_version",
    "settings", "session",
)
"""Facts of all sizes of a series, beside ``environment``."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """A world of one size, against one device."""

    world_size: int
    local_batch: int
    global_batch: int
    throughput: Estimate                     # samples/s
    speed_up: Estimate                       # throughput over that of one device
    row: Row                                 # of the table of results
    findings: tuple[Finding, ...] = ()       # of this point

    @property
    def efficiency(self) -> Estimate:
        """Speed-up per device: 1.0 is ideal."""
        return scaled(self.speed_up, 1 / self.world_size)

    @property
    def step_time_s(self) -> float:
        return self.global_batch / self.throughput.value

    @property
    def is_oversubscribed(self) -> bool:
        return bool(self.row.get("oversubscribed"))


@dataclass(frozen=True, kw_only=True)
class Law:
    """A law with one unknown: Amdahl's for strong scaling, Gustafson's for weak scaling."""

    name: str
    serial_share: float          # of the work that more devices do not speed up
    limit: float | None          # most speed-up that any number of devices can give; None: there is none


@dataclass(frozen=True, kw_only=True)
class Costs:
    """What a step takes, in seconds, as the sum of three parts that grow each in its own way."""

    scaling: Scaling
    compute_s: float             # of one device alone; strong scaling divides it
    link_s: float                # of sending the gradients once; a ring sends them 2 (N - 1) / N times
    shared_s: float              # for each device beyond the first: input, host, latency of a longer ring
    largest_error: float | None  # of the points it was fitted to, relative; None: no fewer parts than points, not known

    def parts_s(self, world_size: int) -> tuple[float, float, float]:
        """(computing, sending, sharing) in a step of so many devices."""
        compute_s = self.compute_s / (world_size if self.scaling is Scaling.STRONG else 1)
        return compute_s, self.link_s * ring(world_size), self.shared_s * (world_size - 1)

    def step_time_s(self, world_size: int) -> float:
        return math.fsum(self.parts_s(world_size))


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """Of a size that was not measured."""

    world_size: int
    throughput: float            # samples/s
    speed_up: float
    efficiency: float
    error: float | None          # the largest relative error at sizes that were measured; None: not known, see Costs


@dataclass(frozen=True, kw_only=True)
class Series:
    """One case on more and more devices."""

    scaling: Scaling
    strategy: str
    facts: Row                               # that all its sizes share
    points: tuple[Point, ...]                # by size, one device first
    law: Law | None                          # None, as the next: fewer than FEWEST_SIZES that count
    costs: Costs | None
    prediction: Prediction | None
    cause: str                               # in words; what keeps the largest size from being ideal

    @property
    def batch(self) -> int:
        """The one that stays the same."""
        return self.points[0].local_batch

    @property
    def findings(self) -> Iterator[Finding]:
        return (finding for point in self.points for finding in point.findings)


def scaled(of: Estimate, factor: float) -> Estimate:
    low, high = (None if end is None else end * factor for end in (of.low, of.high))
    return Estimate(value=of.value * factor, low=low, high=high, count=of.count)


def ring(world_size: int) -> float:
    """How many times each device sends the gradients in a bandwidth-optimal all-reduce."""
    return 2 * (world_size - 1) / world_size


# From results ---------------------------------------------------------------------------------------------------------


def read(results: pd.DataFrame, trials: pd.DataFrame) -> list[Series]:
    """Every series of the results of networks that has one device and a larger world, but for invalid results."""
    rows = [row for row in _timed(results) if row["validity"] != Validity.INVALID]
    if not any(row["world_size"] > 1 for row in rows):
        return []
    times = _throughputs(trials)
    return [
        series(scaling, strategy, members, [times.get(key(row, ALIKE_COLUMNS), {}) for row in members])
        for scaling, strategy, members in _sorted_out(rows)
    ]


def left_out(results: pd.DataFrame) -> list[Row]:
    """Invalid results of networks, one device or many, where any were measured on more than one."""
    rows = _timed(results)
    is_scaled = any(row["world_size"] > 1 for row in rows)
    return [row for row in rows if is_scaled and row["validity"] == Validity.INVALID]


def _timed(results: pd.DataFrame) -> list[Row]:
    is_timed = (results.kind == TrialKind.TIMING) & (results.outcome == Outcome.OK)
    return [row for row in rows_of(results[is_timed]) if not is_nothing(row["step_time_s"])]


def _sorted_out(rows: Sequence[Row]) -> Iterator[tuple[Scaling, str, list[Row]]]:
    """The rows of each series, by size; one device is in many of them."""
    alike: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        alike.setdefault((*key(row, SAME_COLUMNS), environment(row)), []).append(row)
    for members in alike.values():
        single = {row["local_batch"]: row for row in members if row["world_size"] == 1}
        worlds = [row for row in members if row["world_size"] > 1]
        for strategy, place in dict.fromkeys((row["strategy"], _place(row)) for row in worlds):
            own = [row for row in worlds if (row["strategy"], _place(row)) == (strategy, place)]
            for scaling, batch in ((Scaling.STRONG, "global_batch"), (Scaling.WEAK, "local_batch")):
                for size in sorted({row[batch] for row in own} & single.keys()):
                    many = sorted((row for row in own if row[batch] == size), key=lambda row: int(row["world_size"]))
                    yield scaling, str(strategy), [single[size], *many]


def _place(row: Row) -> int:
    """How devices are laid out, where a strategy has a choice: 0 for all in one process, else how many in each."""
    return 0 if row["processes"] == 1 else int(row["devices_per_process"])


def environment(row: Row) -> str:
    """Python, packages and variables that a row was measured with, as one text."""
    facts = {} if is_nothing(row.get("build_facts")) else json.loads(row["build_facts"])
    # A process of many devices has the threads of all of them in its pools.
    variables = {
        name: value for name, value in (facts.get("variables") or {}).items() if name not in THREAD_POOLS
    }
    return json.dumps([facts.get("python"), facts.get("packages"), variables], sort_keys=True)


def _throughputs(trials: pd.DataFrame) -> dict[tuple[Any, ...], dict[Repetition, float]]:
    """Samples/s by repetition, for each group of alike trials, but for invalid ones."""
    measured = without_invalid(trials[(trials.kind == TrialKind.TIMING) & (trials.outcome == Outcome.OK)])
    throughputs: dict[tuple[Any, ...], dict[Repetition, float]] = {}
    for trial in rows_of(measured):
        (time_s,) = step_times([trial["timings_s"]], int(trial["steps_per_timing"]))
        samples = int(trial["local_batch"]) * int(trial["world_size"])
        throughputs.setdefault(key(trial, ALIKE_COLUMNS), {})[repetition(trial)] = samples / time_s
    return throughputs


def series(
    scaling: Scaling, strategy: str, rows: Sequence[Row], throughputs: Sequence[Mapping[Repetition, float]]
) -> Series:
    """A series of rows, one device first, and the samples/s of each by repetition: equal repetitions are pairs.

    A row without repetitions, somebody's published figure, has its ``throughput_samples_per_s`` and no interval.
    """
    points: list[Point] = []
    for row, own in zip(rows, throughputs, strict=True):
        size = int(row["world_size"])
        points.append(Point(
            world_size=size, local_batch=int(row["local_batch"]), global_batch=int(row["local_batch"]) * size,
            throughput=_throughput(row), speed_up=_speed_up(rows[0], throughputs[0], row, own), row=row,
        ))
    judged = [_judged(point, points[:index]) for index, point in enumerate(points)]
    counting = [point for point in judged if not point.is_oversubscribed]
    law, costs = law_of(scaling, counting), costs_of(scaling, counting)
    return Series(
        scaling=scaling, strategy=strategy, facts={name: rows[0].get(name) for name in SAME_COLUMNS},
        points=tuple(judged), law=law, costs=costs, prediction=None if costs is None else predicted(costs, counting),
        cause=cause(counting, costs),
    )


def _throughput(row: Row) -> Estimate:
    low, high = (_number(row, f"throughput_{end}_samples_per_s") for end in ("low", "high"))
    return Estimate(
        value=float(row["throughput_samples_per_s"]), low=low, high=high, count=int(row.get("trials") or 1)
    )


def _number(row: Row, name: str) -> float | None:
    number = row.get(name)
    return None if number is None or is_nothing(number) else float(number)


def _speed_up(
    single: Row, of_single: Mapping[Repetition, float], row: Row, own: Mapping[Repetition, float]
) -> Estimate:
    """Of pairs of repetitions; of the two figures where there is no pair."""
    pairs = sorted(of_single.keys() & own.keys())
    if pairs:
        return estimate([own[pair] / of_single[pair] for pair in pairs])
    ratio = float(row["throughput_samples_per_s"]) / float(single["throughput_samples_per_s"])
    return Estimate(value=ratio, low=None, high=None, count=0)


def _judged(point: Point, smaller: Sequence[Point]) -> Point:
    return Point(**{**vars(point), "findings": tuple(_suspicions(point, smaller))})


def _suspicions(point: Point, smaller: Sequence[Point]) -> Iterator[Finding]:
    """What cannot be, or can hardly be; and what had to be left out."""
    invalid = _number(point.row, "invalid_trials")
    if invalid:
        yield Finding(
            id="invalid_trials", kind=FindingKind.WARNING,
            text=tr(
                "{n} of {all} trials of {devices} {n:is|are} invalid and left out", n=int(invalid),
                all=int(invalid) + point.throughput.count, devices=formatting.count(point.world_size, "device"),
            ),
        )
    if point.speed_up.count == 0 and point.row.get("origin") == Origin.MEASURED:
        yield Finding(
            id="not_in_one_run", kind=FindingKind.WARNING,
            text=tr(
                "no run measured a repetition of {devices} and of one, and trials measured at two times get no "
                "interval: measure both in one run, in a new session (--session)",
                devices=formatting.count(point.world_size, "device"),
            ),
        )
    if point.efficiency.value > MOST_EFFICIENT:
        yield Finding(
            id="superlinear", kind=FindingKind.WARNING,
            text=tr(
                "{devices} devices are {times} as fast as one, more than ideal: the one device was slowed down, or the "
                "share of each fits into a cache; measure both again", devices=point.world_size,
                times=formatting.times(point.speed_up.value),
            ),
        )
    before = [other for other in smaller if not other.is_oversubscribed]
    if before and not point.is_oversubscribed:
        most = max(before, key=lambda other: other.throughput.value)
        if point.throughput.value < FALLS * most.throughput.value:
            yield Finding(
                id="fewer_are_faster", kind=FindingKind.WARNING,
                text=tr(
                    "{devices} devices do {rate} samples/s, fewer than {fewer} with {higher}: either "
                    "they wait for each other more than they work, or something else ran; measure both again",
                    devices=point.world_size, rate=formatting.significant(point.throughput.value),
                    fewer=most.world_size, higher=formatting.significant(most.throughput.value),
                ),
            )


# Laws -----------------------------------------------------------------------------------------------------------------


def law_of(scaling: Scaling, points: Sequence[Point]) -> Law | None:
    """The share of the work that does not scale, by least squares; None for fewer than FEWEST_SIZES.

    Strong: Amdahl 1967, 1 / S = s + (1 - s) / N. Weak: Gustafson 1988, S = N - s (N - 1).
    """
    if len(points) < FEWEST_SIZES:
        return None
    sizes = np.array([point.world_size for point in points], float)
    speed_ups = np.array([point.speed_up.value for point in points])
    if scaling is Scaling.STRONG:
        known, wanted = 1 - 1 / sizes, 1 / speed_ups - 1 / sizes
    else:
        known, wanted = (sizes - 1) / sizes, 1 - speed_ups / sizes       # relative to N: every size weighs as much
    share = min(max(float(known @ wanted / (known @ known)), 0.0), 1.0)
    if scaling is Scaling.WEAK:
        return Law(name="Gustafson", serial_share=share, limit=None)
    return Law(name="Amdahl", serial_share=share, limit=1 / share if share > 0 else None)


def costs_of(scaling: Scaling, points: Sequence[Point]) -> Costs | None:
    """The three parts that explain the step times best; None for fewer than FEWEST_SIZES.

    Non-negative least squares of relative errors (Lawson and Hanson 1974), so that no part is below zero.
    """
    from scipy.optimize import nnls

    if len(points) < FEWEST_SIZES:
        return None
    times_s = np.array([point.step_time_s for point in points])
    sizes = np.array([point.world_size for point in points], float)
    alone = 1 / sizes if scaling is Scaling.STRONG else np.ones_like(sizes)
    parts = np.stack([alone, 2 * (sizes - 1) / sizes, sizes - 1], axis=1)
    solution, _ = nnls(parts / times_s[:, None], np.ones_like(times_s))
    errors = np.abs(parts @ solution / times_s - 1)
    compute_s, link_s, shared_s = map(float, solution)
    return Costs(
        scaling=scaling, compute_s=compute_s, link_s=link_s, shared_s=shared_s,
        largest_error=float(errors.max()) if np.count_nonzero(solution) < len(points) else None,
    )


def predicted(costs: Costs, points: Sequence[Point]) -> Prediction:
    """Twice the largest size."""
    single, size = points[0], 2 * points[-1].world_size
    samples = single.local_batch if costs.scaling is Scaling.STRONG else single.local_batch * size
    throughput = samples / costs.step_time_s(size)
    speed_up = throughput / single.throughput.value
    return Prediction(
        world_size=size, throughput=throughput, speed_up=speed_up, efficiency=speed_up / size,
        error=costs.largest_error,
    )


# The cause ------------------------------------------------------------------------------------------------------------


def cause(points: Sequence[Point], costs: Costs | None) -> str:
    """Why the largest world is not ideal, in a sentence, from what was measured of it; says so where that is not known.

    ``points`` are those that are not oversubscribed.
    """
    if len(points) < 2:
        return tr("only oversubscribed worlds were measured, which do not show how it scales")
    single, largest = points[0], points[-1]
    lost_s = largest.step_time_s * (1 - largest.efficiency.value)
    if largest.efficiency.value > MOST_EFFICIENT:
        return tr(
            "{devices} devices reach {share} of ideal, which is suspect, so no cause is given",
            devices=largest.world_size, share=_share(largest.efficiency.value),
        )
    if largest.efficiency.value >= NO_LOSS:
        return tr(
            "nothing limits it: {devices} devices reach {share} of ideal", devices=largest.world_size,
            share=_share(largest.efficiency.value),
        )
    loss = tr(
        "{share} of each step of {devices} devices ({lost} of {step_time}) is lost",
        share=_share(1 - largest.efficiency.value), devices=largest.world_size, lost=_time(lost_s),
        step_time=_time(largest.step_time_s),
    )
    loss += _doubt_of_loss(single, largest)
    causes = [*_communication(largest, lost_s), *_computing(single, largest, lost_s), *_input(largest, costs, lost_s)]
    return f"{loss}: {'; '.join(causes)}" if causes else tr(
        "{loss}, and the measurements do not show the cause", loss=loss,
    )


def _doubt_of_loss(single: Point, largest: Point) -> str:
    """How sure it is that anything is lost; empty where it is."""
    high, doubts = largest.efficiency.high, []
    if high is None:
        doubts.append(tr("too few pairs of one run were measured to give its error"))
    elif high >= NO_LOSS:
        doubts.append(tr("its interval reaches {share} of ideal, so it is not certain", share=_share(high)))
    if any(point.row.get("validity") == Validity.SUSPECT for point in (single, largest)):
        doubts.append(tr("the figures are suspect"))
    return tr(" ({doubts})", doubts="; ".join(doubts)) if doubts else ""


def _communication(largest: Point, lost_s: float) -> Iterator[str]:
    row = largest.row
    sent, time_s, exposed_s = (
        _number(row, name) for name in ("sent_bytes", "communication_time_s", "communication_exposed_s")
    )
    if not sent:
        return
    amount = tr("{sent} of gradients leave each device in a step", sent=_bytes(sent))
    if time_s is None or exposed_s is None:
        yield tr(
            "{amount}; how long that takes is not known ({reason})", amount=amount,
            reason=row.get("communication_reason") or tr("not measured"),
        )
        return
    rate = tr("no time")
    if time_s:
        rate = formatting.with_unit(sent / time_s, formatting.rate_unit([sent / time_s], "B/s"))
    text = tr(
        "{amount} at {rate}, of which {exposed} are not hidden behind the backward pass", amount=amount, rate=rate,
        exposed=_time(exposed_s),
    )
    if exposed_s < MOST_OF * lost_s:
        yield tr("{words}, which is less than half of the lost time", words=text)
        return
    machines = int(_number(row, "nodes") or 1)
    where = tr("within one machine, so that no network is part of it") if machines == 1 \
        else tr("over {n} machines, whose network is part of it", n=machines)
    yield tr(
        "for most of that time ranks exchange gradients or wait for each other, {where} ({words}); how much of it is "
        "waiting for the slowest was not measured", where=where, words=text,
    )


def _computing(single: Point, largest: Point, lost_s: float) -> Iterator[str]:
    """CPU time of a device, which communication over a CPU's own sockets is part of."""
    alone_s, together_s = (
        None if is_nothing(point.row.get("cpu_time_per_step_s")) else
        float(point.row["cpu_time_per_step_s"]) / point.world_size
        for point in (single, largest)
    )
    if alone_s is None or together_s is None or not devices.is_host(largest.row.get("device", "")):
        return
    alone_s *= largest.local_batch / single.local_batch
    if together_s - alone_s >= MOST_OF * lost_s:
        sums = _number(largest.row, "sent_bytes")
        yield tr(
            "each device uses {together} of CPU time in a step where one alone would use {alone}: cores share "
            "memory and caches", together=_time(together_s), alone=_time(alone_s),
        ) + (tr("; they sum gradients too") if sums else "")


def _input(largest: Point, costs: Costs | None, lost_s: float) -> Iterator[str]:
    if costs is None or lost_s <= 0:
        return
    _, link_s, shared_s = costs.parts_s(largest.world_size)
    if shared_s >= MOST_OF * lost_s:
        what = tr("input or host") if largest.row.get("data") not in (None, "synthetic") else tr("host or latency")
        yield tr(
            "most of it grows with every device ({time}), as does time spent on what all of them share: {what}",
            time=_time(shared_s), what=what,
        )
    elif link_s >= MOST_OF * lost_s:
        yield tr(
            "most of it is the time of sending gradients around ({time}), whatever the number of devices",
            time=_time(link_s),
        )


def _share(share: float) -> str:
    return formatting.share(share)


def _time(time_s: float) -> str:
    return formatting.with_unit(time_s, formatting.time_unit([abs(time_s)]))


def _bytes(size: float) -> str:
    return formatting.with_unit(size, formatting.rate_unit([size], "B"))


# As plain data --------------------------------------------------------------------------------------------------------


def plain(every: Iterable[Series]) -> list[dict[str, Any]]:
    """For scripts: names stay, more may be added; None for what is not known."""
    return [
        {
            "scaling": each.scaling.value, "strategy": each.strategy, "batch": each.batch,
            **{name: _plain(fact) for name, fact in each.facts.items()},
            "points": [
                {
                    "world_size": point.world_size, "local_batch": point.local_batch,
                    "global_batch": point.global_batch, "oversubscribed": point.is_oversubscribed,
                    "processes": _plain(point.row.get("processes")), "step_time_s": point.step_time_s,
                    "trials": point.throughput.count, **_ends("throughput", point.throughput, "_samples_per_s"),
                    **_ends("speed_up", point.speed_up), **_ends("efficiency", point.efficiency),
                    **{name: _plain(point.row.get(name)) for name in (
                        "rank_spread", "sent_bytes", "communication_time_s", "communication_exposed_s",
                        "communication_reason", "validity", "latency_p50_s", "latency_p99_s",
                    )},
                    "findings": [{"id": f.id, "kind": f.kind.value, "text": f.text} for f in point.findings],
                }
                for point in each.points
            ],
            "law": None if each.law is None else vars(each.law),
            "costs": None if each.costs is None else {**vars(each.costs), "scaling": each.scaling.value},
            "prediction": None if each.prediction is None else {**vars(each.prediction), "origin": "predicted"},
            "cause": each.cause,
        }
        for each in every
    ]


def _ends(name: str, of: Estimate, unit: str = "") -> dict[str, float | None]:
    return {f"{name}{unit}": of.value, f"{name}_low{unit}": of.low, f"{name}_high{unit}": of.high}


def _plain(fact: Any) -> Any:
    if is_nothing(fact):
        return None
    return fact.item() if isinstance(fact, np.generic) else fact
