"""Testers of claims about time: shares of a step, and how much faster one thing is than another."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from rigmark.bench.analysis import scaling
from rigmark.bench.analysis.comparison.compare import Comparison, certain
from rigmark.bench.analysis.results import quoted
from rigmark.bench.analysis.results.observed import seen
from rigmark.bench.analysis.results.summary import ALIKE_COLUMNS, is_nothing, key, rows_of
from rigmark.bench.analysis.results.validity import Validity
from rigmark.bench.analysis.statistics.decision import fewest_pairs
from rigmark.bench.claims.claim import NO_INTERVAL, Answer, Claim, Standing, judged
from rigmark.bench.claims.evidence import Evidence, case_in_words, has_model, is_asked, is_on, is_usual, names_of
from rigmark.bench.document.document import Origin
from rigmark.bench.document.formatting import share
from rigmark.bench.document.language import tr, tr_later, word
from rigmark.bench.enums import Isa, Mode, Outcome, Precision, TrialKind
from rigmark.bench.store.quoted import FACTS, Source

SAME = tuple(name for name in ALIKE_COLUMNS if name != "build_facts")       # which contains the settings of an axis
FACTS_OF_A_BUILD = ("framework_version",)
DOUBTS_OF_SHARES = frozenset({"layer_closure", "layer_overhead", "layer_uneven", "layer_trace"})
"""Findings that cast doubt on shares of a layer trial. That of its cover is not one: the range of a share has it."""


def op_share(claim: Claim, evidence: Evidence) -> Iterator[Answer]:
    """Share of a step that operations take. At most, all unattributed time is theirs as well.

    One trial has no spread, so its share may be wrong by the factor NO_INTERVAL beyond that range. It decides nothing
    if there is a doubt whether its layers are those of the timed step.
    """
    ops = set(names_of(claim.where["op"]))
    for case in evidence.layer_profiles:
        if is_asked(case.case, claim) and is_usual(case.case):
            own = math.fsum(row.share for row in case.rows if row.op in ops)
            nowhere = math.fsum(row.share for row in case.rows if row.is_residual)
            between = own / NO_INTERVAL, min((own + max(nowhere, 0.0)) * NO_INTERVAL, 1.0)
            doubts = [finding.id for finding in case.findings if finding.id in DOUBTS_OF_SHARES]
            yield Answer(
                about=case_in_words({**case.case, "origin": "measured"}), value=own, low=between[0], high=between[1],
                certain=between, count=1,
                doubt=tr("there are doubts about its layer trial: {findings}", findings=", ".join(doubts))
                if doubts else "",
                remark=tr("{share} of the step belong to no layer", share=share(nowhere)),
            )
    for row in evidence.quoted:
        layers = row.get("layers") or ()
        whole_s = math.fsum(layer["time_s"] for layer in layers)
        if whole_s > 0 and is_asked(row, claim):
            own_s = math.fsum(layer["time_s"] for layer in layers if layer["op"] in ops)
            yield Answer(about=case_in_words(row), value=own_s / whole_s, origin=Origin.QUOTED, remark=row["name"])


def speed_up(claim: Claim, evidence: Evidence) -> Iterator[Answer]:
    """Speed of one value of an axis relative to another, all else equal, in pairs of repetitions."""
    axis, of, over = (str(claim.where[name]) for name in ("axis", "of", "over"))
    same = tuple(name for name in (*SAME, *FACTS_OF_A_BUILD) if name != axis)
    bases = {key(row, same): row for row in evidence.results if row[axis] == over}
    for row in evidence.results:
        base = bases.get(key(row, same))
        if row[axis] != of or base is None or not is_asked(row, claim):
            continue
        comparison = evidence.between(base, row)
        if comparison is not None:
            yield _of_pairs(axis, row, base, comparison)


def _of_pairs(axis: str, row: Mapping[str, Any], base: Mapping[str, Any], comparison: Comparison) -> Answer:
    doubt = ""
    if axis == "isa" and base["isa"] != Isa.NATIVE and base["isa_proof"] != base["isa"]:
        doubt = tr("it is not proven that it used only {isa} ({proof})", isa=base["isa"], proof=word(base["isa_proof"]))
    return _of_comparison(case_in_words(row), comparison, base, row, doubt=doubt)


def said_of_a_speed_up(
    claims: Sequence[Claim], axis: str, row: Mapping[str, Any], base: Mapping[str, Any], comparison: Comparison
) -> Iterator[tuple[Claim, Standing]]:
    """The claims about exactly this comparison of two results, each with what the comparison says about it."""
    for claim in claims:
        asked = [claim.where.get(name) for name in ("axis", "of", "over")]
        if claim.quantity == "speed_up" and asked == [axis, row[axis], base[axis]] and is_asked(row, claim):
            yield claim, judged(_of_pairs(axis, row, base, comparison), claim).standing


def _of_comparison(
    about: str, comparison: Comparison, *rows: Mapping[str, Any], factor: float = 1.0, doubt: str = ""
) -> Answer:
    """The answer of a comparison of these results: ``factor`` times its speed-up."""
    of, sure = scaling.scaled(comparison.speed_up, factor), comparison.certain
    return Answer(
        about=about, value=of.value, low=of.low, high=of.high, count=of.count, is_suspect=_are_suspect(rows),
        certain=None if sure is None else (factor * sure[0], factor * sure[1]),
        doubt="; ".join(filter(None, (doubt, "" if comparison.is_paired else tr(NOT_TOGETHER)))),
    )


NOT_TOGETHER = tr_later("not measured in the same run, so there is no verdict")


def _are_suspect(rows: Iterable[Mapping[str, Any]]) -> bool:
    return any(row["validity"] == Validity.SUSPECT for row in rows)


def world_speed_up(claim: Claim, evidence: Evidence) -> Iterator[Answer]:
    """Throughput of N devices relative to that of one."""
    size = int(claim.where["world_size"])
    for series in evidence.series:
        if is_asked(series.facts, claim):
            for point in series.points:
                comparison = evidence.between(series.points[0].row, point.row)
                if point.world_size == size and not point.is_oversubscribed and comparison is not None:
                    about = tr("{case}, {scaling} scaling", case=case_in_words(series.facts),
                               scaling=word(series.scaling))
                    yield _of_comparison(about, comparison, series.points[0].row, point.row,
                                         factor=point.global_batch / series.points[0].global_batch)
    for single, worlds in _quoted_worlds(claim, evidence):
        yield from (
            Answer(about=_on(row, size), value=_rate(row) / _rate(single), origin=Origin.QUOTED, remark=row["name"])
            for row in worlds if row["world_size"] == size
        )


def efficiency_falls(claim: Claim, evidence: Evidence) -> Iterator[Answer]:
    """Efficiency of the most devices relative to that of two devices; it falls if this is below 1."""
    for series in evidence.series:
        own = {point.world_size: point for point in series.points if not point.is_oversubscribed}
        if is_asked(series.facts, claim) and 2 in own and max(own) > 2:
            two, most = own[2], own[max(own)]
            comparison = evidence.between(two.row, most.row)
            if comparison is not None:
                factor = most.global_batch / most.world_size / (two.global_batch / two.world_size)
                yield _of_comparison(_on(series.facts, most.world_size), comparison, two.row, most.row, factor=factor)
    for single, worlds in _quoted_worlds(claim, evidence):
        efficiency = {int(row["world_size"]): (_rate(row) / _rate(single) / row["world_size"], row) for row in worlds}
        if 2 in efficiency and max(efficiency) > 2:
            value, row = efficiency[max(efficiency)]
            yield Answer(about=_on(row, max(efficiency)), value=value / efficiency[2][0], origin=Origin.QUOTED,
                         remark=row["name"])


def _on(row: Mapping[str, Any], devices: int) -> str:
    """The case with its devices in words: "vgg16 training, batch 32, 4 devices"."""
    return tr("{case}, {devices} devices", case=case_in_words(row), devices=devices)


def _quoted_worlds(claim: Claim, evidence: Evidence) -> Iterator[tuple[quoted.Row, list[quoted.Row]]]:
    """(row of one device, rows of several such devices with the same local batch), of quoted tables."""
    known = [row for row in evidence.quoted if row.get("world_size") and quoted.throughput(row)
             and row.get("mode") and is_asked(row, claim)]
    facts = tuple(name for name in FACTS if name not in ("world_size", "strategy"))
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


def throughput(claim: Claim, evidence: Evidence) -> Iterator[Answer]:
    """Samples per second on a named device."""
    for row in evidence.results:
        if is_asked(row, claim) and is_usual(row):
            yield _of_row(row)
    for row in evidence.quoted:
        rate = quoted.throughput(row)
        if rate is not None and is_asked(row, claim):
            yield Answer(about=case_in_words(row), value=rate, origin=Origin.QUOTED, remark=row["name"])


def _of_row(row: Mapping[str, Any]) -> Answer:
    return Answer(
        about=case_in_words(row), value=float(row["throughput_samples_per_s"]), count=int(row["trials"]),
        low=_known(row["throughput_low_samples_per_s"]), high=_known(row["throughput_high_samples_per_s"]),
        certain=certain([row["global_batch"] / time_s for time_s in row["trial_step_times_s"] or ()]),
        is_suspect=_are_suspect([row]),
    )


def _known(number: Any) -> float | None:
    return None if is_nothing(number) else float(number)


def throughput_ratio(claim: Claim, evidence: Evidence) -> Iterator[Answer]:
    """Throughput of one device relative to another, for equal source, network, mode, batch and framework."""
    mode = str(claim.where["mode"])
    of, over = (str(claim.where[name]) for name in ("of_device", "over_device"))
    here = [(row, _known(row["throughput_samples_per_s"])) for row in evidence.results
            if row["mode"] == mode and is_usual(row)]
    there = [(row, _rate_of(row, mode)) for row in evidence.quoted]
    for origin, rows in ((Origin.MEASURED, here), (Origin.QUOTED, there)):
        asked = [(row, rate) for row, rate in rows if rate and has_model(row["model"], claim.where.get("model"))]
        fast_ones: dict[tuple[Any, ...], list[tuple[Mapping[str, Any], float]]] = {}
        for row, rate in asked:
            if is_on(row, of):
                fast_ones.setdefault(_matched(row), []).append((row, rate))
        for slow, slow_rate in asked:
            for fast, fast_rate in fast_ones.get(_matched(slow), ()) if is_on(slow, over) else ():
                about = tr("{model} {mode}, batch {batch}: {fast} over {slow}", model=slow["model"], mode=word(mode),
                           batch=slow["local_batch"], fast=_device(fast), slow=_device(slow))
                comparison = evidence.between(slow, fast) if origin is Origin.MEASURED else None
                yield Answer(
                    about=about, value=fast_rate / slow_rate, origin=origin, remark=f"{fast['name']}; {slow['name']}",
                ) if comparison is None else _of_comparison(about, comparison, slow, fast)


MATCHED = tuple(fact for fact in FACTS if fact not in ("device", "device_name"))


def _matched(row: Mapping[str, Any]) -> tuple[Any, ...]:
    source = row.get("source")
    return (*key(row, MATCHED), source.format if isinstance(source, Source) else None)


def _device(row: Mapping[str, Any]) -> str:
    return str(row.get("device") if is_nothing(row.get("device_name")) else row["device_name"])


def _rate_of(row: quoted.Row, mode: str) -> float | None:
    """Samples per second in a mode; the forward pass of a training row counts as inference."""
    if row.get("mode") == mode:
        return quoted.throughput(row)
    timings_s, batch = row.get("forward_timings_s") or (), quoted.samples(row)
    time_s = float(np.median(timings_s)) if timings_s else row.get("forward_time_s")
    return batch / time_s if mode == Mode.INFERENCE and batch and time_s else None


def model_time_ratio(claim: Claim, evidence: Evidence) -> Iterator[Answer]:
    """Step time of one network relative to that of another, in pairs of repetitions, all else equal."""
    of, over = (str(claim.where[name]) for name in ("model", "over_model"))
    same = tuple(name for name in (*SAME, *FACTS_OF_A_BUILD) if name not in ("model", "graph_fingerprint"))
    bases = {key(row, same): row for row in evidence.results if row["model"] == over}
    for row in evidence.results:
        base = bases.get(key(row, same))
        if row["model"] == of and base is not None:
            comparison = evidence.between(row, base)
            if comparison is not None:
                about = tr("{case}, over {other}", case=case_in_words(row), other=over)
                yield _of_comparison(about, comparison, base, row)


def pass_time(claim: Claim, evidence: Evidence) -> Iterator[Answer]:
    """Minutes for a number of passes over a number of samples."""
    samples = float(claim.where["samples"]) * float(claim.where["passes"])
    for row in evidence.results:
        if is_asked(row, claim, mode=Mode.TRAINING, precision=Precision.FP32) and is_usual(row):
            rate = _of_row(row)

            def minutes(per_s: float) -> float:
                return samples / per_s / 60

            yield replace(
                rate, value=minutes(rate.value), low=None if rate.high is None else minutes(rate.high),
                high=None if rate.low is None else minutes(rate.low),
                certain=rate.certain and (minutes(rate.certain[1]), minutes(rate.certain[0])),
            )


def gpu_busy(claim: Claim, evidence: Evidence) -> Iterator[Answer]:
    """Share of the driver's sampling periods in which a GPU had work, while steps were timed: the median of trials."""
    timed = evidence.trials
    timed = timed[(timed.kind == TrialKind.TIMING) & (timed.outcome == Outcome.OK) & timed.telemetry.notna()]
    by_case: dict[tuple[Any, ...], list[float]] = {}
    for trial in rows_of(timed):
        if is_asked(trial, claim):
            for gpu in seen(trial).gpus:
                if (busy := gpu.mean("busy_ratio")) is not None:
                    about = f"{case_in_words({**trial, 'origin': 'measured'})}, {gpu.name}"
                    by_case.setdefault((about, *key(trial, ALIKE_COLUMNS)), []).append(busy)
    for (about, *_), shares in by_case.items():
        # Sign test: the median lies outside the range of n values with probability 2 ** (1 - n).
        is_enough = len(shares) >= fewest_pairs(1, 1)
        yield Answer(about=about, value=float(np.median(shares)), count=len(shares),
                     certain=(min(shares), max(shares)) if is_enough else None)
