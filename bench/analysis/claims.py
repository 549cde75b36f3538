"""What is said of deep learning and hardware, held against results: confirmed, refuted, open, or not testable here.

A claim is about a *quantity*; each kind of quantity has one small tester here, which finds its value in what is stored.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bench.analysis import box, formatting, quoted, scaling, telemetry
from bench.analysis.compare import Comparison, by_repetition, compare
from bench.analysis.document import Origin
from bench.analysis.language import tr, tr_later, word
from bench.analysis.layers import TakenApart
from bench.analysis.statistics import CONFIDENCE, Estimate
from bench.analysis.summary import ALIKE_COLUMNS, is_nothing, key
from bench.isa import Isa
from bench.offers import cards
from bench.words import Mode, Outcome, Precision, TrialKind

if TYPE_CHECKING:
    from bench.analysis.story.proofs import Proof

NO_INTERVAL = 1.10           # factor by which a published figure, or a share of one trial's time, may be off
FEW_TRIALS = 1.50            # the same of a time of too few trials for an interval: the machine may have been disturbed
SIGMAS = 1.959964            # of a normal distribution, for an interval of 95 %
assert CONFIDENCE == 0.95


class Standing(StrEnum):
    """What became of a claim."""

    CONFIRMED = "confirmed"
    REFUTED = "refuted"
    OPEN = "open"                        # results are there, and do not decide, or do not agree
    UNTESTABLE = "not testable here"


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A sentence that somebody wrote, with what it says of which quantity."""

    id: str
    says: str                            # the sentence, in short
    quantity: str                        # a name in QUANTITIES
    value: float | None                  # as claimed; None where the sentence states no number
    low: float | None                    # between these it would still be called that; None: no limit on that side
    high: float | None
    how: str                             # it is tested here
    where: Mapping[str, Any]             # what it is about, in the words of its quantity
    source: str                          # title of what says so
    note: str = ""
    can_refute: bool = True              # False where the results cannot be as good as what the sentence speaks of


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One figure that bears on a claim. Without an interval ``low`` and ``high`` are None."""

    about: str
    value: float
    low: float | None = None
    high: float | None = None
    count: int | None = None             # trials
    origin: Origin = Origin.MEASURED
    doubt: str = ""                      # why it decides nothing; empty where it does
    remark: str = ""
    standing: Standing = Standing.OPEN   # set by ``judged``


@dataclass(frozen=True, kw_only=True)
class Held:
    claim: Claim
    standing: Standing
    why: str                             # in words: how many figures say so, or why there is none
    answers: tuple[Answer, ...]
    unit: str


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """All that claims are held against."""

    results: Sequence[Mapping[str, Any]]         # rows of bench.analysis.summary, of networks that were timed
    trials: pd.DataFrame
    taken_apart: Sequence[TakenApart]
    series: Sequence[scaling.Series]
    proofs: Sequence[Proof]
    quoted: Sequence[quoted.Row]                 # lines of imported tables
    models: frozenset[str]                       # networks that there are
    filters: Callable[[int, int], Filters]       # (kernel, how many) -> what a stack of such convolutions is


@dataclass(frozen=True, kw_only=True)
class Filters:
    """A stack of convolutions of one channel, from its graph."""

    weights: int
    sees: int                                    # width of the patch that one output depends on
    flops_per_output: int


class NotTestable(Exception):
    """Why a claim cannot be tested with what there is, a sentence."""


def evidence(
    results: pd.DataFrame, trials: pd.DataFrame, taken_apart: Sequence[TakenApart], proofs: Sequence[Proof],
    tables: Sequence[quoted.Table], *, models: frozenset[str], filters: Callable[[int, int], Filters],
) -> Evidence:
    rows = [
        {str(name): fact for name, fact in row.items()} for row in results.to_dict("records")
        if row["kind"] == TrialKind.TIMING and row["outcome"] == Outcome.OK and not is_nothing(row["step_time_s"])
        and row["validity"] != telemetry.Validity.INVALID
    ]
    return Evidence(
        results=rows, trials=trials, taken_apart=taken_apart, series=scaling.read(results, trials), proofs=proofs,
        quoted=quoted.rows(tables), models=models, filters=filters,
    )


# The outcome --------------------------------------------------------------------------------------------------------


def hold(claims: Sequence[Claim], held_against: Evidence) -> list[Held]:
    """Every claim with its outcome, in the same order."""
    return [_held(claim, held_against) for claim in claims]


def _held(claim: Claim, held_against: Evidence) -> Held:
    quantity = QUANTITIES[claim.quantity]
    try:
        answers = [judged(answer, claim) for answer in quantity.answers(claim, held_against)]
    except NotTestable as reason:
        return Held(claim=claim, standing=Standing.UNTESTABLE, why=str(reason), answers=(), unit=quantity.unit)
    if not answers:
        return Held(
            claim=claim, standing=Standing.UNTESTABLE, why=_why_nothing(claim, held_against), answers=(),
            unit=quantity.unit,
        )
    # What was measured goes before what somebody else says.
    deciding = [answer for answer in answers if answer.origin is not Origin.QUOTED] or answers
    standing, why = overall(deciding, claim)
    if deciding[0].origin is Origin.QUOTED:
        why = tr("published results alone, {why}", why=why)
    return Held(claim=claim, standing=standing, why=why, answers=tuple(answers), unit=quantity.unit)


def judged(answer: Answer, claim: Claim) -> Answer:
    """The answer with what it says of the claim: its whole interval within what is claimed, or outside, or neither."""
    low, high = answer.low, answer.high
    if low is None or high is None:
        may_be_off = NO_INTERVAL if answer.origin is Origin.QUOTED else FEW_TRIALS
        low, high = answer.value / may_be_off, answer.value * may_be_off
    is_within = (claim.low is None or low >= claim.low) and (claim.high is None or high <= claim.high)
    is_beyond = (claim.low is not None and high < claim.low) or (claim.high is not None and low > claim.high)
    standing = Standing.CONFIRMED if is_within else Standing.REFUTED if is_beyond else Standing.OPEN
    if answer.doubt or (standing is Standing.REFUTED and not claim.can_refute):
        standing = Standing.OPEN
    return replace(answer, standing=standing)


def overall(answers: Sequence[Answer], claim: Claim) -> tuple[Standing, str]:
    """All agree, or the claim is open."""
    counts = {standing: sum(answer.standing is standing for answer in answers) for standing in Standing}
    figures = formatting.count(len(answers), "figure")
    for standing in (Standing.CONFIRMED, Standing.REFUTED):
        if counts[standing] == len(answers):
            if all(answer.origin is Origin.ENTERED for answer in answers):
                return standing, tr("what it states")
            return standing, tr("the one figure that there is") if len(answers) == 1 \
                else tr("all {figures}", figures=figures)
    said = [text for standing, text in (
        (Standing.CONFIRMED, formatting.count(counts[Standing.CONFIRMED], "says yes", "say yes")),
        (Standing.REFUTED, formatting.count(counts[Standing.REFUTED], "says no", "say no")),
        (Standing.OPEN, formatting.count(counts[Standing.OPEN], "says neither", "say neither")),
    ) if counts[standing]]
    doubts = list(dict.fromkeys(answer.doubt for answer in answers if answer.doubt))
    why = tr("{figures}: {said}", figures=figures, said=formatting.listed(said))
    if doubts:
        why += tr(" ({doubts})", doubts="; ".join(doubts))
    elif counts[Standing.OPEN] == len(answers) and not claim.can_refute:
        why += tr(", and what was measured cannot refute it")
    return Standing.OPEN, why


def _why_nothing(claim: Claim, held_against: Evidence) -> str:
    """Why no figure bears on a claim."""
    wanted = [name for place in ("model", "deeper", "over_model") for name in _words(claim.where.get(place))]
    missing = [name for name in wanted if name not in held_against.models]
    if missing and len(missing) == len(wanted):
        return tr("model missing: there is no network {names} here, and no imported table has it",
                  names=formatting.listed(missing))
    every = [*held_against.results, *held_against.quoted]
    devices = [name for place in ("device", "of_device", "over_device") for name in _words(claim.where.get(place))]
    unseen = [name for name in devices if not any(_is_on(row, name) for row in every)]
    if unseen:
        named = formatting.listed([tr("a GPU") if name == "gpu" else name for name in unseen])
        return tr("no result of {devices} is stored, measured or imported", devices=named)
    if "gpu" in devices and not any(_is_gpu(row) for row in held_against.results):
        return tr("no GPU was measured, and no imported table tells this of one")
    return tr("not measured yet: {how}", how=tr(claim.how))


# What is asked for ----------------------------------------------------------------------------------------------------


def _words(named: Any) -> list[str]:
    """One name or several."""
    return [] if named is None else [named] if isinstance(named, str) else [str(each) for each in named]


def _is_asked(row: Mapping[str, Any], claim: Claim, **facts: str) -> bool:
    """Where the claim names models, modes or devices, the row has one of them."""
    return (
        _has_model(row.get("model"), claim.where.get("model"))
        and (not _words(claim.where.get("mode")) or row.get("mode") in _words(claim.where["mode"]))
        and (not _words(claim.where.get("device")) or any(_is_on(row, d) for d in _words(claim.where["device"])))
        and all(row.get(name) == fact for name, fact in facts.items())
    )


def _is_usual(row: Mapping[str, Any]) -> bool:
    """As people run it: in a framework, not in the oracle; with all that the processor has; on cores of its own."""
    return row.get("framework") != "numpy" and row.get("isa") in (None, Isa.NATIVE) and not row.get("oversubscribed")


def _has_model(model: Any, wanted: Any) -> bool:
    names = [quoted.plain_name(name) for name in _words(wanted)]
    return not names or quoted.plain_name(str(model)) in names


def _is_gpu(row: Mapping[str, Any]) -> bool:
    return str(row.get("device") or "").startswith(("gpu", "cuda"))


def _is_on(row: Mapping[str, Any], device: str) -> bool:
    """``device`` is "cpu", "gpu", or the name of one: all its words are among those of the row's."""
    if device in ("cpu", "gpu"):
        return _is_gpu(row) if device == "gpu" else str(row.get("device")) == "cpu"
    return _device_words(device) == _device_words(str(row.get("device_name") or ""))


