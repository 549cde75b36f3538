"""MLPerf logs: lines with ":::MLLOG" and JSON, of a training run or of LoadGen (mlperf_log_detail.txt).

Training gives the time from run_start to run_stop, that is, to the quality target; LoadGen gives its result_ keys.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rigmark.bench.enums import Outcome
from rigmark.bench.importers import NotThisFormat, Read, number, text, whole
from rigmark.bench.store.quoted import Quoted

TITLE = "an MLPerf log"
MARK = ":::MLLOG "
RATES = ("result_samples_per_second", "result_completed_samples_per_sec")
"""Offline, and what a server completed."""


def read(path: Path) -> Read:
    entries, broken = [], 0
    for index, line in enumerate(text(path).splitlines(), start=1):
        _, is_marked, content = line.partition(MARK)
        if is_marked:
            try:
                entries.append((index, json.loads(content)))
            except ValueError:
                broken += 1
    notes = (f"{broken} lines with {MARK.strip()} are cut off and were left out",) if broken else ()
    first = {entry["key"]: (index, entry) for index, entry in reversed(entries)}
    last = {entry["key"]: (index, entry) for index, entry in entries}
    if any(name.startswith("result_") for name in last):
        return Read(rows=(_of_loadgen({name: entry["value"] for name, (_, entry) in last.items()}),), notes=notes)
    if "run_start" in first and "run_stop" in last:
        return Read(rows=(_of_training(first, last),), notes=notes)
    raise NotThisFormat(f"no line with {MARK.strip()} has the key 'run_stop', or one that begins with 'result_'")


def _of_loadgen(stated: Mapping[str, Any]) -> Quoted:
    is_valid = stated.get("result_validity") == "VALID"
    percentiles = {name: number(stated.get(f"result_{name}.00_percentile_latency_ns"), scale=1e-9)
                   for name in ("50", "99")}
    return Quoted(
        line="result_validity", model=str(stated.get("sut_name", "unnamed")), mode="inference", framework="loadgen",
        framework_version=str(stated.get("loadgen_version", "")).split(" ")[0] or None,
        conditions={"scenario": str(stated.get("effective_scenario")), "test": str(stated.get("effective_test_mode"))},
        outcome=Outcome.OK if is_valid else Outcome.CRASHED,
        reason=None if is_valid else f"LoadGen calls the run {stated.get('result_validity', 'nothing')}",
        throughput_samples_per_s=next((number(stated[name]) for name in RATES if name in stated), None),
        latency_p50_s=percentiles["50"], latency_p99_s=percentiles["99"],
        value=number(stated.get("result_tokens_per_second")),
        unit="tokens/s" if "result_tokens_per_second" in stated else None,
    )


def _of_training(first: Mapping[str, tuple[int, Any]], last: Mapping[str, tuple[int, Any]]) -> Quoted:
    index, stop = last["run_stop"]
    stated = {name: entry["value"] for name, (_, entry) in last.items()}
    status = (stop.get("metadata") or {}).get("status")
    is_done = status == "success"
    return Quoted(
        line=f"line {index}", model=str(stated.get("submission_benchmark", "unnamed")), mode="training",
        device_name=stated.get("submission_platform"),
        conditions={
            name: str(stated[name]) for name in ("submission_org", "submission_division", "global_batch_size", "seed")
            if stated.get(name) is not None
        },
        local_batch=whole(stated.get("micro_batch_size"), "micro_batch_size"),
        outcome=Outcome.OK if is_done else Outcome.CRASHED,
        reason=None if is_done else f"run_stop has the status '{status}': the target was not reached",
        value=1e-3 * (float(stop["time_ms"]) - float(first["run_start"][1]["time_ms"])), unit="s to the quality target",
    )
