"""From stored trials to result rows: what may be pooled is, nothing else is, and nothing is lost or made up."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from rigmark.bench.analysis.comparison.compare import Comparisons
from rigmark.bench.analysis.results.summary import FEWEST_FOR_P99, RESULT_COLUMNS, results
from rigmark.bench.enums import Isa, Layout, Mode, Outcome, StartMethod, TrialKind
from rigmark.bench.sections.groups import groups
from rigmark.bench.store.record import Record, id_of, key_of_plain
from rigmark.bench.store.store import Store
from tests.records import (
    CASE,
    LIMIT_CASE,
    MACHINE,
    NODE,
    PARITY,
    build_facts,
    limit_measurement,
    make_record,
    measurement,
    timing_records,
    trials_of,
    watched,
    with_measurement,
)

STEP_TIMES_S = [0.0100, 0.0101, 0.0099, 0.0102, 0.0098, 0.0100, 0.0101, 0.0099]
FIGURES = (
    "step_time_s", "step_time_low_s", "step_time_high_s", "throughput_samples_per_s", "throughput_low_samples_per_s",
    "throughput_high_samples_per_s", "cpu_time_per_step_s", "latency_p50_s", "latency_p99_s", "prepare_time_s",
    "peak_memory_bytes", "trial_step_times_s",
)

Summarise = Callable[[Iterable[Record]], pd.DataFrame]


@pytest.fixture
def summarise(tmp_path: Path) -> Summarise:
    """The rows of these records, through a store as users have it."""
    return lambda records: results(trials_of(tmp_path, records))


def only(table: pd.DataFrame) -> dict[str, Any]:
    row, = table.to_dict("records")
    return row


def test_a_case_becomes_one_row_with_its_interval(summarise: Summarise):
    row = only(summarise(timing_records(STEP_TIMES_S)))

    assert row["step_time_s"] == pytest.approx(0.01, rel=1e-3)
    assert 0.0098 <= row["step_time_low_s"] < row["step_time_s"] < row["step_time_high_s"] <= 0.0102
    assert row["throughput_samples_per_s"] == pytest.approx(32 / row["step_time_s"])
    assert row["throughput_low_samples_per_s"] == pytest.approx(32 / row["step_time_high_s"])
    assert row["throughput_high_samples_per_s"] == pytest.approx(32 / row["step_time_low_s"])
    assert (row["trials"], row["outcome"], row["reason"], row["validity"]) == (8, "ok", None, "valid")
    assert row["trial_step_times_s"] == pytest.approx(STEP_TIMES_S)
    assert (row["findings"], row["finding_texts"]) == ("", "[]")
    assert (row["local_batch"], row["global_batch"], row["world_size"], row["threads"]) == (32, 32, 1, 1)
    assert (row["peak_memory_bytes"], row["prepare_time_s"]) == (300 * 2**20, 0.5)
    assert row["cpu_time_per_step_s"] == pytest.approx(0.0099, rel=1e-3)


def test_an_instruction_set_is_a_case_of_its_own_and_its_row_says_what_ran(summarise: Summarise):
    native = timing_records(STEP_TIMES_S)
    held = timing_records(STEP_TIMES_S, case=replace(CASE, isa=Isa.AVX2), isa=watched("avx2"))
    mixed = timing_records(STEP_TIMES_S, case=replace(CASE, isa=Isa.AVX512), isa=watched("avx512", gemm="avx2"))

    rows = summarise([*native, *held, *mixed]).to_dict("records")

    assert {row["isa"]: (row["isa_proof"], row["findings"], row["validity"]) for row in rows} == {
        "native": ("not proven", "", "valid"), "avx2": ("avx2", "", "valid"),
        "avx512": ("mixed", "isa_mixed", "suspect"),
    }


def test_trials_that_ran_different_instruction_sets_prove_none(summarise: Summarise):
    case = replace(CASE, isa=Isa.AVX2)
    records = timing_records(STEP_TIMES_S, case=case, isa=watched("avx2"))
    records[3] = replace(records[3], isa=watched("avx2", gemm="avx512"))
    silent = [replace(record, isa=None) for record in timing_records(STEP_TIMES_S, case=case, session="2")]
    watched_once = [replace(silent[0], isa=watched("avx2")), *silent[1:]]

    summary = summarise([*records, *watched_once]).set_index("session")
    changed, unchanged = summary.loc["1"], summary.loc["2"]

    assert (changed["isa_proof"], changed["findings"]) == ("not proven", "isa_not_proven")
    assert unchanged["isa_proof"] == "avx2"


def test_records_that_are_older_than_instruction_sets_were_native(tmp_path: Path):
    store = Store(tmp_path).create()
    for record in timing_records(STEP_TIMES_S):
        store.put(record)
    for path in (tmp_path / "records").glob("*.json"):
        plain = json.loads(path.read_text())
        del plain["identity"]["case"]["isa"], plain["isa"], plain["content"]
        plain["id"] = id_of(plain["identity"])
        path.unlink()
        path.with_stem(key_of_plain(plain)).write_text(json.dumps(plain))

    row = only(results(store.trials().table))

    assert (row["isa"], row["isa_proof"]) == ("native", "not proven")


def test_the_columns_are_those_that_others_script_against(summarise: Summarise):
    assert tuple(summarise(timing_records(STEP_TIMES_S)).columns) == RESULT_COLUMNS
    assert len(set(RESULT_COLUMNS)) == len(RESULT_COLUMNS)


def test_an_empty_store_has_the_same_columns(summarise: Summarise):
    table = summarise([])

    assert table.empty
    assert tuple(table.columns) == RESULT_COLUMNS


OTHERS: dict[str, dict[str, Any]] = {
    "version of torch": {"build": build_facts(torch="2.12.0")},
    "variable of the environment": {"build": build_facts(ONEDNN_MAX_CPU_ISA="SSE41")},
    "machine": {"machine": replace(MACHINE, memory_bytes=8 * 2**30)},
    "session": {"session": "2"},
    "code that measures": {"code_version": "beef"},
    "network": {"graph_fingerprint": "beef"},
    "thread count": {"case": replace(CASE, threads=2)},
    "batch": {"case": replace(CASE, local_batch=8)},
    "layout": {"case": replace(CASE, layout=Layout.CHANNELS_LAST)},
    "mode": {"case": replace(CASE, mode=Mode.INFERENCE)},
    "build": {"case": replace(CASE, build="other")},
    "data": {"case": replace(CASE, data="digits")},
    "steps per timing": {"case": replace(CASE, steps_per_timing=10)},
}


@pytest.mark.parametrize("difference", OTHERS)
def test_trials_that_differ_are_not_pooled(summarise: Summarise, difference: str):
    ours, others = timing_records([0.01] * 6), timing_records([0.02] * 6, **OTHERS[difference])

    table = summarise([*ours, *others])

    assert list(table.trials) == [6, 6]
    assert sorted(table.step_time_s) == [pytest.approx(0.01, rel=1e-3), pytest.approx(0.02, rel=1e-3)]


@pytest.mark.parametrize(("setting", "value"), [("start_method", StartMethod.FORKSERVER), ("min_time_s", 5.0)])
def test_trials_that_were_timed_otherwise_are_not_pooled(summarise: Summarise, setting: str, value: Any):
    def otherwise(record: Record) -> Record:
        settings = {**record.identity.settings, setting: value}
        return replace(record, identity=replace(record.identity, settings=settings))

    ours = timing_records([0.01] * 6)

    assert list(summarise([*ours, *map(otherwise, ours)]).trials) == [6, 6]


def test_trials_of_two_commands_are_pooled_if_all_else_is_alike(summarise: Summarise):
    first, later = timing_records(STEP_TIMES_S)[:4], timing_records(STEP_TIMES_S)[4:]

    row = only(summarise([*(replace(r, run_id="run1") for r in first), *(replace(r, run_id="run2") for r in later)]))

    assert (row["trials"], row["run_id"]) == (8, "run2")


def test_rows_stand_in_the_order_in_which_they_were_first_recorded(summarise: Summarise):
    numpy = timing_records([0.01] * 2, case=replace(CASE, framework="numpy"))
    torch = [replace(r, recorded_at="2025-01-01T00:00:00+00:00") for r in timing_records([0.01] * 2)]

    assert list(summarise([*numpy, *torch]).framework) == ["torch", "numpy"]


def test_failed_trials_beside_good_ones_make_the_row_suspect_and_are_reported(summarise: Summarise):
    failed = make_record(outcome=Outcome.CRASHED, repetition=8, reason="killed by SIGSEGV")

    row = only(summarise([*timing_records(STEP_TIMES_S), failed]))

    assert (row["outcome"], row["validity"], row["trials"], row["findings"]) == ("ok", "suspect", 8, "failed_trials")
    assert "1 of 9 trials failed (crashed: killed by SIGSEGV)" in json.loads(row["finding_texts"])[0]
    assert row["step_time_s"] == pytest.approx(0.01, rel=1e-3)


@pytest.mark.parametrize("outcome", [outcome for outcome in Outcome if outcome is not Outcome.OK])
def test_where_all_failed_there_is_a_reason_and_no_number(summarise: Summarise, outcome: Outcome):
    records = [make_record(outcome=outcome, repetition=i, reason=f"reason {i}") for i in range(2)]

    row = only(summarise(records))

    assert (row["outcome"], row["reason"], row["validity"], row["trials"]) == (outcome, "reason 1", "invalid", 0)
    assert {name: row[name] for name in FIGURES} == dict.fromkeys(FIGURES)


def test_few_trials_have_values_and_no_interval(summarise: Summarise):
    row = only(summarise(timing_records(STEP_TIMES_S[:3])))

    assert row["trial_step_times_s"] == pytest.approx(STEP_TIMES_S[:3])
    assert (row["step_time_low_s"], row["throughput_high_samples_per_s"]) == (None, None)
    assert (row["findings"], row["validity"]) == ("few_trials", "valid")


def test_a_figure_that_no_trial_knows_is_none_in_the_results(summarise: Summarise):
    unknown = [with_measurement(record, peak_memory_bytes=None) for record in timing_records(STEP_TIMES_S)]

    table = summarise(unknown)

    row = only(table)
    nothing_measures_it = (
        "power_w", "energy_per_sample_j", "layer_closure", "layer_cover", "sent_bytes", "parity_error",
    )
    assert [row[name] for name in ("peak_memory_bytes", *nothing_measures_it)] == [None] * 7
    assert not any(isinstance(value, float) and math.isnan(value) for value in row.values())     # no NaN
    assert json.loads(table.to_json(orient="records"))[0]["peak_memory_bytes"] is None


def test_unknown_memory_of_one_trial_leaves_the_peak_of_the_others(summarise: Summarise):
    first, *others = timing_records(STEP_TIMES_S)

    row = only(summarise([with_measurement(first, peak_memory_bytes=None), *others]))

    assert row["peak_memory_bytes"] == 300 * 2**20


@pytest.mark.parametrize(("boots", "is_told"), [("abab", True), ("aabb", False), ("aaaa", False)])
def test_starts_of_a_node_that_were_measured_at_the_same_time_are_clones(
    summarise: Summarise, boots: str, is_told: bool
):
    records = timing_records(STEP_TIMES_S[:4])

    row = only(summarise([replace(each, boot=12 * boot) for each, boot in zip(records, boots, strict=True)]))

    assert is_told == ("cloned" in row["findings"].split(","))


def test_nodes_of_one_kind_are_never_pooled(summarise: Summarise):
    records = timing_records(STEP_TIMES_S)

    rows = summarise([*records, *(replace(each, node=12 * "b") for each in records)])

    assert [NODE, 12 * "b"] == list(rows.node)


def test_a_row_carries_the_parity_error_of_its_certificate(summarise: Summarise):
    proof = make_record(TrialKind.PROOF)
    other_proof = make_record(TrialKind.PROOF, session="2", parity={**PARITY.plain(), "output_error": 0.5})

    row = only(summarise([proof, other_proof, *timing_records(STEP_TIMES_S, certificate=proof.key)]))

    assert (row["certificate"], row["parity_error"]) == (proof.key, 4e-7)


def test_a_network_is_credited_with_the_flops_that_its_definition_needs(summarise: Summarise):
    row = only(summarise(timing_records(STEP_TIMES_S)))

    assert row["kind"] == "timing"
    assert row["flops_per_s"] == pytest.approx(32 * 2_544_000 / row["step_time_s"])
    assert row["bytes_per_s"] is None


def of_limit(model: str, step_time_s: float, **changes: Any) -> list[Record]:
    case = replace(LIMIT_CASE, model=model, **changes)
    return [
        make_record(TrialKind.LIMIT, case=case, repetition=i, measurement=limit_measurement(step_time_s))
        for i in range(6)
    ]


def test_a_limit_is_a_row_with_the_rate_that_it_is_measured_by(summarise: Summarise):
    trials = [*of_limit("matmul_1024", 0.02), *of_limit("copy_256MiB", 0.02), *of_limit("launch", 2e-6)]

    table = summarise([*trials, *timing_records(STEP_TIMES_S)]).set_index("model")

    assert table.kind.to_dict() == {"matmul_1024": "limit", "copy_256MiB": "limit", "launch": "limit", "mlp": "timing"}
    assert table.flops_per_s["matmul_1024"] == pytest.approx(2 * 1024**3 / 0.02, rel=2e-3)
    assert table.bytes_per_s["copy_256MiB"] == pytest.approx(256 * 2**20 / 0.02, rel=2e-3)
    assert (table.flops_per_s["copy_256MiB"], table.bytes_per_s["matmul_1024"]) == (None, None)
    assert (table.flops_per_s["launch"], table.bytes_per_s["launch"]) == (None, None)
    assert table.step_time_s["launch"] == pytest.approx(2e-6, rel=2e-3)


def test_only_limits_with_samples_have_a_throughput(summarise: Summarise):
    table = summarise([*of_limit("jpeg_decode", 0.05, local_batch=16), *of_limit("matmul_1024", 0.05)])

    throughput = table.set_index("model").throughput_samples_per_s
    assert throughput["jpeg_decode"] == pytest.approx(16 / 0.05, rel=2e-3)
    assert throughput["matmul_1024"] is None


def test_a_limit_that_failed_has_a_reason_and_no_rate(summarise: Summarise):
    row = only(summarise([make_record(TrialKind.LIMIT, Outcome.UNSUPPORTED, reason="no GPU")]))

    assert (row["kind"], row["outcome"], row["reason"]) == ("limit", "unsupported", "no GPU")
    assert (row["flops_per_s"], row["bytes_per_s"], row["step_time_s"]) == (None, None, None)


def test_limits_are_in_no_comparison_of_frameworks(tmp_path: Path):
    trials = trials_of(tmp_path, [*of_limit("matmul_1024", 0.02), *timing_records(STEP_TIMES_S)])

    assert [group.facts["model"] for group in groups(results(trials), trials, Comparisons({}))] == ["mlp"]


def test_a_proof_alone_is_no_result(summarise: Summarise):
    assert summarise([make_record(TrialKind.PROOF)]).empty


def test_steps_that_are_timed_together_have_a_step_time_and_no_latency(summarise: Summarise):
    row = only(summarise(timing_records(STEP_TIMES_S, case=replace(CASE, steps_per_timing=10))))

    assert row["step_time_s"] == pytest.approx(0.01, rel=1e-3)
    assert row["cpu_time_per_step_s"] == pytest.approx(0.0099, rel=1e-3)
    assert (row["latency_p50_s"], row["latency_p99_s"]) == (None, None)


def test_a_tail_latency_needs_a_hundred_timings(summarise: Summarise):
    few = FEWEST_FOR_P99 // 2

    def of_two(timings: int, session: str) -> list[Record]:
        return [make_record(repetition=i, session=session, measurement=measurement(timings=timings)) for i in (0, 1)]

    table = summarise([*of_two(few - 1, "1"), *of_two(few, "2")])

    assert table.set_index("session").latency_p99_s.isna().to_dict() == {"1": True, "2": False}
    assert not table.latency_p50_s.isna().any()


def test_training_and_inference_have_their_own_flops_and_optimiser(summarise: Summarise):
    inference = timing_records([0.01] * 2, case=replace(CASE, mode=Mode.INFERENCE))

    table = summarise([*timing_records([0.01] * 2), *inference]).set_index("mode")

    assert table.flops_per_sample.to_dict() == {"training": 2_544_000, "inference": 1_272_000}
    assert table.optimizer.to_dict() == {"training": "sgd", "inference": None}
