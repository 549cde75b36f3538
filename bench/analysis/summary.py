"""From the table of trials to the flat table of results: one row a case, in the columns others script against."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from bench.analysis import telemetry
from bench.analysis.findings import Evidence, Finding, IsaFigures, LayerFigures, WorldFigures, findings
from bench.analysis.statistics import estimate
from bench.analysis.telemetry import Validity
from bench.isa import NOT_PROVEN
from bench.words import TIMED, Mode, Outcome, TrialKind

CASE_COLUMNS = (
    "model", "framework", "build", "compile_mode", "layout", "precision", "mode", "device", "local_batch", "threads",
    "data", "steps_per_timing", "isa", "world_size", "devices_per_process", "strategy", "oversubscribed",
)
ALIKE_COLUMNS = (
    "origin", *CASE_COLUMNS, "graph_fingerprint", "machine", "build_facts", "code_version", "settings", "session"
)
"""Trials are pooled only where all of these are equal."""

FEWEST_FOR_P99 = 100         # timings; with fewer the 99th percentile is the largest of them

RESULT_COLUMNS = (
    "suite", "origin", "kind", "model", "framework", "framework_version", "build", "isa", "isa_proof", "compile_mode",
    "layout", "threads", "data", "device", "device_name", "world_size", "processes", "strategy", "nodes", "precision",
    "mode", "optimizer", "local_batch", "global_batch", "outcome", "reason", "validity", "trials", "session",
    "start_method", "steps_per_timing", "throughput_samples_per_s", "throughput_low_samples_per_s",
    "throughput_high_samples_per_s", "step_time_s", "step_time_low_s", "step_time_high_s", "cpu_time_per_step_s",
    "latency_p50_s", "latency_p99_s", "prepare_time_s", "peak_memory_bytes", "parity_error", "certificate",
    "graph_fingerprint", "parameters", "flops_per_sample", "layer_closure", "layer_cover", "layer_overhead",
    "power_w", "energy_per_sample_j", "energy_method", "findings", "machine", "run_id", "recorded_at",
    "trial_step_times_s", "finding_texts", "code_version", "build_facts", "settings", "command", "flops_per_s",
    "bytes_per_s", "policy", "overflow_steps", "devices_per_process", "oversubscribed", "rank_spread", "sent_bytes",
    "communication_time_s", "communication_exposed_s", "communication_reason", "suspect_trials", "invalid_trials",
    "trial_findings", "source",
)
"""Names and units of a result row; None where a value is not known or not measured.

``kind`` is "timing" for a network and "limit" for a limit of the machine, whose name (see bench.limits) is the
``model`` and whose single execution is the step. ``flops_per_s`` are the FLOPs that the definition of a network or
limit needs, over the step time; ``bytes_per_s`` those that a limit of memory, disk or links must move.
``policy`` is a JSON object, what the precision stands for; ``overflow_steps`` the most steps that one process left its
update out of, None where the loss is not scaled.

