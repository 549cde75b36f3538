"""MLPerf logs: lines with ":::MLLOG" and JSON, of a training run or of LoadGen (mlperf_log_detail.txt).

Of training, the result is the time from run_start to run_stop, that is, to the quality target; of LoadGen, its result_
keys. LoadGen's scenarios Offline and Server are judged by samples or tokens per second, SingleStream by the 90th
percentile of latency, MultiStream by the 99th percentile of the latency of queries. LoadGen states the harness
(sut_name), but not the network.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rigmark.bench.enums import Outcome
from rigmark.bench.host import files
from rigmark.bench.importers import BadFigure, NotThisFormat, Read, Refused, number, text, whole
from rigmark.bench.store.quoted import Quoted

TITLE = "an MLPerf log"
MARK = ":::MLLOG "
SUMMARY = "MLPerf Results Summary"
DETAIL = "mlperf_log_detail.txt"
RATES = ("result_samples_per_second", "result_completed_samples_per_sec", "result_qps_without_loadgen_overhead",
         "result_qps_with_loadgen_overhead")
"""Keys of rates: Offline; completed by a server; single queries of one sample, without and with LoadGen's overhead."""
SINGLE, MULTI = "SingleStream", "MultiStream"

Entry = Mapping[str, Any]


def read(path: Path) -> Read:
    lines = text(path).splitlines()
    entries: list[tuple[int, Entry]] = []
    broken = 0
    for index, line in enumerate(lines, start=1):
        _, is_marked, content = line.partition(MARK)
        if is_marked:
            entry = _entry(content)
            if entry is None:
                broken += 1
            else:
                entries.append((index, entry))
    notes = (f"{broken} lines with {MARK.strip()} are cut off and were left out",) if broken else ()
    refused = Refused()
    rows = []
    keys = [entry["key"] for _, entry in entries]
    if any(key.startswith("result_") for key in keys):
        _refuse_more_than_one(keys, "result_validity")
        with refused.line("result_validity"):
            rows.append(_of_loadgen(_stated(entries)))
    elif "run_start" in keys and "run_stop" in keys:
        _refuse_more_than_one(keys, "run_start", "run_stop")
        with refused.line("run_stop"):
            rows.append(_of_training(entries))
    elif any(SUMMARY in line for line in lines):
        raise NotThisFormat(f"it is only the summary of a run; name the {DETAIL} that LoadGen wrote beside it")
    else:
        raise NotThisFormat(f"no line with {MARK.strip()} has the key 'run_stop', or one that begins with 'result_'; "
                            f"of LoadGen's files name {DETAIL}")
    return Read(rows=tuple(rows), notes=notes, refused=tuple(refused.sentences))


def _entry(content: str) -> Entry | None:
    """The content of a line; None if it is cut off."""
    try:
        entry = files.parsed_json(content, "line")
    except files.Unreadable:
        return None
    return entry if isinstance(entry, dict) and isinstance(entry.get("key"), str) and "value" in entry else None


def _refuse_more_than_one(keys: Sequence[str], *of_a_run: str) -> None:
    for key in of_a_run:
        if keys.count(key) > 1:
            raise NotThisFormat(f"it contains {keys.count(key)} runs (its key '{key}' repeats); split it into files")


def _stated(entries: Sequence[tuple[int, Entry]]) -> dict[str, Any]:
    """The value of each key that has only one value in the file; of other keys it is not known which one is valid."""
    stated: dict[str, list[Any]] = {}
    for _, entry in entries:
        stated.setdefault(entry["key"], []).append(entry["value"])
    return {key: values[0] for key, values in stated.items() if all(value == values[0] for value in values)}


def _of_loadgen(stated: Mapping[str, Any]) -> Quoted:
    is_valid = stated.get("result_validity") == "VALID"
    scenario = stated.get("effective_scenario")
    of_queries = "_per_query" if scenario == MULTI else ""
    latencies_s = {
        name: number(stated.get(f"result_{name}.00_percentile{of_queries}_latency_ns"), f"latency p{name}", 1e-9)
        for name in ("50", "90", "99")
    }
    is_single = scenario == SINGLE and stated.get("effective_samples_per_query") == 1
    rate = next((name for name in RATES if stated.get(name) is not None), None)
    other = next((name for name in RATES[2:] if name != rate and stated.get(name) is not None), None)
    tokens = "result_tokens_per_second" in stated
    return Quoted(
        line="result_validity", model="", mode="inference", framework="loadgen",
        framework_version=str(stated.get("loadgen_version", "")).split(" ")[0] or None,
        conditions={
            name: str(stated[key]) for name, key in
            (("scenario", "effective_scenario"), ("test", "effective_test_mode"), ("sut", "sut_name")) if key in stated
        },
        outcome=Outcome.OK if is_valid else Outcome.CRASHED,
        reason=None if is_valid else f"LoadGen calls the run {stated.get('result_validity', 'nothing')}",
        local_batch=1 if is_single else None,
        step_time_s=number(stated.get("result_mean_latency_ns"), "mean latency", 1e-9) if is_single else None,
        statistic="mean" if is_single else None,
        throughput_samples_per_s=None if rate is None else number(stated[rate], rate),
        latency_p50_s=latencies_s["50"], latency_p90_s=latencies_s["90"], latency_p99_s=latencies_s["99"],
        value=number(stated.get("result_tokens_per_second" if tokens else other or ""), "rate"),
        unit="tokens/s" if tokens else None if other is None else "queries/s with the overhead of LoadGen",
    )


def _of_training(entries: Sequence[tuple[int, Entry]]) -> Quoted:
    (_, start), = ((index, entry) for index, entry in entries if entry["key"] == "run_start")
    (index, stop), = ((index, entry) for index, entry in entries if entry["key"] == "run_stop")
    stated = _stated(entries)
    status = (stop.get("metadata") or {}).get("status")
    is_done = status == "success"
    started_ms, stopped_ms = (number(entry.get("time_ms"), "time_ms") for entry in (start, stop))
    if started_ms is None or stopped_ms is None:
        raise BadFigure("time_ms", "is not stated for run_start or run_stop")
    return Quoted(
        line=f"line {index}", model=str(stated.get("submission_benchmark") or ""), mode="training",
        device_name=stated.get("submission_platform"),
        conditions={
            name: str(stated[name]) for name in
            ("submission_org", "submission_division", "global_batch_size", "micro_batch_size",
             "gradient_accumulation_steps", "seed")
            if stated.get(name) is not None
        },
        local_batch=_local_batch(stated),
        outcome=Outcome.OK if is_done else Outcome.CRASHED,
        reason=None if is_done else f"run_stop has the status '{status}': the target was not reached",
        value=1e-3 * (stopped_ms - started_ms), unit="s to the quality target",
    )


def _local_batch(stated: Mapping[str, Any]) -> int | None:
    """Samples per step on one device, of all its micro batches together; None if their number is not stated."""
    micro = whole(stated.get("micro_batch_size"), "micro_batch_size")
    many = whole(stated.get("gradient_accumulation_steps"), "gradient_accumulation_steps")
    return None if micro is None or many is None else micro * many