OF_PROCESSORS = frozenset({"core", "tm", "r", "cpu"})
"""Words in a processor's name that tell nothing."""


def _device_words(name: str) -> frozenset[str]:
    """"NVIDIA GeForce GTX 1080 Ti" and "gtx 1080ti" are the same; "GTX 1080" is another."""
    return frozenset(cards.name_words(name)) - cards.BRANDS - OF_PROCESSORS


def _case(row: Mapping[str, Any]) -> str:
    """"alexnet training, torch compiled, batch 32"."""
    setting = " ".join(str(row[name]) for name in ("framework", "compile_mode") if row.get(name))
    batch = tr("batch {batch}", batch=row["local_batch"]) if row.get("local_batch") else ""
    device = str(row.get("device_name") or "") if row.get("origin") != "measured" else ""
    parts = (f"{row['model']} {word(row.get('mode') or '')}".strip(), setting, device, batch)
    return ", ".join(part for part in parts if part)


# Testers --------------------------------------------------------------------------------------------------------------


def op_share(claim: Claim, held_against: Evidence) -> Iterator[Answer]:
    """Share of a step that operations take; up to all the time that no layer accounts for might be theirs too.

    One trial tells no spread: what it says is taken as within NO_INTERVAL on top of that.
    """
    ops = set(_words(claim.where["op"]))
    for case in held_against.taken_apart:
        if _is_asked(case.case, claim) and _is_usual(case.case):
            own = math.fsum(row.share for row in case.rows if row.op in ops)
            nowhere = math.fsum(row.share for row in case.rows if row.is_residual)
            yield Answer(
                about=_case({**case.case, "origin": "measured"}), value=own, low=own / NO_INTERVAL,
                high=min((own + max(nowhere, 0.0)) * NO_INTERVAL, 1.0), count=1,
                remark=tr("{share} of the step are of no layer", share=formatting.share(nowhere)),
            )
    for row in held_against.quoted:
        layers = row.get("layers") or ()
        whole_s = math.fsum(layer["time_s"] for layer in layers)
        if whole_s > 0 and _is_asked(row, claim):
            own_s = math.fsum(layer["time_s"] for layer in layers if layer["op"] in ops)
            yield Answer(about=_case(row), value=own_s / whole_s, origin=Origin.QUOTED, remark=row["name"])


