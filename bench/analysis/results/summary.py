"""From the table of trials to the flat table of results: one row per case, with columns that scripts rely on."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from rigmark.bench.analysis.results import startup, validity
from rigmark.bench.analysis.results.findings import (
    Evidence,
    Finding,
    IsaFigures,
    LayerFigures,
    WorldFigures,
    findings,
    unevenness,
)
from rigmark.bench.analysis.results.validity import Validity
from rigmark.bench.analysis.statistics.estimate import Estimate, estimate, median
from rigmark.bench.enums import NOT_PROVEN, TIMED, Mode, Outcome, StartMethod, TrialKind
from rigmark.bench.plan import axes
from rigmark.bench.worker import strategies

Trial = Mapping[str, Any]    # a row of the table of trials

ALIKE_COLUMNS = (
    "origin", *axes.NAMES, "graph_fingerprint", "machine", "node", "build_facts", "code_version", "settings",
    "session",
)
"""Trials are pooled only if all of these columns are equal."""

PLAIN = frozenset({str, int, bool, type(None)})      # types in which only None means that nothing is known
FEWEST_FOR_P99 = 100         # timings; with fewer, the 99th percentile is the largest timing

RESULT_COLUMNS = (
    "suite", "origin", "kind", *axes.CONDITIONS, *axes.SETTINGS, "framework_version", "isa_proof", "device_name",
    "processes", "nodes", "optimizer", "global_batch", "outcome", "reason", "validity", "trials", "session",
    "start_method", "throughput_samples_per_s", "throughput_low_samples_per_s",
    "throughput_high_samples_per_s", "step_time_s", "step_time_low_s", "step_time_high_s", "cpu_time_per_step_s",
    "latency_p50_s", "latency_p99_s", "prepare_time_s", "peak_memory_bytes", "parity_error", "certificate",
    "graph_fingerprint", "parameters", "flops_per_sample", "layer_closure", "layer_cover", "layer_overhead",
    "power_w", "energy_per_sample_j", "energy_method", "findings", "machine", "node", "run_id", "recorded_at",
    "trial_step_times_s", "finding_texts", "code_version", "build_facts", "settings", "command", "flops_per_s",
    "bytes_per_s", "policy", "overflow_steps", "rank_spread", "sent_bytes",
    "communication_time_s", "communication_exposed_s", "communication_reason", "suspect_trials", "invalid_trials",
    "trial_findings", "source", "tokens_per_s", "tokens_low_per_s", "tokens_high_per_s", "time_to_first_token_s",
    "time_to_first_token_low_s", "time_to_first_token_high_s", "time_between_tokens_s", "time_between_tokens_low_s",
    "time_between_tokens_high_s", startup.START_UP, *startup.PHASES,
)
"""Names and units of a result row; None where a value is not known or not measured.

``kind`` is "timing" for a network and "limit" for a micro-benchmark, whose name (see bench.worker.microbenchmarks) is
the ``model``, and whose single execution is the step. ``flops_per_s`` are the FLOPs that the definition of a network or
micro-benchmark needs / the step time; ``bytes_per_s`` are the bytes that a micro-benchmark of memory, disk or links
must move / the step time. ``policy`` is a JSON object with the formats of the precision; ``overflow_steps`` is the
largest number of steps in one process whose update was skipped, None if the loss is not scaled.

Of a world, the step is that of its slowest rank, and CPU time is that of all ranks; ``rank_spread`` is the CPU time of
the busiest rank / that of the idlest (ranks that wait for each other have equal step times), ``sent_bytes`` is what
each device must at least send per step. ``communication_time_s`` and its part ``communication_exposed_s`` are per step,
see bench.worker.frameworks.Prepared.communication; if they are not known, ``communication_reason`` states why.
``source`` is the file and line of a quoted result; see bench.analysis.results.quoted.

Of generated text a step is one text for each prompt of the batch: ``tokens_per_s`` are the tokens of all of them / the
step time. ``time_to_first_token_s`` and ``time_between_tokens_s`` are estimates over the medians of the processes; None
where tokens were not waited for one by one, and the second where a text is one token.

``start_up_s`` is the time from the start of a process to the end of its first step, the sum of the five columns that
follow it; None for processes that were forked, which import nothing, and in results of older versions.
"""


def key(row: Mapping[Any, Any], columns: Iterable[str]) -> tuple[Any, ...]:
    """The values of a row in these columns as a key: NaN, NaT and missing columns are None, so that equal facts are
    equal."""
    facts = tuple(map(row.get, columns))
    if PLAIN.issuperset(map(type, facts)):       # this runs for every trial, several times
        return facts
    return tuple(None if is_nothing(fact) else fact for fact in facts)


def is_nothing(fact: Any) -> bool:
    return fact is None or fact is pd.NA or fact is pd.NaT or (isinstance(fact, float) and math.isnan(fact))


def rows_of(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a table as plain Python values; faster than DataFrame.to_dict."""
    names = [str(name) for name in frame.columns]
    return [dict(zip(names, row, strict=True)) for row in zip(*(frame[name].tolist() for name in frame), strict=True)]


