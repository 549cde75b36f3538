"""benchmark.json or benchmark_report.json of huggingface/optimum-benchmark: one line for each phase of a run.

Latencies are in s, memory in MB of 10^6 bytes, throughput in samples/s or tokens/s. The report alone does not name the
model and the device. A training step has as many batches as gradients are accumulated over; the phase "train" is what
follows the warm-up, and "overall" is both.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rigmark.bench.importers import NotThisFormat, Read, Refused, json_object, number, numbers, whole
from rigmark.bench.store.quoted import Quoted

TITLE = "a benchmark of optimum-benchmark"
PRECISIONS = {"float32": "fp32", "float16": "fp16_pure", "bfloat16": "bf16_pure"}
MIXED = {"fp16": "fp16", "bf16": "bf16"}
"""Our precisions by arguments of the Trainer. Weights keep the format they are loaded in, float32 by default."""
DEVICES = {"cpu": "cpu", "cuda": "gpu", "xpu": "gpu", "mps": "gpu"}
TRAINED, WARMING = "train", ("warmup", "overall")
LEFT_OUT = "phases 'warmup' and 'overall' contain steps before the steady state and were left out; 'train' does not"


def read(path: Path) -> Read:
    content = json_object(path)
    report, config = content.get("report", content), content.get("config") or {}
    phases = {name: phase for name, phase in report.items() if isinstance(phase, dict) and phase.get("latency")}
    if not phases:
        raise NotThisFormat("it has no phase with a latency")
    is_training = (config.get("scenario") or {}).get("name") == "training" or TRAINED in phases
    notes = [] if config else ["it does not name its model and device; state them with --set"]
    if is_training and TRAINED in phases and any(name in phases for name in WARMING):
        phases = {name: phase for name, phase in phases.items() if name not in WARMING}
        notes.append(LEFT_OUT)
    rows, refused = [], Refused()
    for phase, stated in phases.items():
        with refused.line(phase):
            rows.append(_row(phase, stated, config, is_training))
    return Read(rows=tuple(rows), notes=tuple(notes), refused=tuple(refused.sentences))


def _row(phase: str, stated: Mapping[str, Any], config: Mapping[str, Any], is_training: bool) -> Quoted:
    backend, scenario, machine = (config.get(name) or {} for name in ("backend", "scenario", "environment"))
    latency, rate, memory = stated["latency"], stated.get("throughput") or {}, stated.get("memory") or {}
    if latency.get("unit") != "s":
        raise NotThisFormat(f"the latency of '{phase}' is in {latency.get('unit')}, not in s")
    is_samples = rate.get("unit") == "samples/s"
    is_loading = "load" in phase
    device = backend.get("device")
    return Quoted(
        line=phase, model=str(backend.get("model") or ""),
        mode=None if is_loading else "training" if is_training else "inference",
        framework=backend.get("name"), framework_version=backend.get("version"),
        precision=_precision(backend, scenario), device=DEVICES.get(str(device)),
        device_name=_device_name(device, machine),
        local_batch=None if is_loading else _samples(scenario, is_training),
        conditions={"phase": phase, **_conditions(device, scenario)},
        step_time_s=number(latency.get("mean"), "mean"), statistic="mean",
        timings_s=numbers(latency.get("values"), "values"),
        latency_p50_s=number(latency.get("p50"), "p50"), latency_p90_s=number(latency.get("p90"), "p90"),
        latency_p99_s=number(latency.get("p99"), "p99"),
        throughput_samples_per_s=number(rate.get("value"), "throughput") if is_samples else None,
        value=None if is_samples else number(rate.get("value"), "throughput"),
        unit=None if is_samples else rate.get("unit"),
        peak_memory_bytes=number(memory.get("max_allocated"), "max_allocated", 1e6),
    )


def _samples(scenario: Mapping[str, Any], is_training: bool) -> int | None:
    """Samples per step on one device; None if the batch is not stated. Unless stated, nothing is accumulated."""
    if not is_training:
        return whole((scenario.get("input_shapes") or {}).get("batch_size"), "batch_size")
    arguments = scenario.get("training_arguments") or {}
    batch = whole(arguments.get("per_device_train_batch_size"), "per_device_train_batch_size")
    many = whole(arguments.get("gradient_accumulation_steps"), "gradient_accumulation_steps")
    return None if batch is None else batch * (many or 1)


def _precision(backend: Mapping[str, Any], scenario: Mapping[str, Any]) -> str | None:
    stored = PRECISIONS.get(str(backend.get("torch_dtype") or backend.get("dtype")))
    arguments = scenario.get("training_arguments") or {}
    mixed = [ours for theirs, ours in MIXED.items() if arguments.get(theirs) is True]
    if mixed and stored in (None, "fp32"):
        return mixed[0] if len(mixed) == 1 else None
    return stored


def _device_name(device: str | None, machine: Mapping[str, Any]) -> str | None:
    """The name of the device; None if the machine has several kinds, since the file does not state which was used."""
    if device == "cuda":
        gpus = machine.get("gpu") or []
        names = {gpus} if isinstance(gpus, str) else set(gpus)
        return names.pop() if len(names) == 1 else None
    return str(machine["cpu"]).strip() if device == "cpu" and machine.get("cpu") else None


def _conditions(device: str | None, scenario: Mapping[str, Any]) -> dict[str, str]:
    shapes = {
        **(scenario.get("input_shapes") or {}), **(scenario.get("dataset_shapes") or {}),
        "new_tokens": scenario.get("new_tokens"), "accelerator": None if device in (None, "cpu", "cuda") else device,
    }
    return {name: str(size) for name, size in shapes.items() if size is not None and name != "batch_size"}
