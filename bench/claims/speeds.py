"""Testers of claims about time: where it goes, and how much faster one thing is than another."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from rigmark.bench.analysis.comparison.compare import Comparison, compare
from rigmark.bench.analysis.results import quoted
from rigmark.bench.analysis.results.observed import seen
from rigmark.bench.analysis.results.summary import ALIKE_COLUMNS, is_nothing, key, rows_of
from rigmark.bench.analysis.statistics.estimate import Estimate
from rigmark.bench.claims.claim import NO_INTERVAL, Answer, Claim, Standing, judged
from rigmark.bench.claims.evidence import Evidence, case_in_words, has_model, is_asked, is_on, is_usual, names_of
from rigmark.bench.document.document import Origin
from rigmark.bench.document.formatting import share
from rigmark.bench.document.language import tr, word
from rigmark.bench.enums import Isa, Mode, Outcome, Precision, TrialKind

SAME = tuple(name for name in ALIKE_COLUMNS if name != "build_facts")       # which holds the switches of an axis
FACTS_OF_A_BUILD = ("framework_version",)


def op_share(claim: Claim, held_against: Evidence) -> Iterator[Answer]:
    """Share of a step that operations take; up to all the time that no layer accounts for might be theirs too.

    One trial tells no spread: what it says is taken as within NO_INTERVAL on top of that.
    """
    ops = set(names_of(claim.where["op"]))
    for case in held_against.taken_apart:
        if is_asked(case.case, claim) and is_usual(case.case):
            own = math.fsum(row.share for row in case.rows if row.op in ops)
            nowhere = math.fsum(row.share for row in case.rows if row.is_residual)
            yield Answer(
                about=case_in_words({**case.case, "origin": "measured"}), value=own, low=own / NO_INTERVAL,
                high=min((own + max(nowhere, 0.0)) * NO_INTERVAL, 1.0), count=1,
                remark=tr("{share} of the step are of no layer", share=share(nowhere)),
            )
    for row in held_against.quoted:
        layers = row.get("layers") or ()
        whole_s = math.fsum(layer["time_s"] for layer in layers)
        if whole_s > 0 and is_asked(row, claim):
            own_s = math.fsum(layer["time_s"] for layer in layers if layer["op"] in ops)
            yield Answer(about=case_in_words(row), value=own_s / whole_s, origin=Origin.QUOTED, remark=row["name"])


def speed_up(claim: Claim, held_against: Evidence) -> Iterator[Answer]:
    """Speed of one value of an axis over another, all else equal, in pairs of repetitions."""
    axis, of, over = (str(claim.where[name]) for name in ("axis", "of", "over"))
    times = held_against.times
    same = tuple(name for name in (*SAME, *FACTS_OF_A_BUILD) if name != axis)
    bases = {key(row, same): row for row in held_against.results if row[axis] == over}
    for row in held_against.results:
        base = bases.get(key(row, same))
        if row[axis] != of or base is None or not is_asked(row, claim):
            continue
        found = compare(times.get(key(base, ALIKE_COLUMNS), {}), times.get(key(row, ALIKE_COLUMNS), {}))
        if found is not None:
            yield _of_pairs(axis, row, base, found)


def _of_pairs(axis: str, row: Mapping[str, Any], base: Mapping[str, Any], found: Comparison) -> Answer:
    doubt = ""
    if axis == "isa" and base["isa"] != Isa.NATIVE and base["isa_proof"] != base["isa"]:
        doubt = tr("that it kept to {isa} is not proven ({proof})", isa=base["isa"], proof=word(base["isa_proof"]))
    return _of_estimate(case_in_words(row), found.speed_up, doubt=doubt)


def said_of_a_speed_up(
    claims: Sequence[Claim], axis: str, row: Mapping[str, Any], base: Mapping[str, Any], found: Comparison
) -> Iterator[tuple[Claim, Standing]]:
    """Claims about just this comparison of one result with another, each with what it says of them."""
    for claim in claims:
        asked = [claim.where.get(name) for name in ("axis", "of", "over")]
        if claim.quantity == "speed_up" and asked == [axis, row[axis], base[axis]] and is_asked(row, claim):
            yield claim, judged(_of_pairs(axis, row, base, found), claim).standing


def _of_estimate(about: str, found: Estimate, doubt: str = "") -> Answer:
    return Answer(
        about=about, value=found.value, low=found.low, high=found.high, count=found.count,
        doubt="; ".join(filter(None, (doubt, _of_two_times(found)))),
    )


def _of_two_times(*found: Estimate) -> str:
    """The doubt about ratios of what no run measured together; empty where each is one of pairs."""
    return "" if all(each.count for each in found) else tr("not measured in one run, so without a verdict")


def world_speed_up(claim: Claim, held_against: Evidence) -> Iterator[Answer]:
    """Throughput of N devices over that of one."""
    size = int(claim.where["world_size"])
    for series in held_against.series:
        if is_asked(series.facts, claim):
            yield from (
                _of_estimate(tr("{case}, {scaling} scaling", case=case_in_words(series.facts),
                                scaling=word(series.scaling)), point.speed_up)
                for point in series.points if point.world_size == size and not point.is_oversubscribed
            )
    for single, worlds in _quoted_worlds(claim, held_against):
        yield from (
            Answer(about=_on(row, size), value=_rate(row) / _rate(single), origin=Origin.QUOTED, remark=row["name"])
            for row in worlds if row["world_size"] == size
        )


def efficiency_falls(claim: Claim, held_against: Evidence) -> Iterator[Answer]:
    """Efficiency of the most devices over that of two: below 1 it falls."""
    for series in held_against.series:
        own = {p.world_size: p.efficiency for p in series.points if not p.is_oversubscribed}
        if is_asked(series.facts, claim) and 2 in own and max(own) > 2:
            most, two = own[max(own)], own[2]
            yield Answer(
                about=_on(series.facts, max(own)), value=most.value / two.value, doubt=_of_two_times(most, two)
            )
    for single, worlds in _quoted_worlds(claim, held_against):
        efficiency = {int(row["world_size"]): (_rate(row) / _rate(single) / row["world_size"], row) for row in worlds}
        if 2 in efficiency and max(efficiency) > 2:
            value, row = efficiency[max(efficiency)]
            yield Answer(about=_on(row, max(efficiency)), value=value / efficiency[2][0], origin=Origin.QUOTED,
                         remark=row["name"])


def _on(row: Mapping[str, Any], devices: int) -> str:
    """"vgg16 training, batch 32, 4 devices"."""
    return tr("{case}, {devices} devices", case=case_in_words(row), devices=devices)


def _quoted_worlds(claim: Claim, held_against: Evidence) -> Iterator[tuple[quoted.Row, list[quoted.Row]]]:
    """One device, and more of the same with the same local batch."""
    known = [row for row in held_against.quoted if row.get("world_size") and quoted.throughput(row)
             and row.get("mode") and is_asked(row, claim)]
    facts = tuple(name for name in quoted.FACTS if name not in ("world_size", "strategy"))
    alike: dict[tuple[Any, ...], list[quoted.Row]] = {}
    for row in known:
        conditions = tuple(sorted(row["conditions"].items()))
        alike.setdefault((row["table"], *key(row, facts), conditions), []).append(row)
    for rows in alike.values():
        single = next((row for row in rows if row["world_size"] == 1), None)
        worlds = [row for row in rows if row["world_size"] > 1]
        if single is not None and worlds:
            yield single, worlds


def _rate(row: quoted.Row) -> float:
    return quoted.throughput(row) or math.nan


def throughput(claim: Claim, held_against: Evidence) -> Iterator[Answer]:
    """Samples per second on a named device."""
    for row in held_against.results:
        if is_asked(row, claim) and is_usual(row):
            yield _of_row(row)
    for row in held_against.quoted:
        rate = quoted.throughput(row)
        if rate is not None and is_asked(row, claim):
            yield Answer(about=case_in_words(row), value=rate, origin=Origin.QUOTED, remark=row["name"])


def _of_row(row: Mapping[str, Any]) -> Answer:
    return Answer(
        about=case_in_words(row), value=float(row["throughput_samples_per_s"]), count=int(row["trials"]),
        low=_known(row["throughput_low_samples_per_s"]), high=_known(row["throughput_high_samples_per_s"]),
    )


def _known(number: Any) -> float | None:
    return None if is_nothing(number) else float(number)


def throughput_ratio(claim: Claim, held_against: Evidence) -> Iterator[Answer]:
    """Samples per second of one device over another's: same source, network, mode, batch and framework."""
    mode = str(claim.where["mode"])
    of, over = (str(claim.where[name]) for name in ("of_device", "over_device"))
    here = [(row, _known(row["throughput_samples_per_s"])) for row in held_against.results
            if row["mode"] == mode and is_usual(row)]
    there = [(row, _rate_of(row, mode)) for row in held_against.quoted]
    for origin, rows in ((Origin.MEASURED, here), (Origin.QUOTED, there)):
        asked = [(row, rate) for row, rate in rows if rate and has_model(row["model"], claim.where.get("model"))]
        fast_ones: dict[tuple[Any, ...], list[tuple[Mapping[str, Any], float]]] = {}
        for row, rate in asked:
            if is_on(row, of):
                fast_ones.setdefault(_matched(row), []).append((row, rate))
        for slow, slow_rate in asked:
            for fast, fast_rate in fast_ones.get(_matched(slow), ()) if is_on(slow, over) else ():
                yield Answer(
                    about=tr("{model} {mode}, batch {batch}: {fast} over {slow}", model=slow["model"], mode=word(mode),
                             batch=slow["local_batch"], fast=_device(fast), slow=_device(slow)),
                    value=fast_rate / slow_rate, origin=origin,
                    remark="" if origin is Origin.MEASURED else f"{fast['name']}; {slow['name']}",
                )


