"""JSON of pytest-benchmark (--benchmark-json, or its storage): seconds a call, one line a benchmark.

Versions 2.5 to 5 of the package; single timings where it was told to keep them (--benchmark-save-data).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rigmark.bench.importers import NotThisFormat, Read, json_object, number, numbers
from rigmark.bench.store.quoted import Quoted

TITLE = "a result of pytest-benchmark"


def read(path: Path) -> Read:
    found = json_object(path)
    if "benchmarks" not in found or "machine_info" not in found:
        raise NotThisFormat("it has no 'benchmarks' and 'machine_info'")
    machine = found["machine_info"]
    processor = (machine.get("cpu") or {}).get("brand_raw") or machine.get("processor") or None
    return Read(rows=tuple(
        _row(index, each, machine, processor) for index, each in enumerate(found["benchmarks"])
    ))


def _row(index: int, benchmark: dict[str, Any], machine: dict[str, Any], processor: str | None) -> Quoted:
    stats = benchmark["stats"]
    extra = {str(name): str(fact) for name, fact in (benchmark.get("extra_info") or {}).items()}
    return Quoted(
        line=f"benchmarks[{index}]", model=str(benchmark.get("fullname") or benchmark["name"]), device="cpu",
        device_name=processor, conditions={"python": str(machine.get("python_version")), **extra},
        step_time_s=number(stats["mean"], "mean"), statistic="mean",
        median_time_s=number(stats.get("median"), "median"), timings_s=numbers(stats.get("data"), "data"),
    )
