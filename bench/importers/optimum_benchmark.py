"""benchmark.json or benchmark_report.json of huggingface/optimum-benchmark: one line for each phase of a run.

Latencies in s, memory in MB of 10^6 bytes, throughput in samples/s or tokens/s. The report alone does not say of which
model and device it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rigmark.bench.importers import NotThisFormat, Read, json_object, number, numbers, whole
from rigmark.bench.store.quoted import Quoted

TITLE = "a benchmark of optimum-benchmark"
PRECISIONS = {"float32": "fp32", "float16": "fp16_pure", "bfloat16": "bf16_pure"}


def read(path: Path) -> Read:
    found = json_object(path)
    report, config = found.get("report", found), found.get("config") or {}
    phases = {name: phase for name, phase in report.items() if isinstance(phase, dict) and phase.get("latency")}
    if not phases:
        raise NotThisFormat("it has no phase with a latency")
    notes = () if config else ("it does not say of which model and device it is; state them with --set",)
    return Read(rows=tuple(_rows(phases, config)), notes=notes)


def _rows(phases: Mapping[str, Any], config: Mapping[str, Any]) -> Iterator[Quoted]:
    backend, scenario, machine = (config.get(name) or {} for name in ("backend", "scenario", "environment"))
    device = backend.get("device")
    of_training = scenario.get("training_arguments") or {}
    for phase, stated in phases.items():
        latency = stated["latency"]
        if latency.get("unit") != "s":
            raise NotThisFormat(f"latency of '{phase}' is in {latency.get('unit')}, not in s")
        rate = stated.get("throughput") or {}
        is_samples = rate.get("unit") == "samples/s"
        memory = stated.get("memory") or {}
        is_training = phase.startswith("train")
        batch = of_training.get("per_device_train_batch_size") if is_training else \
            (scenario.get("input_shapes") or {}).get("batch_size")
        yield Quoted(
            line=phase, model=str(backend.get("model", "unnamed")),
            mode="training" if is_training else None if "load" in phase else "inference",
            framework=backend.get("name"), framework_version=backend.get("version"),
            precision=PRECISIONS.get(str(backend.get("torch_dtype") or backend.get("dtype"))),
            device=None if device is None else "gpu" if device == "cuda" else str(device),
            device_name=_device_name(device, machine),
            local_batch=None if "load" in phase else whole(batch, "batch_size"),
            conditions={"phase": phase, **_shapes(scenario)},
            step_time_s=number(latency.get("mean")), statistic="mean", timings_s=numbers(latency.get("values")),
            latency_p50_s=number(latency.get("p50")), latency_p99_s=number(latency.get("p99")),
            throughput_samples_per_s=number(rate.get("value")) if is_samples else None,
            value=None if is_samples else number(rate.get("value")), unit=None if is_samples else rate.get("unit"),
            peak_memory_bytes=number(memory.get("max_allocated"), scale=1e6),
        )


def _device_name(device: str | None, machine: Mapping[str, Any]) -> str | None:
    if device == "cuda":
        return next(iter(machine.get("gpu") or []), None)
    return str(machine["cpu"]).strip() if device == "cpu" and machine.get("cpu") else None


def _shapes(scenario: Mapping[str, Any]) -> dict[str, str]:
    shapes = {**(scenario.get("input_shapes") or {}), "new_tokens": scenario.get("new_tokens")}
    return {name: str(size) for name, size in shapes.items() if size is not None and name != "batch_size"}