def step_times(timings: Iterable[Any], steps_per_timing: int) -> list[float]:
    """One number per process: the median of its timings per step, in seconds."""
    return [median(t) / steps_per_timing for t in timings]


LAYER_COLUMNS = ("layer_cover", "layer_overhead", "layer_variables", "layer_step_times_s", "attributed_time_s")
"""Columns that a layer trial must have to be used here; a record without them is reported when layers are read."""


def results(trials: pd.DataFrame) -> pd.DataFrame:
    """One row per group of alike timed trials, in the order in which they were first recorded."""
    every = rows_of(trials)
    proofs = {trial["id"]: trial for trial in every if trial["kind"] == TrialKind.PROOF}
    groups: dict[tuple[Any, ...], list[Trial]] = {}
    for trial in every:
        if trial["kind"] in TIMED:
            groups.setdefault(key(trial, ("kind", *ALIKE_COLUMNS)), []).append(trial)
    layer_trials = {
        _layers_of(trial): trial for trial in every
        if trial["kind"] == TrialKind.LAYERS and trial["outcome"] == Outcome.OK
        and not any(is_nothing(trial[column]) for column in LAYER_COLUMNS)
    }
    clones = nodes_of_clones(every)
    rows = [_row(group, proofs, layer_trials.get(_layers_of(group[0])), clones) for group in groups.values()]
    return pd.DataFrame(rows, columns=list(RESULT_COLUMNS)).astype(object).where(lambda frame: frame.notna(), None)


def behind(results: pd.DataFrame, trials: pd.DataFrame) -> pd.DataFrame:
    """The trials of some results, and trials of other kinds of the same networks."""
    columns = ("kind", *ALIKE_COLUMNS)
    alike = {key(row, columns) for row in rows_of(results)}
    models, frameworks = set(results.model), set(results.framework)
    is_meant = [
        key(trial, columns) in alike if trial["kind"] in TIMED
        else trial["model"] in models and trial["framework"] in frameworks
        for trial in rows_of(trials)
    ]
    return trials[np.array(is_meant, bool)]


def nodes_of_clones(trials: Iterable[Trial]) -> frozenset[str]:
    """Nodes that are several machines: trials of two of their boots overlap in time."""
    spans: dict[str, dict[str, tuple[datetime, datetime]]] = {}
    for trial in trials:
        if is_nothing(trial["node"]) or is_nothing(trial["boot"]):
            continue
        at, of_node = datetime.fromisoformat(str(trial["recorded_at"])), spans.setdefault(trial["node"], {})
        first, last = of_node.get(trial["boot"], (at, at))
        of_node[trial["boot"]] = min(first, at), max(last, at)
    return frozenset(
        node for node, of_node in spans.items()
        if any(later[0] < earlier[1] for earlier, later in itertools.pairwise(sorted(of_node.values())))
    )


def _row(
    group: Sequence[Trial], proofs: Mapping[Any, Trial], layers: Trial | None, clones: Collection[str]
) -> dict[str, Any]:
    first, last = group[0], group[-1]
    measured = [trial for trial in group if trial["outcome"] == Outcome.OK]
    failed = [trial for trial in group if trial["outcome"] != Outcome.OK]
    row: dict[str, Any] = {name: first[name] for name in RESULT_COLUMNS if name in first}
    row |= {
        "isa_proof": _isa_proof(group), "processes": first["world_size"] // first["devices_per_process"],
        "nodes": _largest(group, "nodes") or 1,
        "global_batch": first["local_batch"] * first["world_size"], "trials": len(measured),
        "optimizer": first["optimizer"] if first["mode"] == Mode.TRAINING else None,
        "flops_per_sample": _flops_per_sample(first),
        "run_id": last["run_id"], "recorded_at": last["recorded_at"], "findings": "",
    }
    if first["certificate"] in proofs:
        row["parity_error"] = proofs[first["certificate"]]["output_error"]
    if not measured:
        worst = failed[-1]
        return row | {"outcome": worst["outcome"], "reason": worst["reason"], "validity": Validity.INVALID.value}
    return row | {"outcome": Outcome.OK, "reason": None} | _judged(
        measured, failed, first, layers, first["node"] if first["node"] in clones else None
    )


