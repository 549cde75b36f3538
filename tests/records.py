"""Whole records without measuring: what the runner would have stored, with only the facts that a test is about."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pandas as pd

from rigmark.bench import models
from rigmark.bench.enums import TIMED, CompileMode, Layout, Mode, Outcome, Precision, TrialKind
from rigmark.bench.machine.hardware import Machine
from rigmark.bench.plan.case import Case, Timing
from rigmark.bench.plan.microbenchmarks import OperationCase
from rigmark.bench.store import reading
from rigmark.bench.store.quoted import QuotedTable
from rigmark.bench.store.record import Identity, Record
from rigmark.bench.store.sealing import sealed
from rigmark.bench.store.store import Store
from rigmark.bench.store.stored import Pair, StoredRecord
from rigmark.bench.trials import instruction_sets
from rigmark.bench.trials.kinds import layers
from rigmark.bench.trials.kinds import pair as pairs
from rigmark.bench.trials.parity import TOLERANCES, Parity
from rigmark.bench.worker import microbenchmarks
from rigmark.bench.worker.precisions import POLICIES

CASE = Case(
    model="mlp", framework="torch", compile_mode=CompileMode.EAGER, layout=Layout.NCHW, mode=Mode.TRAINING,
    local_batch=32, threads=1,
)
LIMIT_CASE = OperationCase(
    model="matmul_1024", framework="torch", compile_mode=CompileMode.EAGER, layout=Layout.NCHW,
    local_batch=1, threads=1,
)
MACHINE = Machine(
    cpu="AMD EPYC 9B14", microarchitecture="zen4", architecture="x86_64", cores=2, logical_cores=2,
    memory_bytes=24 * 2**30, system="Linux 6.1",
)
NODE = "0de1" * 3
CERTIFICATE = f"{'ce27' * 4}-{NODE}"
PARITY = Parity(
    output_error=4e-7, loss_error=1e-7, gradient_error=2e-6, worst_gradient="hidden/weight", second_loss_error=3e-7,
    third_loss_error=3e-7,
    tolerance={"output": 1e-5, "loss": 1e-5, "gradient": 1e-4, "second_loss": 1e-4, "third_loss": 2e-4},
    losses=[2.3, 2.1, 1.9, 1.8, 1.7], oracle_losses=[2.3, 2.1, 1.9, 1.8, 1.7],
)
assert set(PARITY.tolerance) == set(vars(TOLERANCES[Precision.FP32]))

WORLD: dict[str, Any] = {
    "processes": 2, "nodes": 1,
    "rank_timings_s": [[0.01] * 4] * 2, "rank_cpu_times_s": [[0.009] * 4] * 2, "sent_bytes": 2_544_040,
    "communication": {
        "problem": None, "time_s": 0.004, "exposed_s": 0.003, "buckets": 2, "reduced_bytes": 2_544_040,
        "step_times_s": [0.01] * 5,
    },
}
"""Of two ranks, as bench.launch.ranks tells it."""


def build_facts(torch: str = "2.13.0", **variables: str) -> dict[str, Any]:
    return {
        "python": "3.11.7", "framework_version": torch, "packages": {"numpy": "2.4.6", "torch": torch},
        "variables": {"OMP_NUM_THREADS": "1", **variables}, "adapter": "ada9",
    }


LAST_CHECK = {
    "loss": 0.1, "expected_loss": 0.1, "allowed_difference": 1e-5, "output_error": None, "allowed_output_error": None,
    "output_distance": None, "are_parameters_moved": True,
}
"""Of a trial of training."""


def measurement(step_time_s: float = 0.01, *, timings: int = 20, steps_per_timing: int = 1) -> dict[str, Any]:
    """Of one process whose median step takes ``step_time_s``, a little more and a little less by turns."""
    timings_s = [steps_per_timing * step_time_s * (1 + 0.001 * (-1) ** i) for i in range(timings)]
    return {
        "timings_s": timings_s, "host_times_s": timings_s, "cpu_times_s": [0.99 * t for t in timings_s],
        "steps_per_timing": steps_per_timing, "clock": "host", "stopped_by": "enough",
        "facts": {"version": "2.13.0"}, "prepare_time_s": 0.5, "first_step_s": 2 * step_time_s,
        "warm_up_timings_s": [1.1 * step_time_s] * 6, "first_loss": 2.3, "expected_loss": 2.3, "last_loss": 0.1,
        "policy": POLICIES["fp32"], "overflow_steps": None, "result_error": None, "batches": 2,
        "last_check": LAST_CHECK,
        "other_cpu_time_s": 0.001, "host": {"allocator": "system", "numa_nodes": [0], "huge_pages": "madvise"},
        "peak_memory_bytes": 300 * 2**20, "peak_memory_method": "process_resident",
        "marks": {"started": 1.0, "imported": 2.0, "prepared": 2.5, "loaded": 2.6, "steady": 3.0, "timed": 4.0},
    }


def limit_measurement(step_time_s: float = 0.01, **changes: Any) -> dict[str, Any]:
    """Of one process that executed a limit."""
    no_network = dict.fromkeys(("first_loss", "expected_loss", "last_loss", "batches", "policy", "last_check"))
    return {**measurement(step_time_s), **no_network, "result_error": 3e-7, **changes}


def watched(asked: str = "avx2", *, summary: str | None = None, **levels: str | None) -> dict[str, Any]:
    """What ran of the instruction set that was asked for: the same everywhere, but for ``levels`` by operation."""
    proof = {
        name: {"level": levels.get(name, asked), "evidence": "AVX 100% of 99 sampled instructions", "statement": None}
        for name in instruction_sets.networks()
    }
    return {"asked": asked, "proof": proof, "summary": summary or instruction_sets.summary(proof)}


def layer_answer() -> dict[str, Any]:
    """Of one process that took its steps apart, as bench.worker.layers gives it."""
    answer: dict[str, Any] = {
        "rows": [
            {"layer": "hidden", "direction": "forward", "time_s": 0.004},
            {"layer": "hidden", "direction": "backward", "time_s": 0.005},
            {"layer": "optimizer", "direction": "update", "time_s": 0.0005},
            {"layer": layers.UNATTRIBUTED, "direction": None, "time_s": 0.0005},
        ],
        "step_times_s": [0.01] * 10, "plain_step_times_s": [0.0099] * 10, "warm_up_timings_s": [0.011] * 6,
        "facts": {"version": "2.13.0"}, "prepare_time_s": 0.5, "first_step_s": 0.02, "first_loss": 2.3,
        "expected_loss": 2.3, "batches": 2, "last_check": LAST_CHECK, "problem": None, "resolution_s": 1e-7,
    }
    for row in answer["rows"]:
        row["turn_times_s"] = [row["time_s"]] * 5
    return answer


def layer_times() -> dict[str, Any]:
    """The same as bench.trials.kinds.layers describes it."""
    described = layers.described(
        layer_answer(), models.build("mlp"), mode=Mode.TRAINING, batch=32, precision=Precision.FP32
    )
    return {**described, "variables": {}}


def pair(
    base_s: Sequence[float], new_s: Sequence[float], *, design: str = "turns", cpu_share: float = 0.99,
    idle_share: float = 0.001, timings_per_turn: int = 1,
) -> dict[str, Any]:
    """Two processes whose turns took these seconds."""
    def side(times_s: Sequence[float]) -> dict[str, Any]:
        known = measurement()
        same = ("warm_up_timings_s", "facts", "prepare_time_s", "first_step_s", "first_loss", "expected_loss",
                "last_loss", "batches", "last_check", "peak_memory_bytes", "peak_memory_method", "marks")
        idle: list[float | None] = [idle_share * time_s for time_s in times_s]
        return {
            "times_s": list(times_s), "host_times_s": list(times_s), "cpu_times_s": [cpu_share * t for t in times_s],
            "idle_cpu_times_s": [None, *idle[1:]], **{name: known[name] for name in same},
            "certificate": CERTIFICATE, "isa": None,
        }

    is_in_turns = design == "turns"
    return {
        "design": design, "why": None if is_in_turns else "one process held 9.00 GB at its peak",
        "started_first": "base", "first": ["new"] * len(base_s) if is_in_turns else [],
        "timings_per_turn": timings_per_turn, "base": side(base_s), "new": side(new_s),
    }


def make_record(
    kind: str = TrialKind.TIMING, outcome: Outcome = Outcome.OK, *, case: Case = CASE, repetition: int = 0,
    session: str = "1", build: dict[str, Any] | None = None, machine: Machine = MACHINE, code_version: str = "c0de",
    graph_fingerprint: str = "f00d" * 4, reason: str | None = None, **facts: Any,
) -> Record:
    """A record as the runner writes it for this kind of trial and outcome; ``facts`` replace fields of Record."""
    is_ok, is_proof, is_limit = outcome is Outcome.OK, kind == TrialKind.PROOF, kind == TrialKind.LIMIT
    is_pair = kind == TrialKind.PAIR
    if is_limit and not case.is_limit:
        case = LIMIT_CASE
    identity = Identity(
        kind=kind, case=case.plain(), repetition=repetition, session=session, graph_fingerprint=graph_fingerprint,
        build=build or build_facts(), machine=machine.id, code_version=code_version,
        settings={"seed": 1} | ({} if is_proof else Timing().plain()) | (pairs.SETTINGS if is_pair else {}),
        base={
            "name": "stable", "isa": "native", "code_version": code_version, **build_facts("2.12.0")
        } if is_pair else None,
    )
    of_a_proof = {**PARITY.plain(), "facts": {"version": "2.13.0"}, "prepare_time_s": 0.5}
    return Record(**{
        "identity": identity, "suite": "quick", "run_id": "run1", "command": "rigmark run quick",
        "recorded_at": f"2026-01-01T00:{repetition:02}:00+00:00", "outcome": outcome,
        "reason": reason if is_ok or reason else f"it was {outcome}", "last_words": "" if is_ok else "Killed",
        "graph": None if is_limit else {
            "name": case.model, "parameters": 636_010, "multiply_adds": 635_200,
            "flops_per_sample": {"inference": 1_272_000, "training": 2_544_000},
            "optimizer": "sgd", "loss": "softmax_cross_entropy",
        },
        "work": microbenchmarks.work(case.model, case.precision) if is_limit else None,
        "interpreter": "/usr/bin/python3", "machine": machine.plain(),
        "node": NODE, "boot": "b007" * 3, "load_before": 0.1, "wall_time_s": 3.5,
        "measurement": None if not is_ok or kind not in TIMED else limit_measurement() if is_limit
        else measurement(steps_per_timing=case.steps_per_timing),
        "layers": layer_times() if is_ok and kind == TrialKind.LAYERS else None,
        "parity": of_a_proof if is_proof and outcome in (Outcome.OK, Outcome.PARITY_FAILED) else None,
        "pair": pair([0.01] * 10, [0.01] * 10) if is_ok and is_pair else None,
        "cpus": [0], "certificate": None if is_proof or is_limit else CERTIFICATE,
        **facts,
    })


def timing_records(step_times_s: Sequence[float], *, case: Case = CASE, **facts: Any) -> list[Record]:
    """A timing trial for each step time, in order of repetition."""
    return [
        make_record(
            case=case, repetition=repetition, **facts,
            measurement=measurement(time_s, steps_per_timing=case.steps_per_timing),
        )
        for repetition, time_s in enumerate(step_times_s)
    ]


def with_measurement(record: Record, **changes: Any) -> Record:
    return replace(record, measurement={**(record.measurement or {}), **changes})


def overheated(record: Record) -> Record:
    """As telemetry saw it while heat held its GPU's clocks down: invalid."""
    of_gpu = {
        "device": 0, "values": {}, "unknown": {}, "event_shares": {"hw_thermal": 0.9}, "coverage": 1.0,
        "energy_j": None, "energy_method": None, "energy_bound_j": None,
    }
    return replace(record, telemetry={
        "devices": [
            {"source": "nvml", "id": "GPU-0", "kind": "gpu", "name": "NVIDIA H100", "used": True,
             "facts": {"index": 0}},
        ],
        "regions": [{"name": "timed", "duration_s": 1.0, "devices": [of_gpu]}],
    })


def as_stored(record: Record) -> StoredRecord:
    """As a store reads it back."""
    return reading.check(sealed(record.plain()), Path(f"{record.key}.json")).record


def as_pair(plain: dict[str, Any]) -> Pair:
    """As a record that is read holds it."""
    return msgspec.json.decode(json.dumps(plain), type=Pair)


def quoted_table(*rows: dict[str, Any], **source: Any) -> QuotedTable:
    """As a store reads back what was imported."""
    known = {"format": "csv", "file": "table.csv", "sha256": "", "imported_at": "", **source}
    lines = [{"line": f"line {index}", "model": "vgg16", **row} for index, row in enumerate(rows, start=2)]
    return msgspec.convert({"source": known, "rows": lines}, QuotedTable)


def trials_of(folder: Path, records: Iterable[Record]) -> pd.DataFrame:
    """The table of trials that a store reads back from these records."""
    store = Store(folder).create()
    for record in records:
        store.put(record)
    trials = store.trials()
    assert not trials.problems, trials.problems
    return trials.table