Of a world, the step is that of its slowest rank and CPU time is that of all; ``rank_spread`` is the CPU time of the
busiest rank over that of the idlest (ranks that wait for each other take equal steps), ``sent_bytes`` what each device
must at least send in a step. ``communication_time_s`` and, of it, ``communication_exposed_s`` are of a step, see
bench.frameworks.Prepared.communication; where they are not known, ``communication_reason`` says why.
``source`` is the file and line that a quoted result stands in; see bench.analysis.quoted.
"""


def key(row: Mapping[Any, Any], columns: Iterable[str]) -> tuple[Any, ...]:
    """What a row holds in these columns, so that equal facts are equal: every kind of nothing is None, absence too."""
    return tuple(None if is_nothing(row.get(column)) else row[column] for column in columns)


def is_nothing(fact: Any) -> bool:
    return fact is None or fact is pd.NA or fact is pd.NaT or (isinstance(fact, float) and math.isnan(fact))


def step_times(timings: pd.Series, steps_per_timing: int) -> list[float]:
    """One number a process: the median of its timings, per step, in seconds."""
    return [float(np.median(t)) / steps_per_timing for t in timings]


def results(trials: pd.DataFrame) -> pd.DataFrame:
    """One row for each group of alike timing or limit trials, in the order in which they were first recorded."""
    proofs = trials[trials.kind == TrialKind.PROOF].set_index("id")
    timed = trials[trials.kind.isin(list(TIMED))]
    groups = timed.groupby(["kind", *ALIKE_COLUMNS], sort=False, dropna=False)
    taken_apart = {
        _layers_of(trial): trial
        for _, trial in trials[(trials.kind == TrialKind.LAYERS) & (trials.outcome == Outcome.OK)].iterrows()
    }
    rows = [_row(group, proofs, taken_apart.get(_layers_of(group.iloc[0]))) for _, group in groups]
    return pd.DataFrame(rows, columns=list(RESULT_COLUMNS)).astype(object).where(lambda frame: frame.notna(), None)


def _row(group: pd.DataFrame, proofs: pd.DataFrame, layers: pd.Series | None) -> dict[str, Any]:
    first = group.iloc[0]
    measured, failed = group[group.outcome == Outcome.OK], group[group.outcome != Outcome.OK]
    row: dict[str, Any] = {name: first[name] for name in RESULT_COLUMNS if name in group.columns}
    row |= {
        "isa_proof": _isa_proof(group), "processes": first.world_size // first.devices_per_process,
        "nodes": _known(group.nodes.max()) or 1,
        "global_batch": first.local_batch * first.world_size, "trials": len(measured),
        "optimizer": first.optimizer if first["mode"] == Mode.TRAINING else None,
        "flops_per_sample": _flops_per_sample(first),
        "run_id": group.iloc[-1].run_id, "recorded_at": group.iloc[-1].recorded_at, "findings": "",
    }
    if first.certificate in proofs.index:
        row["parity_error"] = proofs.loc[first.certificate].output_error
    if measured.empty:
        worst = failed.iloc[-1]
        return row | {"outcome": worst.outcome, "reason": worst.reason, "validity": Validity.INVALID.value}
    return row | {"outcome": Outcome.OK, "reason": None} | _judged(measured, failed, first, layers)


def _judged(measured: pd.DataFrame, failed: pd.DataFrame, first: Any, layers: pd.Series | None) -> dict[str, Any]:
    """Figures of the trials that are not invalid; of all where none is left, and labelled so."""
    ordered = measured.sort_values("recorded_at", kind="stable")      # some doubts are about what came later
    trials = [{str(name): fact for name, fact in row.items()} for row in ordered.to_dict("records")]
    judged = [telemetry.judge(trial) for trial in trials]
    is_kept = [each.validity is not Validity.INVALID for each in judged]
    if not any(is_kept):
        is_kept = [True] * len(judged)
    kept = measured[measured.id.isin(ordered.id[is_kept])]
    found = _figures(kept, failed, first, layers, telemetry.of_case(judged))
    validities = [each.validity for each in judged]
    return found | telemetry.energy([each for each, counts in zip(judged, is_kept, strict=True) if counts]) | {
        "trials": len(kept), "suspect_trials": validities.count(Validity.SUSPECT),
        "invalid_trials": validities.count(Validity.INVALID),
        "trial_findings": telemetry.reasons(zip(trials, judged, strict=True)),
    }


def _figures(
    measured: pd.DataFrame, failed: pd.DataFrame, first: Any, of_layers: pd.Series | None,
    of_trials: tuple[Finding, ...],
) -> dict[str, Any]:
    steps = int(first.steps_per_timing)
    times_s = step_times(measured.timings_s, steps)
    step_time = estimate(times_s)
    samples, flops, moved_bytes = _work_of_a_step(first)
    throughput = None if samples is None else step_time.inverse(samples)
    every_timing_s = np.concatenate([np.asarray(t) for t in _latencies(measured)])
    is_latency = steps == 1
    layers = None if of_layers is None else _layer_figures(of_layers, step_time.value)
    doubts = findings(Evidence(
        measured=measured, failed=failed, step_time_s=step_time, threads=int(first.threads), layers=layers,
        isa=_isa_figures(measured), world=_world_figures(first, measured), of_trials=of_trials,
    ))
    kinds = {doubt.kind for doubt in doubts}
    return {
        "validity": telemetry.validity(kinds).value,
        "step_time_s": step_time.value, "step_time_low_s": step_time.low, "step_time_high_s": step_time.high,
        "throughput_samples_per_s": throughput and throughput.value,
        "throughput_low_samples_per_s": throughput and throughput.low,
        "throughput_high_samples_per_s": throughput and throughput.high,
        "flops_per_s": None if flops is None else flops / step_time.value,
        "bytes_per_s": None if moved_bytes is None else moved_bytes / step_time.value,
        "cpu_time_per_step_s": float(np.median(step_times(measured.cpu_times_s, steps))),
        "latency_p50_s": float(np.quantile(every_timing_s, 0.5)) if is_latency else None,
        "latency_p99_s": float(np.quantile(every_timing_s, 0.99))
        if is_latency and len(every_timing_s) >= FEWEST_FOR_P99 else None,
        "prepare_time_s": float(np.median(measured.prepare_time_s)),
        "peak_memory_bytes": _known(measured.peak_memory_bytes.max()),
        "overflow_steps": _known(measured.overflow_steps.max()),
        "findings": ",".join(doubt.id for doubt in doubts),
        "finding_texts": json.dumps([doubt.text for doubt in doubts]),
        "trial_step_times_s": times_s,
        "layer_cover": layers and layers.cover, "layer_closure": layers and layers.closure,
        "layer_overhead": layers and layers.overhead, **_of_world(measured),
    }


def _isa_proof(group: pd.DataFrame) -> str:
    """What all trials ran that were watched; "not proven" where none was, or they did not run the same."""
    found = set(group.isa_proof.dropna())
    return str(found.pop()) if len(found) == 1 else NOT_PROVEN


def _latencies(measured: pd.DataFrame) -> list[Any]:
    """Timings by process: of replicas every one answers requests; else the slowest rank ends the step."""
    is_many = (measured.strategy == "replicas") & measured.rank_timings_s.notna()
    return [
        ranks for answers, ranks_s, timings_s in zip(is_many, measured.rank_timings_s, measured.timings_s, strict=True)
        for ranks in (ranks_s if answers else [timings_s])
    ]


def _of_world(measured: pd.DataFrame) -> dict[str, Any]:
    """What is only told of a world: medians over its trials."""
    told = [json.loads(each) for each in measured.communication.dropna()]
    known = [each for each in told if each.get("problem") is None]
    spreads = [_rank_spread(ranks) for ranks in measured.rank_cpu_times_s.dropna()]
    return {
        "rank_spread": float(np.median(spreads)) if spreads else None,
        "sent_bytes": _known(measured.sent_bytes.max()),
        "communication_time_s": float(np.median([each["time_s"] for each in known])) if known else None,
        "communication_exposed_s": float(np.median([each["exposed_s"] for each in known])) if known else None,
        "communication_reason": next((each["problem"] for each in told if each.get("problem")), None),
    }


def _rank_spread(cpu_times_s: Any) -> float:
    medians = [float(np.median(times)) for times in cpu_times_s]
    return max(medians) / min(medians) if min(medians) > 0 else 1.0


def _world_figures(first: Any, measured: pd.DataFrame) -> WorldFigures:
    return WorldFigures(
        size=int(first.world_size), threads=int(first.threads), is_oversubscribed=bool(first.oversubscribed),
        rank_spread=_of_world(measured)["rank_spread"],
    )


def _work_of_a_step(trial: pd.Series) -> tuple[int | None, int | None, int | None]:
    """(samples, FLOPs, bytes moved) of one step; None for what it has none of, or is not known."""
    if trial.kind == TrialKind.LIMIT:
        return _known(trial.work_samples), _known(trial.work_flops), _known(trial.work_bytes)
    samples, flops = int(trial.local_batch * trial.world_size), _known(_flops_per_sample(trial))
    return samples, None if flops is None else flops * samples, None


def _flops_per_sample(trial: pd.Series) -> Any:
    return trial.flops_training if trial["mode"] == Mode.TRAINING else trial.flops_inference


def _layers_of(trial: pd.Series) -> tuple[Any, ...]:
    """What a layer trial and the timing trials that it speaks of have in common: all but how long they are timed."""
    return tuple(None if pd.isna(trial[name]) else trial[name] for name in ALIKE_COLUMNS if name != "settings")


def _layer_figures(trial: pd.Series, step_time_s: float) -> LayerFigures:
    """Of the case's latest layer trial; closure is against the step time of the timing trials, not its own."""
    return LayerFigures(
        cover=float(trial.layer_cover), overhead=float(trial.layer_overhead),
        closure=float(trial.attributed_time_s) / step_time_s,
        problem=None if pd.isna(trial.layer_problem) else str(trial.layer_problem),
        variables=json.loads(trial.layer_variables),
    )


def _isa_figures(measured: pd.DataFrame) -> IsaFigures:
    watched = measured[measured.isa_evidence.notna()]
    return IsaFigures(
        asked=str(measured.iloc[0].isa), proof=_isa_proof(measured),
        evidence={} if watched.empty else json.loads(watched.iloc[-1].isa_evidence),
    )


def _known(number: Any) -> int | None:
    return None if pd.isna(number) else int(number)