def _judged(
    measured: Sequence[Trial], failed: Sequence[Trial], first: Trial, layers: Trial | None, clones_of: str | None
) -> dict[str, Any]:
    """The figures of the valid trials, or of all trials if none is valid, labelled as such."""
    trials = sorted(measured, key=lambda trial: str(trial["recorded_at"]))    # some findings depend on the order
    judged = [validity.judge(trial) for trial in trials]
    is_kept = [each.validity is not Validity.INVALID for each in judged]
    if not any(is_kept):
        is_kept = [True] * len(judged)
    ids = {trial["id"] for trial, counts in zip(trials, is_kept, strict=True) if counts}
    kept = [trial for trial in measured if trial["id"] in ids]
    result = _figures(kept, failed, first, layers, validity.of_case(judged), clones_of)
    validities = [each.validity for each in judged]
    return result | validity.energy([each for each, counts in zip(judged, is_kept, strict=True) if counts]) | {
        "trials": len(kept), "suspect_trials": validities.count(Validity.SUSPECT),
        "invalid_trials": validities.count(Validity.INVALID),
        "trial_findings": validity.reasons(zip(trials, judged, strict=True)),
    }


def _figures(
    measured: Sequence[Trial], failed: Sequence[Trial], first: Trial, of_layers: Trial | None,
    of_trials: tuple[Finding, ...], clones_of: str | None,
) -> dict[str, Any]:
    steps = int(first["steps_per_timing"])
    times_s = step_times((trial["timings_s"] for trial in measured), steps)
    step_time = estimate(times_s)
    samples, flops, moved_bytes = _work_of_a_step(first)
    throughput = None if samples is None else step_time.inverse(samples)
    every_timing_s = np.concatenate([np.asarray(t) for t in _latencies(measured)])
    is_latency = steps == 1
    p50_s, p99_s = (float(quantile) for quantile in np.quantile(every_timing_s, (0.5, 0.99)))
    layers = None if of_layers is None else _layer_figures(of_layers, step_time.value)
    world = _of_world(measured)
    doubts = findings(Evidence(
        measured=measured, failed=failed, step_time_s=step_time, threads=int(first["threads"]), layers=layers,
        isa=_isa_figures(measured), of_trials=of_trials, clones_of=clones_of, world=WorldFigures(
            size=int(first["world_size"]), threads=int(first["threads"]),
            is_oversubscribed=bool(first["oversubscribed"]), rank_spread=world["rank_spread"],
        ),
    ))
    kinds = {doubt.kind for doubt in doubts}
    return {
        "validity": validity.validity(kinds).value,
        "step_time_s": step_time.value, "step_time_low_s": step_time.low, "step_time_high_s": step_time.high,
        "throughput_samples_per_s": throughput and throughput.value,
        "throughput_low_samples_per_s": throughput and throughput.low,
        "throughput_high_samples_per_s": throughput and throughput.high,
        **_of_text(first, measured, throughput),
        "flops_per_s": None if flops is None else flops / step_time.value,
        "bytes_per_s": None if moved_bytes is None else moved_bytes / step_time.value,
        "cpu_time_per_step_s": median(step_times((trial["cpu_times_s"] for trial in measured), steps)),
        "latency_p50_s": p50_s if is_latency else None,
        "latency_p99_s": p99_s if is_latency and len(every_timing_s) >= FEWEST_FOR_P99 else None,
        "prepare_time_s": median([trial["prepare_time_s"] for trial in measured]),
        "peak_memory_bytes": _largest(measured, "peak_memory_bytes"),
        "overflow_steps": _largest(measured, "overflow_steps"),
        "findings": ",".join(doubt.id for doubt in doubts),
        "finding_texts": json.dumps([doubt.text for doubt in doubts]),
        "trial_step_times_s": times_s, **_start_up(first, measured),
        "layer_cover": layers and layers.cover, "layer_closure": layers and layers.closure,
        "layer_overhead": layers and layers.overhead, **world,
    }


def _start_up(first: Trial, measured: Sequence[Trial]) -> dict[str, float | None]:
    """The phases of start-up; see bench.analysis.results.startup."""
    is_spawned = first["start_method"] == StartMethod.SPAWN and int(first["world_size"]) == 1
    marks = [{} if is_nothing(trial["marks"]) else json.loads(trial["marks"]) for trial in measured]
    return startup.figures(marks if is_spawned else [])