AXES = {"isa": "native", "precision": "fp32"}
SAME = tuple(name for name in ALIKE_COLUMNS if name != "build_facts")       # which holds the switches of an axis
FACTS_OF_A_BUILD = ("framework_version",)


def speed_up(claim: Claim, held_against: Evidence) -> Iterator[Answer]:
    """Speed of one value of an axis over another, all else equal, in pairs of repetitions."""
    axis, of, over = (str(claim.where[name]) for name in ("axis", "of", "over"))
    times = by_repetition(held_against.trials)
    same = tuple(name for name in (*SAME, *FACTS_OF_A_BUILD) if name != axis)
    bases = {key(row, same): row for row in held_against.results if row[axis] == over}
    for row in held_against.results:
        base = bases.get(key(row, same))
        if row[axis] != of or base is None or not _is_asked(row, claim):
            continue
        found = compare(times.get(key(base, ALIKE_COLUMNS), {}), times.get(key(row, ALIKE_COLUMNS), {}))
        if found is not None:
            yield _of_pairs(axis, row, base, found)


def _of_pairs(axis: str, row: Mapping[str, Any], base: Mapping[str, Any], found: Comparison) -> Answer:
    doubt = ""
    if axis == "isa" and base["isa"] != Isa.NATIVE and base["isa_proof"] != base["isa"]:
        doubt = tr("that it kept to {isa} is not proven ({proof})", isa=base["isa"], proof=word(base["isa_proof"]))
    return _of_estimate(_case(row), found.speed_up, doubt=doubt)


