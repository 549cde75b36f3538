"""From the table of trials to the flat table of results: one row a case, in the columns others script against."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd

from bench.analysis.findings import Evidence, FindingKind, findings
from bench.analysis.statistics import estimate
from bench.words import Mode, Outcome, TrialKind

CASE_COLUMNS = (
    "model", "framework", "build", "compile_mode", "layout", "precision", "mode", "device", "local_batch", "threads",
    "data", "steps_per_timing",
)
ALIKE_COLUMNS = (
    "origin", *CASE_COLUMNS, "graph_fingerprint", "machine", "build_facts", "code_version", "settings", "session"
)
"""Trials are pooled only where all of these are equal."""

FEWEST_FOR_P99 = 100         # timings; with fewer the 99th percentile is the largest of them

RESULT_COLUMNS = (
    "suite", "origin", "model", "framework", "framework_version", "build", "isa", "isa_proof", "compile_mode",
    "layout", "threads", "data", "device", "device_name", "world_size", "processes", "strategy", "nodes", "precision",
    "mode", "optimizer", "local_batch", "global_batch", "outcome", "reason", "validity", "trials", "session",
    "start_method", "steps_per_timing", "throughput_samples_per_s", "throughput_low_samples_per_s",
    "throughput_high_samples_per_s", "step_time_s", "step_time_low_s", "step_time_high_s", "cpu_time_per_step_s",
    "latency_p50_s", "latency_p99_s", "prepare_time_s", "peak_memory_bytes", "parity_error", "certificate",
    "graph_fingerprint", "parameters", "flops_per_sample", "layer_closure", "layer_cover", "layer_overhead",
    "power_w", "energy_per_sample_j", "energy_method", "findings", "machine", "run_id", "recorded_at",
    "trial_step_times_s", "finding_texts", "code_version", "build_facts", "settings", "command",
)
"""Names and units of a result row; None where a value is not known or not measured."""


def step_times(timings: pd.Series, steps_per_timing: int) -> list[float]:
    """One number a process: the median of its timings, per step, in seconds."""
    return [float(np.median(t)) / steps_per_timing for t in timings]


def results(trials: pd.DataFrame) -> pd.DataFrame:
    """One row for each group of alike timing trials, in the order in which they were first recorded."""
    proofs = trials[trials.kind == TrialKind.PROOF].set_index("id")
    timing = trials[trials.kind == TrialKind.TIMING]
    groups = timing.groupby(list(ALIKE_COLUMNS), sort=False, dropna=False)
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
        "isa": "native", "isa_proof": "not proven", "world_size": 1, "processes": 1, "nodes": 1,
        "global_batch": first.local_batch, "trials": len(measured),
        "optimizer": first.optimizer if first["mode"] == Mode.TRAINING else None,
        "flops_per_sample": first.flops_training if first["mode"] == Mode.TRAINING else first.flops_inference,
        "run_id": group.iloc[-1].run_id, "recorded_at": group.iloc[-1].recorded_at, "findings": "",
    }
    if first.certificate in proofs.index:
        row["parity_error"] = proofs.loc[first.certificate].output_error
    if measured.empty:
        worst = failed.iloc[-1]
        return row | {"outcome": worst.outcome, "reason": worst.reason, "validity": "invalid"}
    figures = _figures(measured, failed, first)
    row |= {"outcome": Outcome.OK, "reason": None} | figures
    return row if layers is None else row | _layer_figures(layers, figures["step_time_s"])


def _figures(measured: pd.DataFrame, failed: pd.DataFrame, first: Any) -> dict[str, Any]:
    steps = int(first.steps_per_timing)
    times_s = step_times(measured.timings_s, steps)
    step_time = estimate(times_s)
    throughput = step_time.inverse(float(first.local_batch))
    every_timing_s = np.concatenate([np.asarray(t) for t in measured.timings_s])
    is_latency = steps == 1
    doubts = findings(
        Evidence(measured=measured, failed=failed, step_time_s=step_time, threads=int(first.threads))
    )
    is_suspect = any(doubt.kind is FindingKind.WARNING for doubt in doubts)
    return {
        "validity": "suspect" if is_suspect else "valid",
        "step_time_s": step_time.value, "step_time_low_s": step_time.low, "step_time_high_s": step_time.high,
        "throughput_samples_per_s": throughput.value, "throughput_low_samples_per_s": throughput.low,
        "throughput_high_samples_per_s": throughput.high,
        "cpu_time_per_step_s": float(np.median(step_times(measured.cpu_times_s, steps))),
        "latency_p50_s": float(np.quantile(every_timing_s, 0.5)) if is_latency else None,
        "latency_p99_s": float(np.quantile(every_timing_s, 0.99))
        if is_latency and len(every_timing_s) >= FEWEST_FOR_P99 else None,
        "prepare_time_s": float(np.median(measured.prepare_time_s)),
        "peak_memory_bytes": _known(measured.peak_memory_bytes.max()),
        "findings": ",".join(doubt.id for doubt in doubts),
        "finding_texts": json.dumps([doubt.text for doubt in doubts]),
        "trial_step_times_s": times_s,
    }


def _layers_of(trial: pd.Series) -> tuple[Any, ...]:
    """What a layer trial and the timing trials that it speaks of have in common: all but how long they are timed."""
    return tuple(None if pd.isna(trial[name]) else trial[name] for name in ALIKE_COLUMNS if name != "settings")


def _layer_figures(layers: pd.Series, step_time_s: float) -> dict[str, Any]:
    """Of the case's latest layer trial; closure is against the step time of the timing trials, not its own."""
    return {
        "layer_cover": layers.layer_cover, "layer_overhead": layers.layer_overhead,
        "layer_closure": layers.attributed_time_s / step_time_s,
    }


def _known(number: Any) -> int | None:
    return None if pd.isna(number) else int(number)
