"""A fixed small set of records, with a case of everything that a report must be able to tell."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rigmark.bench import models, sections
from rigmark.bench.claims.claim import Claim
from rigmark.bench.document.document import Document
from rigmark.bench.enums import Mode, Outcome, Precision, TrialKind
from rigmark.bench.sections import inputs
from rigmark.bench.store.record import Identity, Record
from rigmark.bench.store.store import Store
from rigmark.bench.trials.kinds import layers
from rigmark.bench.worker.precisions import POLICIES
from tests.records import WORLD, watched

VERSIONS = {"numpy": "2.4.6", "torch": "2.13.0+cpu", "jax": "0.10.2", "tensorflow": "2.21.0"}
SETTINGS = {"numpy": ("eager", "nchw"), "torch": ("compiled", "channels_last"), "jax": ("xla", "nchw"),
            "tensorflow": ("compiled", "channels_last")}
MACHINE: dict[str, Any] = {
    "id": "f3c561a3631c", "cpu": "AMD EPYC 9B14", "microarchitecture": "zen4", "architecture": "x86_64", "cores": 2,
    "logical_cores": 2, "memory_bytes": 25276502016, "system": "Linux 6.18", "gpus": [],
}
COMMAND = "rigmark run quick --repetitions 8"
TOLERANCE = {"output": 1e-5, "loss": 1e-5, "gradient": 1e-4, "second_loss": 1e-4, "third_loss": 2e-4}


def case(framework: str, mode: str = "training", **changes: Any) -> dict[str, Any]:
    compile_mode, layout = SETTINGS[framework]
    return {
        "model": "mnist_cnn", "framework": framework, "build": "default", "compile_mode": compile_mode,
        "layout": layout, "precision": "fp32", "mode": mode, "device": "cpu", "local_batch": 32, "threads": 2,
        "data": "digits", "steps_per_timing": 1, **changes,
    }


def record(
    kind: TrialKind, of: Mapping[str, Any], *, repetition: int = 0, outcome: Outcome = Outcome.OK,
    reason: str | None = None, **changes: Any,
) -> Record:
    version = VERSIONS[of["framework"]]
    identity = Identity(
        kind=kind, case=dict(of), repetition=repetition, session="1", graph_fingerprint="3d5d9a99b3237e4c",
        build={
            "python": "3.11.7", "framework_version": version,
            "packages": {"numpy": VERSIONS["numpy"], of["framework"]: version}, "variables": {"OMP_NUM_THREADS": "2"},
        },
        machine=MACHINE["id"], code_version="a37047db393a", settings={"seed": 1},
    )
    facts = {
        "suite": "quick", "run_id": "8aa238a68bb8", "command": COMMAND,
        "recorded_at": f"2026-11-22T01:{2 * repetition + (kind == TrialKind.TIMING):02d}:00+00:00",
        "outcome": outcome, "reason": reason,
        "graph": {"name": of["model"], "parameters": 146938, "optimizer": "adam",
                  "flops_per_sample": {"inference": 14935690, "training": 44482900}},
        "interpreter": "/usr/bin/python3", "machine": MACHINE, "load_before": 0.25, "wall_time_s": 1.5,
    }
    return Record(identity=identity, **{**facts, **changes})


def timing(
    of: Mapping[str, Any], repetition: int, step_time_s: float, more: Mapping[str, Any] | None = None, **changes: Any
) -> Record:
    """A timing trial of 100 steps whose median is the step time of this repetition; ``more`` was measured besides."""
    # Neighbours on the machine: a fixed wave over repetitions, and one over steps.
    step_time_s *= 1 + 0.02 * math.sin(5 * repetition + 2 * list(VERSIONS).index(of["framework"]))
    timings_s = [step_time_s * (1 + 0.01 * math.sin(step)) for step in range(100)]
    measurement = {
        "timings_s": timings_s, "host_times_s": timings_s, "cpu_times_s": [1.9 * t for t in timings_s],
        "warm_up_timings_s": timings_s[:3],
        "prepare_time_s": 0.05 if of["framework"] == "numpy" else 1.7, "first_step_s": 2 * step_time_s,
        "peak_memory_bytes": 68_157_440 if of["framework"] == "numpy" else 371_195_904, **(more or {}),
    }
    changes = {"measurement": measurement, "certificate": proof(of).id, **changes}
    return record(TrialKind.TIMING, of, repetition=repetition, **changes)


def failed(of: Mapping[str, Any], outcome: Outcome, reason: str, **changes: Any) -> Record:
    return record(TrialKind.TIMING, of, outcome=outcome, reason=reason, **changes)


def proof(of: Mapping[str, Any], **changes: Any) -> Record:
    """A proof of all cases with these settings; it learns if its data is not synthetic."""
    parity: dict[str, Any] = {
        "output_error": 4.1e-7, "loss_error": 3.6e-8, "gradient_error": 2.65e-7, "worst_gradient": "conv1/weight",
        "second_loss_error": 1.2e-6, "third_loss_error": 1.4e-6,
        "tolerance": TOLERANCE, "losses": [2.31, 2.12], "oracle_losses": [2.31, 2.12],
    }
    if of["data"] != "synthetic":
        distance = 1e-6 * list(VERSIONS).index(of["framework"])
        oracle = [2.3 * math.exp(-batch / 25) + 0.2 + 0.08 * math.sin(1.7 * batch) for batch in range(125)]
        parity |= {
            "learning_losses": [loss + distance * batch for batch, loss in enumerate(oracle)],
            "oracle_learning_losses": oracle, "learning_accuracy": 0.943, "oracle_learning_accuracy": 0.943,
        }
    changes = {"parity": parity, **changes}
    return record(TrialKind.PROOF, {**of, "mode": "training", "local_batch": 4}, **changes)


def layer_trial(
    of: Mapping[str, Any], times_s: Mapping[tuple[str, str], float], *, rest_s: float = 1e-4, overhead: float = 1.02,
    fused: Mapping[str, list[str]] | None = None, problem: str | None = None, resolution_s: float = 1e-7,
    variables: Mapping[str, str] | None = None, **changes: Any,
) -> Record:
    """A layer trial whose rows take these times by (layer, direction), and ``rest_s`` of each step no layer.

    ``fused`` names the members of a layer's rows.
    """
    rows: list[dict[str, Any]] = [
        {"layer": layer, "direction": direction, "time_s": time_s}
        | ({"members": fused[layer]} if fused and layer in fused else {})
        for (layer, direction), time_s in times_s.items()
    ]
    step_time_s = sum(times_s.values()) + rest_s
    answer = {
        "rows": [*rows, {"layer": layers.UNATTRIBUTED, "direction": None, "time_s": rest_s}],
        "step_times_s": [step_time_s] * 10, "plain_step_times_s": [step_time_s / overhead] * 10,
        "warm_up_timings_s": [step_time_s] * 3, "problem": problem, "resolution_s": resolution_s,
    }
    for row in answer["rows"]:
        row["turn_times_s"] = [row["time_s"]] * 5
    described = layers.described(
        answer, models.build(of["model"]), mode=Mode(of["mode"]), batch=of["local_batch"],
        precision=Precision(of["precision"]),
    )
    changes = {"layers": {**described, "variables": dict(variables or {})}, "certificate": proof(of).id, **changes}
    return record(TrialKind.LAYERS, of, **changes)


def step_by_work(of: Mapping[str, Any], step_time_s: float) -> dict[tuple[str, str], float]:
    """Times of all layers, and of the optimizer in training, that add up to a step; much work takes more time."""
    graph = models.build(of["model"])
    training = of["mode"] == "training"
    directions = ("forward", "backward") if training else ("forward",)
    work = {
        (layer.name, direction): 1e5 + cost.flops + 5.0 * cost.bytes_moved
        for direction in directions for layer in graph.layers
        for cost in [
            graph.cost(
                layer, batch=of["local_batch"], itemsize=4, training=training, backward=direction == "backward"
            )
        ]
    }
    if training:
        work["(optimizer)", "update"] = 0.1 * sum(work.values())
    return {row: step_time_s * amount / sum(work.values()) for row, amount in work.items()}


def limit(name: str, framework: str, step_time_s: float, *, repetitions: int = 6, threads: int = 2,
          precision: str = "fp32", **work: float) -> Iterator[Record]:
    """Trials of one limit of the machine; ``work`` is its FLOPs, bytes or samples."""
    of = {**case(framework, "inference"), "model": name, "data": "synthetic", "local_batch": 1, "threads": threads,
          "precision": precision}
    known = {"name": name, "flops": None, "bytes": None, "samples": None, **work}
    for repetition in range(repetitions):
        timed = timing(of, repetition, step_time_s).measurement
        yield record(TrialKind.LIMIT, of, repetition=repetition, graph=None, work=known, measurement=timed)


def limits() -> Iterator[Record]:
    yield from limit("matmul_1024", "torch", 0.0142, flops=2 * 1024**3)
    yield from limit("matmul_1024", "jax", 0.0061, flops=2 * 1024**3)
    yield from limit("matmul_1024", "torch", 0.0053, precision="bf16", repetitions=2, flops=2 * 1024**3)
    yield from limit("copy_2MiB", "torch", 3.1e-5, bytes=2 * 2**20)
    yield from limit("copy_256MiB", "torch", 0.0131, bytes=256 * 2**20)
    yield from limit("triad_256MiB", "numpy", 0.0162, bytes=256 * 2**20, flops=2**25)
    yield from limit("launch", "torch", 4.1e-6, threads=1)
    yield from limit("jpeg_decode", "numpy", 0.0382, samples=16, repetitions=2)


def layer_profiles() -> Iterator[Record]:
    """Training in torch, which adds up; in jax, with what is fused and another program; inference with a bad trace."""
    of = case("torch")
    yield layer_trial(of, step_by_work(of, 0.0101))
    of = case("jax")
    times_s = step_by_work(of, 0.0103)
    for direction in ("forward", "backward"):
        times_s["stage1.conv1", direction] += times_s.pop(("stage1.relu1", direction))
    yield layer_trial(
        of, times_s, fused={"stage1.conv1": ["stage1.conv1", "stage1.relu1"]}, variables={"XLA_FLAGS": "--xla_apart"}
    )
    of = case("torch", "inference")
    yield layer_trial(of, {("stage1.conv1", "forward"): 0.0008}, rest_s=0.0014, problem="the trace was cut short")


def sweep() -> Iterator[Record]:
    """Three frameworks training eight times, two of them as fast as one another; inference twice; one that cannot.

    Some steps were taken apart, and some of the machine's limits were measured.
    """
    yield from limits()
    yield from layer_profiles()
    for framework in ("numpy", "torch", "jax"):
        yield proof(case(framework))
    reason = "tensorflow has no layer 'group_norm'; it has: batch_norm, layer_norm"
    yield proof(case("tensorflow"), outcome=Outcome.UNSUPPORTED, reason=reason, parity=None)
    for repetition in range(8):
        for framework, step_time_s in (("numpy", 0.0481), ("torch", 0.0101), ("jax", 0.0103)):
            yield timing(case(framework), repetition, step_time_s)
    for repetition in range(2):
        for framework, step_time_s in (("numpy", 0.0162), ("torch", 0.0021)):
            yield timing(case(framework, "inference"), repetition, step_time_s)
    yield failed(case("jax", "inference"), Outcome.CRASHED, "RuntimeError: the worker ended with signal 11",
                 last_words="Traceback (most recent call last):\n  File \"step.py\", line 3\nSegmentation fault\n")
    for mode in ("training", "inference"):
        yield failed(case("tensorflow", mode), Outcome.UNSUPPORTED, f"its proof: {reason}")


def variations() -> Iterator[Record]:
    """One network as its settings vary: on two devices, limited to fewer instruction sets, in a narrower precision.

    Other work disturbed most of it, torch in every trial and jax on one device in half of them.
    """
    for repetition in range(6):
        for framework, strategy, step_time_s in (("torch", "ddp", 0.0112), ("jax", "shard_map", 0.0131)):
            alone, together = case(framework), case(framework, world_size=2, strategy=strategy)
            yield timing(alone, repetition, 0.0103, disturbed(0.0103) if framework == "torch" or repetition % 2 else {})
            yield timing(together, repetition, step_time_s, disturbed(step_time_s), world=WORLD)
        for level, step_time_s in (("native", 0.0021), ("sse41", 0.0083)):
            yield timing(
                case("torch", "inference", isa=level), repetition, step_time_s, disturbed(step_time_s),
                isa=watched(level),
            )
        policy = {"policy": POLICIES["bf16"]}
        yield timing(case("torch", precision="bf16"), repetition, 0.0062, policy)
    for framework in ("torch", "jax"):
        yield proof(case(framework))
    yield proof(case("torch", precision="bf16"))


def disturbed(step_time_s: float) -> dict[str, Any]:
    """What is measured besides where others keep about one core busy while 100 steps are timed."""
    return {"other_cpu_time_s": 100 * step_time_s}


def stored(root: Path, records: Iterator[Record] | list[Record]) -> Store:
    store = Store(root).create()
    for each in records:
        store.put(each)
    return store


def report(store: Store, claims: Sequence[Claim] = ()) -> Document:
    """The document on all that is stored."""
    return sections.document(inputs.read(store), claims=claims)