def said_of_a_speed_up(
    claims: Sequence[Claim], axis: str, row: Mapping[str, Any], base: Mapping[str, Any], found: Comparison
) -> Iterator[tuple[Claim, Standing]]:
    """Claims about just this comparison of one result with another, each with what it says of them."""
    for claim in claims:
        asked = [claim.where.get(name) for name in ("axis", "of", "over")]
        if claim.quantity == "speed_up" and asked == [axis, row[axis], base[axis]] and _is_asked(row, claim):
            yield claim, judged(_of_pairs(axis, row, base, found), claim).standing


def _of_estimate(about: str, found: Estimate, **more: Any) -> Answer:
    return Answer(about=about, value=found.value, low=found.low, high=found.high, count=found.count, **more)


def world_speed_up(claim: Claim, held_against: Evidence) -> Iterator[Answer]:
    """Throughput of N devices over that of one."""
    size = int(claim.where["world_size"])
    for series in held_against.series:
        if _is_asked(series.facts, claim):
            yield from (
                _of_estimate(tr("{case}, {scaling} scaling", case=_case(series.facts), scaling=word(series.scaling)),
                             point.speed_up)
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
        own = {p.world_size: p.efficiency.value for p in series.points if not p.is_oversubscribed}
        if _is_asked(series.facts, claim) and 2 in own and max(own) > 2:
            yield Answer(about=_on(series.facts, max(own)), value=own[max(own)] / own[2])
    for single, worlds in _quoted_worlds(claim, held_against):
        efficiency = {int(row["world_size"]): (_rate(row) / _rate(single) / row["world_size"], row) for row in worlds}
        if 2 in efficiency and max(efficiency) > 2:
            value, row = efficiency[max(efficiency)]
            yield Answer(about=_on(row, max(efficiency)), value=value / efficiency[2][0], origin=Origin.QUOTED,
                         remark=row["name"])


def _on(row: Mapping[str, Any], devices: int) -> str:
    """"vgg16 training, batch 32, 4 devices"."""
    return tr("{case}, {devices} devices", case=_case(row), devices=devices)


def _quoted_worlds(claim: Claim, held_against: Evidence) -> Iterator[tuple[quoted.Row, list[quoted.Row]]]:
    """One device, and more of the same with the same local batch."""
    known = [row for row in held_against.quoted if row.get("world_size") and quoted.throughput(row)
             and row.get("mode") and _is_asked(row, claim)]
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
        if _is_asked(row, claim) and _is_usual(row):
            yield _of_row(row)
    for row in held_against.quoted:
        rate = quoted.throughput(row)
        if rate is not None and _is_asked(row, claim):
            yield Answer(about=_case(row), value=rate, origin=Origin.QUOTED, remark=row["name"])


def _of_row(row: Mapping[str, Any]) -> Answer:
    return Answer(
        about=_case(row), value=float(row["throughput_samples_per_s"]), count=int(row["trials"]),
        low=_known(row["throughput_low_samples_per_s"]), high=_known(row["throughput_high_samples_per_s"]),
    )


def _known(number: Any) -> float | None:
    return None if is_nothing(number) else float(number)


def throughput_ratio(claim: Claim, held_against: Evidence) -> Iterator[Answer]:
    """Samples per second of one device over another's: same source, network, mode, batch and framework."""
    mode = str(claim.where["mode"])
    of, over = (str(claim.where[name]) for name in ("of_device", "over_device"))
    here = [(row, _known(row["throughput_samples_per_s"])) for row in held_against.results
            if row["mode"] == mode and _is_usual(row)]
    there = [(row, _rate_of(row, mode)) for row in held_against.quoted]
    for origin, rows in ((Origin.MEASURED, here), (Origin.QUOTED, there)):
        asked = [(row, rate) for row, rate in rows if rate and _has_model(row["model"], claim.where.get("model"))]
        for slow, slow_rate in ((row, rate) for row, rate in asked if _is_on(row, over)):
            for fast, fast_rate in ((row, rate) for row, rate in asked if _is_on(row, of) and _matches(row, slow)):
                yield Answer(
                    about=tr("{model} {mode}, batch {batch}: {fast} over {slow}", model=slow["model"], mode=word(mode),
                             batch=slow["local_batch"], fast=_device(fast), slow=_device(slow)),
                    value=fast_rate / slow_rate, origin=origin,
                    remark="" if origin is Origin.MEASURED else f"{fast['name']}; {slow['name']}",
                )


MATCHED = ("model", "mode", "local_batch", "world_size", "framework", "framework_version", "precision")


def _matches(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return key(one, MATCHED) == key(other, MATCHED) and \
        (one.get("source") or {}).get("format") == (other.get("source") or {}).get("format")


def _device(row: Mapping[str, Any]) -> str:
    return str(row.get("device_name") or row.get("device"))


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
    times = by_repetition(held_against.trials)
    same = tuple(name for name in (*SAME, *FACTS_OF_A_BUILD) if name not in ("model", "graph_fingerprint"))
    bases = {key(row, same): row for row in held_against.results if row["model"] == over}
    for row in held_against.results:
        base = bases.get(key(row, same))
        if row["model"] == of and base is not None:
            found = compare(times.get(key(row, ALIKE_COLUMNS), {}), times.get(key(base, ALIKE_COLUMNS), {}))
            if found is not None:
                yield _of_estimate(tr("{case}, over {other}", case=_case(row), other=over), found.speed_up)


def pass_time(claim: Claim, held_against: Evidence) -> Iterator[Answer]:
    """Minutes for so many samples, so many times."""
    samples = float(claim.where["samples"]) * float(claim.where["passes"])
    for row in held_against.results:
        if _is_asked(row, claim, mode=Mode.TRAINING, precision=Precision.FP32) and _is_usual(row):
            rate = _of_row(row)
            ends = (None, None) if rate.low is None or rate.high is None else \
                (samples / rate.high / 60, samples / rate.low / 60)
            yield replace(rate, value=samples / rate.value / 60, low=ends[0], high=ends[1])


def accuracy(claim: Claim, held_against: Evidence) -> Iterator[Answer]:
    """Share of held-out samples that are told right, after the one pass that a proof trains for."""
    held_out = int(claim.where["held_out"])
    for proof in held_against.proofs:
        if proof.accuracy is not None and proof.outcome == Outcome.OK and _is_asked(proof.facts, claim) \
                and proof.facts.get("precision") == Precision.FP32:
            low, high = wilson(proof.accuracy, held_out)
            yield Answer(about=_proof(proof), value=proof.accuracy, low=low, high=high, count=1)


def precision_accuracy(claim: Claim, held_against: Evidence) -> Iterator[Answer]:
    """Accuracy in a precision less that in fp32, of one framework, network and data."""
    wanted, held_out = _words(claim.where["precision"]), int(claim.where["held_out"])
    yield from _accuracy_differences(
        held_against, held_out, lambda proof: proof.facts["precision"] in wanted and _is_asked(proof.facts, claim),
        lambda proof: proof.facts["precision"] == Precision.FP32, ("framework", "model", "data", "device"),
        lambda one, other: tr("{case}, {precision} less fp32", case=_proof(one), precision=one.facts["precision"]),
    )


def deeper_accuracy(claim: Claim, held_against: Evidence) -> Iterator[Answer]:
    """Accuracy of a deeper network less that of a shallower one."""
    deeper, shallower = str(claim.where["deeper"]), str(claim.where["shallower"])
    yield from _accuracy_differences(
        held_against, int(claim.where["held_out"]),
        lambda proof: proof.facts["model"] == deeper and proof.facts["precision"] == Precision.FP32,
        lambda proof: proof.facts["model"] == shallower and proof.facts["precision"] == Precision.FP32,
        ("framework", "compile_mode", "data", "device"),
        lambda one, other: tr("{case}, less {other}", case=_proof(one), other=shallower),
    )


def _accuracy_differences(
    held_against: Evidence, held_out: int, is_one: Callable[[Proof], bool], is_other: Callable[[Proof], bool],
    same: Sequence[str], about: Callable[[Proof, Proof], str],
) -> Iterator[Answer]:
    learnt = [p for p in held_against.proofs if p.accuracy is not None and p.outcome == Outcome.OK]
    for one in filter(is_one, learnt):
        for other in filter(is_other, learnt):
            if all(one.facts.get(name) == other.facts.get(name) for name in same):
                assert one.accuracy is not None
                assert other.accuracy is not None
                low, high = newcombe(one.accuracy, other.accuracy, held_out)
                yield Answer(about=about(one, other), value=one.accuracy - other.accuracy, low=low, high=high, count=1)


def _proof(proof: Proof) -> str:
    facts = proof.facts
    about = tr("{model} on {data}", model=facts["model"], data=facts["data"])
    return f"{about}, {facts['framework']} {facts['compile_mode']}"


def wilson(share: float, count: int) -> tuple[float, float]:
    """95 % interval of a share of ``count`` samples (Wilson 1927, score interval)."""
    z2 = SIGMAS**2
    centre = (share + z2 / (2 * count)) / (1 + z2 / count)
    half = SIGMAS / (1 + z2 / count) * math.sqrt(share * (1 - share) / count + z2 / (4 * count**2))
    return max(centre - half, 0.0), min(centre + half, 1.0)


def newcombe(one: float, other: float, count: int) -> tuple[float, float]:
    """95 % interval of one share less another, each of ``count`` samples (Newcombe 1998, method 10).

    Both are of the same samples here, which makes it wider than it need be, never narrower.
    """
    (low_1, high_1), (low_2, high_2) = wilson(one, count), wilson(other, count)
    difference = one - other
    return (difference - math.hypot(one - low_1, high_2 - other), difference + math.hypot(high_1 - one, other - low_2))


def gpu_busy(claim: Claim, held_against: Evidence) -> Iterator[Answer]:
    """Share of the driver's sampling periods in which a GPU had work, while steps were timed."""
    timed = held_against.trials
    timed = timed[(timed.kind == TrialKind.TIMING) & (timed.outcome == Outcome.OK)]
    for found in timed.to_dict("records"):
        trial = {str(name): fact for name, fact in found.items()}
        if _is_asked(trial, claim):
            for gpu in telemetry.seen(trial).gpus:
                if (busy := gpu.mean("busy_ratio")) is not None:
                    yield Answer(about=f"{_case({**trial, 'origin': 'measured'})}, {gpu.name}", value=busy, count=1)


def filter_weights(claim: Claim, held_against: Evidence) -> Iterator[Answer]:
    """Weights of a stack of small convolutions over those of a large one that sees as much, from their graphs."""
    kernel, layers = int(claim.where["kernel"]), int(claim.where["layers"])
    stack, one = held_against.filters(kernel, layers), held_against.filters(int(claim.where["over_kernel"]), 1)
    if stack.sees != one.sees:
        raise NotTestable(tr("they are not alike: the stack sees {stack} positions, the single one {single}",
                             stack=stack.sees, single=one.sees))
    yield _exact(
        tr("{stack} weights against {single}, both see {sees} x {sees}", stack=stack.weights, single=one.weights,
           sees=one.sees), stack.weights / one.weights,
    )


def _exact(about: str, value: float, remark: str = "") -> Answer:
    """A figure that follows from what is given; no measurement."""
    return Answer(about=about, value=value, low=value, high=value, origin=Origin.ENTERED, remark=remark)


def _computed(formula: Callable[[Mapping[str, Any]], float]) -> Callable[[Claim, Evidence], Iterator[Answer]]:
    def answers(claim: Claim, held_against: Evidence) -> Iterator[Answer]:
        given = ", ".join(f"{name} {fact}" for name, fact in claim.where.items())
        yield _exact(tr("computed from {given}", given=given), formula(claim.where))

    return answers


def pcie_bandwidth(given: Mapping[str, Any]) -> float:
    """GB/s each way."""
    if given["generation"] not in cards.PCIE_GENERATIONS:
        known = formatting.listed([str(each) for each in cards.PCIE_GENERATIONS])
        raise NotTestable(tr("only the rates of the PCIe generations {known} are known", known=known))
    return cards.pcie_bytes_per_s(given["generation"], given["lanes"]) / 1e9


def product(given: Mapping[str, Any]) -> float:
    return float(given["count"]) * float(given["each"])


def rent_hours(given: Mapping[str, Any]) -> float:
    """Hours of rent that a purchase costs, at one rate of exchange; an hour of each need not do equal work."""
    return float(given["price"]) / (float(given["price_per_hour"]) * float(given["exchange_rate"]))


def supply_w(given: Mapping[str, Any]) -> float:
    """Watts that a power supply must be rated for."""
    return box.supply(float(given["processor_w"]), [float(given["gpus_w"])], float(given["board_w"])).needed_w


def nothing(claim: Claim, held_against: Evidence) -> Iterator[Answer]:
    raise NotTestable(tr(str(claim.where["why"])))


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """A kind of figure that claims are about."""

    answers: Callable[[Claim, Evidence], Iterator[Answer]]
    needs: tuple[str, ...] = ()          # names in the claim's ``where``
    may: tuple[str, ...] = ()
    unit: str = ""                       # "x", "share", "samples/s", ...
    text: tuple[str, ...] = field(default=("axis", "of", "over", "of_device", "over_device", "over_model", "deeper",
                                           "shallower", "mode", "why"))
    """Those of its names that are a single word or sentence."""


ASKED = ("model", "mode", "device")

QUANTITIES: dict[str, Quantity] = {
    "op_share": Quantity(answers=op_share, needs=("op",), may=ASKED, unit="share"),
    "speed_up": Quantity(answers=speed_up, needs=("axis", "of", "over"), may=ASKED, unit="x"),
    "world_speed_up": Quantity(answers=world_speed_up, needs=("world_size",), may=ASKED, unit="x"),
    "efficiency_falls": Quantity(answers=efficiency_falls, may=ASKED, unit="x"),
    "throughput": Quantity(answers=throughput, may=ASKED, unit=tr_later("samples/s")),
    "throughput_ratio": Quantity(
        answers=throughput_ratio, needs=("mode", "of_device", "over_device"), may=("model",), unit="x"
    ),
    "model_time_ratio": Quantity(answers=model_time_ratio, needs=("model", "over_model"), may=(), unit="x"),
    "pass_time": Quantity(answers=pass_time, needs=("samples", "passes"), may=("model", "device"),
                          unit=tr_later("minutes")),
    "accuracy": Quantity(answers=accuracy, needs=("held_out",), may=("model", "device"), unit="share"),
    "precision_accuracy": Quantity(
        answers=precision_accuracy, needs=("precision", "held_out"), may=("model", "device"), unit="share"
    ),
    "deeper_accuracy": Quantity(
        answers=deeper_accuracy, needs=("deeper", "shallower", "held_out"), may=(), unit="share"
    ),
    "gpu_busy": Quantity(answers=gpu_busy, may=ASKED, unit="share"),
    "filter_weights": Quantity(answers=filter_weights, needs=("kernel", "layers", "over_kernel"), unit="x"),
    "pcie_bandwidth": Quantity(
        answers=_computed(pcie_bandwidth), needs=("generation", "lanes"), unit="GB/s"
    ),
    "product": Quantity(answers=_computed(product), needs=("count", "each")),
    "rent_hours": Quantity(
        answers=_computed(rent_hours), needs=("price", "price_per_hour", "exchange_rate"), unit="h"
    ),
    "supply_w": Quantity(answers=_computed(supply_w), needs=("processor_w", "gpus_w", "board_w"), unit="W"),
    "none": Quantity(answers=nothing, needs=("why",)),
}
"""Each with the words that a claim must and may have under ``where``. ``device`` is "cpu", "gpu" or a name of one."""