MATCHED = ("model", "mode", "local_batch", "world_size", "framework", "framework_version", "precision")


def _matched(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return (*key(row, MATCHED), (row.get("source") or {}).get("format"))


def _device(row: Mapping[str, Any]) -> str:
    return str(row.get("device") if is_nothing(row.get("device_name")) else row["device_name"])


def _rate_of(row: quoted.Row, mode: str) -> float | None:
    """Samples per second of a mode; of a training row its forward pass is inference."""
    if row.get("mode") == mode:
        return quoted.throughput(row)
    timings_s, batch = row.get("forward_timings_s") or (), quoted.samples(row)
    time_s = float(np.median(timings_s)) if timings_s else row.get("forward_time_s")
    return batch / time_s if mode == Mode.INFERENCE and batch and time_s else None


def model_time_ratio(claim: Claim, held_against: Evidence) -> Iterator[Answer]:
    """Step time of one network over that of another, in pairs of repetitions, all else equal."""
    of, over = (str(claim.where[name]) for name in ("model", "over_model"))
    times = held_against.times
    same = tuple(name for name in (*SAME, *FACTS_OF_A_BUILD) if name not in ("model", "graph_fingerprint"))
    bases = {key(row, same): row for row in held_against.results if row["model"] == over}
    for row in held_against.results:
        base = bases.get(key(row, same))
        if row["model"] == of and base is not None:
            found = compare(times.get(key(row, ALIKE_COLUMNS), {}), times.get(key(base, ALIKE_COLUMNS), {}))
            if found is not None:
                yield _of_estimate(tr("{case}, over {other}", case=case_in_words(row), other=over), found.speed_up)


def pass_time(claim: Claim, held_against: Evidence) -> Iterator[Answer]:
    """Minutes for so many samples, so many times."""
    samples = float(claim.where["samples"]) * float(claim.where["passes"])
    for row in held_against.results:
        if is_asked(row, claim, mode=Mode.TRAINING, precision=Precision.FP32) and is_usual(row):
            rate = _of_row(row)
            ends = (None, None) if rate.low is None or rate.high is None else \
                (samples / rate.high / 60, samples / rate.low / 60)
            yield replace(rate, value=samples / rate.value / 60, low=ends[0], high=ends[1])


def gpu_busy(claim: Claim, held_against: Evidence) -> Iterator[Answer]:
    """Share of the driver's sampling periods in which a GPU had work, while steps were timed."""
    timed = held_against.trials
    timed = timed[(timed.kind == TrialKind.TIMING) & (timed.outcome == Outcome.OK) & timed.telemetry.notna()]
    for trial in rows_of(timed):
        if is_asked(trial, claim):
            for gpu in seen(trial).gpus:
                if (busy := gpu.mean("busy_ratio")) is not None:
                    about = f"{case_in_words({**trial, 'origin': 'measured'})}, {gpu.name}"
                    yield Answer(about=about, value=busy, count=1)