def _of_text(first: Trial, measured: Sequence[Trial], sequences: Estimate | None) -> dict[str, Any]:
    """Figures of generated text only; times of tokens where each was waited for."""
    if first["mode"] != Mode.DECODE or sequences is None:
        return {}
    tokens = int(first["generated_length"])
    figures: dict[str, Any] = {
        f"tokens{end}_per_s": None if value is None else tokens * value
        for end, value in (("", sequences.value), ("_low", sequences.low), ("_high", sequences.high))
    }
    for column, name in (("first_token_times_s", "time_to_first_token"), ("token_times_s", "time_between_tokens")):
        processes = [trial[column] for trial in measured if not is_nothing(trial[column]) and len(trial[column])]
        if processes:
            time = estimate([median(times_s) for times_s in processes])
            figures |= {f"{name}_s": time.value, f"{name}_low_s": time.low, f"{name}_high_s": time.high}
    return figures


def _isa_proof(group: Sequence[Trial]) -> str:
    """The instruction set of all observed trials; "not proven" if none was observed, or if they differ."""
    proofs = {trial["isa_proof"] for trial in group if not is_nothing(trial["isa_proof"])}
    return str(proofs.pop()) if len(proofs) == 1 else NOT_PROVEN


def _latencies(measured: Sequence[Trial]) -> list[Any]:
    """Timings per process: of each process if they answer independently, else those of the slowest rank."""
    timings: list[Any] = []
    for trial in measured:
        is_many = strategies.answers_apart(trial["strategy"]) and not is_nothing(trial["rank_timings_s"])
        timings.extend(trial["rank_timings_s"] if is_many else [trial["timings_s"]])
    return timings


def _of_world(measured: Sequence[Trial]) -> dict[str, Any]:
    """Figures of worlds only: medians over trials."""
    communications = [json.loads(t["communication"]) for t in measured if not is_nothing(t["communication"])]
    known = [each for each in communications if each.get("problem") is None]
    spreads = [_rank_spread(t["rank_cpu_times_s"]) for t in measured if not is_nothing(t["rank_cpu_times_s"])]
    return {
        "rank_spread": median(spreads) if spreads else None,
        "sent_bytes": _largest(measured, "sent_bytes"),
        "communication_time_s": median([each["time_s"] for each in known]) if known else None,
        "communication_exposed_s": median([each["exposed_s"] for each in known]) if known else None,
        "communication_reason": next((each["problem"] for each in communications if each.get("problem")), None),
    }


def _rank_spread(cpu_times_s: Any) -> float:
    medians = [median(times) for times in cpu_times_s]
    return max(medians) / min(medians) if min(medians) > 0 else 1.0


def _work_of_a_step(trial: Trial) -> tuple[int | None, int | None, int | None]:
    """(samples, FLOPs, bytes moved) of one step; None for what does not exist or is not known."""
    if trial["kind"] == TrialKind.LIMIT:
        return _known(trial["work_samples"]), _known(trial["work_flops"]), _known(trial["work_bytes"])
    samples, flops = int(trial["local_batch"] * trial["world_size"]), _known(_flops_per_sample(trial))
    return samples, None if flops is None else flops * samples, None


def _flops_per_sample(trial: Trial) -> Any:
    return trial[f"flops_{trial['mode']}"]


def _layers_of(trial: Trial) -> tuple[Any, ...]:
    """The facts in which a layer trial agrees with the timing trials of its case: all except settings of timing."""
    return key(trial, (name for name in ALIKE_COLUMNS if name != "settings"))


def _layer_figures(trial: Trial, step_time_s: float) -> LayerFigures:
    """The layer figures of a case's latest layer trial; closure uses the step time of the timing trials."""
    return LayerFigures(
        cover=float(trial["layer_cover"]), overhead=float(trial["layer_overhead"]),
        closure=float(trial["attributed_time_s"]) / step_time_s,
        problem=None if is_nothing(trial["layer_problem"]) else str(trial["layer_problem"]),
        unevenness=unevenness(trial["layer_step_times_s"]), variables=json.loads(trial["layer_variables"]),
    )


def _isa_figures(measured: Sequence[Trial]) -> IsaFigures:
    watched = [trial for trial in measured if not is_nothing(trial["isa_evidence"])]
    return IsaFigures(
        asked=str(measured[0]["isa"]), proof=_isa_proof(measured),
        evidence=json.loads(watched[-1]["isa_evidence"]) if watched else {},
    )


def _known(number: Any) -> int | None:
    return None if is_nothing(number) else int(number)


def _largest(trials: Sequence[Trial], column: str) -> int | None:
    """The largest of what is known; None where nothing is."""
    return max((int(trial[column]) for trial in trials if not is_nothing(trial[column])), default=None)
