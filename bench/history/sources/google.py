"""JSON of Google Benchmark (--benchmark_out): the real time per iteration, of repetitions their median.

The commit is that of --benchmark_context=commit=HASH, if the program was run with it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path, PurePath
from statistics import median
from typing import Any

from rigmark.bench.history.sources import Measured, each_of, known, number

TITLE = "a result of Google Benchmark"
FILES = "*.json"
UNITS_S = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0}
COMMITS = ("commit", "git_commit", "commit_hash", "revision", "git_sha", "sha")      # keys of a context


def measured(content: Mapping[str, Any], path: Path) -> Measured:
    context = content["context"]
    times_s, failures = times(content["benchmarks"], clock="real_time")
    date = context.get("date")
    return Measured(
        times_s={**dict.fromkeys(failures), **times_s}, failures="; ".join(sorted(set(failures.values()))),
        facts=known(
            machine=context.get("host_name"), cores=context.get("num_cpus"),
            executable=PurePath(str(context.get("executable", ""))).name, built=context.get("library_build_type"),
        ),
        commit=next((str(context[key]) for key in COMMITS if context.get(key)), None),
        date_s=None if date is None else datetime.fromisoformat(str(date)).timestamp(),
    )


def times(entries: Any, *, clock: str) -> tuple[dict[str, float], dict[str, str]]:
    """(seconds per iteration of each benchmark, why each of the others failed); ``clock`` is the name of the field.

    Raises LookupError, TypeError or ValueError for entries of another format.
    """
    single: dict[str, list[float]] = {}
    medians: dict[str, float] = {}
    failures: dict[str, str] = {}
    for entry in each_of(entries):
        name = str(entry.get("run_name", entry["name"]))
        if entry.get("error_occurred"):
            failures[name] = str(entry.get("error_message", "it does not say why"))
            continue
        kind = entry.get("aggregate_name") if entry.get("run_type") == "aggregate" else None
        if kind not in (None, "median"):
            continue
        time_s = number(entry[clock]) * UNITS_S[entry.get("time_unit", "ns")]
        if not math.isfinite(time_s):
            failures[name] = f"it took {time_s} s"
        elif kind is None:
            single.setdefault(name, []).append(time_s)
        else:
            medians[name] = time_s
    every = {name: median(times_s) for name, times_s in single.items()} | medians
    return {name: time_s for name, time_s in every.items() if name not in failures}, failures
