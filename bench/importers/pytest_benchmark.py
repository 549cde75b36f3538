"""JSON of pytest-benchmark (--benchmark-json, or its storage): seconds per call, one line per benchmark.

Versions 2.5 to 5 of the package are read, with single timings if they were saved (--benchmark-save-data). The file
describes the machine, but not which of its devices a benchmark uses.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rigmark.bench.importers import NotThisFormat, Read, Refused, json_object, number, numbers
from rigmark.bench.store.quoted import Quoted

TITLE = "a result of pytest-benchmark"


def read(path: Path) -> Read:
    content = json_object(path)
    if "benchmarks" not in content or "machine_info" not in content:
        raise NotThisFormat("it has no 'benchmarks' and 'machine_info'")
    conditions = _conditions(content["machine_info"], content.get("commit_info") or {})
    rows, refused = [], Refused()
    for index, each in enumerate(content["benchmarks"]):
        line = f"benchmarks[{index}]"
        with refused.line(line):
            rows.append(_row(line, each, conditions, content.get("datetime")))
    return Read(rows=tuple(rows), refused=tuple(refused.sentences))


def _conditions(machine: Mapping[str, Any], commit: Mapping[str, Any]) -> dict[str, str]:
    stated = {
        "python": machine.get("python_version"),
        "processor": (machine.get("cpu") or {}).get("brand_raw") or machine.get("processor"),
        "node": machine.get("node"), "revision": commit.get("id"),
        "changed": "since that revision" if commit.get("dirty") else None,
    }
    return {name: str(fact) for name, fact in stated.items() if fact}


def _row(line: str, benchmark: Mapping[str, Any], conditions: Mapping[str, str], measured_at: Any) -> Quoted:
    stats = benchmark["stats"]
    extra = {str(name): str(fact) for name, fact in (benchmark.get("extra_info") or {}).items()}
    return Quoted(
        line=line, model=str(benchmark.get("fullname") or benchmark["name"]),
        measured_at=str(measured_at) if measured_at else None, conditions={**conditions, **extra},
        step_time_s=number(stats["mean"], "mean"), statistic="mean",
        median_time_s=number(stats.get("median"), "median"), timings_s=numbers(stats.get("data"), "data"),
    )
