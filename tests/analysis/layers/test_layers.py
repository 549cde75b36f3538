"""Steps taken apart: from records whose truth is known to tables, and what is said of a record that lacks something."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from rigmark.bench.analysis.layers import layers
from rigmark.bench.analysis.layers.layers import LayerProfile, LayerRow, by_op, longest, side_by_side
from rigmark.bench.analysis.layers.roofline import NOWHERE, Bound
from rigmark.bench.analysis.results.summary import results
from rigmark.bench.document.document import Document, Family, StackedBars
from rigmark.bench.enums import Outcome, TrialKind
from rigmark.bench.ir.ops import OPS
from rigmark.bench.sections import advice as words
from rigmark.bench.sections.layer_figures import FAMILY_OF, MOST_LAYERS, family, stacked_bars
from rigmark.bench.sections.layer_groups import together
from rigmark.bench.sections.layers import document
from rigmark.bench.store.record import Record
from rigmark.bench.store.store import Store
from rigmark.bench.trials.kinds import layers as stored_layers
from rigmark.bench.worker import tracing
from tests.reports import records

TORCH, JAX = records.case("torch"), records.case("jax")
INFERENCE = records.case("torch", "inference")


@pytest.fixture(name="read")
def _read(tmp_path: Path) -> Any:
    def read(*each: Record) -> list[LayerProfile]:
        return layers.read(*_read_back(tmp_path, each))

    return read


def _read_back(root: Path, each: Iterable[Record]) -> tuple[Any, Any, Any]:
    store = Store(root).create()
    for record in each:
        store.put(record)
    trials = store.trials().table
    chosen = layers.chosen(trials)
    return chosen, results(trials), [store.get(name) for name in chosen.id]


def named_rows(case: LayerProfile) -> dict[tuple[str, str | None], LayerRow]:
    return {(row.layer, row.direction): row for row in case.rows}


def with_layers(record: Record, **changes: Any) -> Record:
    assert record.layers is not None
    return dataclasses.replace(record, layers={**record.layers, **changes})


def of_many(count: int, **facts: Any) -> Record:
    """A layer trial of a network of so many convolutions, each but the first takes as long as the next."""
    rows = [
        {"layer": f"conv{index}", "members": [f"conv{index}"], "direction": "forward", "op": "conv2d",
         "time_s": (2.0 if index == 0 else 1.0) / (count + 1), "share": (2.0 if index == 0 else 1.0) / (count + 1),
         "method": "in_place", "flops": 10**9, "bytes_moved": 10**6}
        for index in range(count)
    ]
    rest = {**rows[0], "layer": "(unattributed)", "members": ["(unattributed)"], "direction": None, "op": None,
            "time_s": 0.0, "share": 0.0, "flops": None, "bytes_moved": None}
    record = records.layer_trial(INFERENCE, records.step_by_work(INFERENCE, 0.002))
    return with_layers(record, rows=[*rows, rest], step_times_s=[1.0], plain_step_times_s=[1.0], cover=1.0,
                       overhead=1.0, attributed_time_s=1.0, without_kernel=[], **facts)


def shown(case: LayerProfile, root: Path, top: int | None = None) -> Document:
    trials = Store(root).trials().table
    return document(together([case], trials), top=top)


# Figures ------------------------------------------------------------------------------------------------------------


def test_the_names_of_rows_that_are_no_layer_are_those_of_records():
    assert (stored_layers.UNATTRIBUTED, stored_layers.TOO_SHORT) == (layers.UNATTRIBUTED, layers.TOO_SHORT)
    assert {tracing.LOSS, tracing.OPTIMIZER, tracing.GRADIENT_ADD} <= set(FAMILY_OF)


def test_every_operation_has_a_family():
    assert set(OPS) <= set(FAMILY_OF)
    assert Family.OTHER is family(layers.TOO_SHORT)


def test_times_are_those_of_the_usual_turn_and_of_older_records_the_mean(read: Any):
    trial = records.layer_trial(TORCH, records.step_by_work(TORCH, 0.0101))
    assert trial.layers is not None
    first, *others = trial.layers["rows"]
    long = {**first, "turn_times_s": [*first["turn_times_s"][1:], 1.0], "time_s": first["time_s"] + 0.2}
    older = [{name: fact for name, fact in row.items() if name != "turn_times_s"} for row in trial.layers["rows"]]

    outvoted, = read(with_layers(trial, rows=[long, *others]))
    again = dataclasses.replace(trial, identity=dataclasses.replace(trial.identity, session="2"))
    of_mean, = read(with_layers(again, rows=older))

    for case in (outvoted, of_mean):
        assert first["time_s"] == case.rows[0].time_s
        assert case.step_time_s == pytest.approx(sum(row.time_s for row in case.rows))


def test_a_step_is_held_against_the_machines_limits(read: Any):
    trial = records.layer_trial(TORCH, records.step_by_work(TORCH, 0.0101))
    case, = read(*records.limits(), trial, *(records.timing(TORCH, n, 0.0101) for n in range(6)))
    row = named_rows(case)["stage1.conv2", "forward"]

    assert "matmul_1024 in jax, measured" == case.peaks.flops_per_s.source
    assert row.place.limit_s == pytest.approx(row.flops / case.peaks.flops_per_s.value)
    assert (row.place.bound, row.place.gap) == (Bound.COMPUTE, pytest.approx(row.time_s / row.place.limit_s))
    assert Bound.MEMORY is named_rows(case)["stage1.relu1", "forward"].place.bound
    assert Bound.OVERHEAD is named_rows(case)["flatten", "forward"].place.bound
    optimizer = named_rows(case)["(optimizer)", "update"].place
    assert (optimizer.bound, optimizer.gap, optimizer.flops_per_s) == (None, None, None)
    assert case.figures.mfu == pytest.approx(
        44482900 * 32 / case.timed_step_time_s / case.peaks.flops_per_s.value
    )
    assert case.figures.closure == pytest.approx(0.0101 / case.timed_step_time_s)


def test_without_limits_and_timed_trials_what_they_would_tell_is_unknown(read: Any):
    case, = read(records.layer_trial(TORCH, records.step_by_work(TORCH, 0.0101)))

    assert (case.timed_step_time_s, case.figures.closure, case.figures.mfu) == (None, None, None)
    assert {None} == {row.place.bound for row in case.rows}
    assert named_rows(case)["stage1.conv2", "forward"].place.flops_per_s > 0
    *_, said = words.advice(case)
    assert "neither its FLOP/s in fp32 nor its memory bandwidth are stored for 2 threads on cpu" in said


def test_the_step_time_of_another_session_is_not_that_of_this_one(read: Any):
    trial = records.layer_trial(TORCH, records.step_by_work(TORCH, 0.0101))
    timed = records.timing(TORCH, 0, 0.0101)
    other = dataclasses.replace(timed, identity=dataclasses.replace(timed.identity, session="2"))
    case, = read(trial, other)

    assert case.figures.closure is None


def test_of_a_case_the_latest_layer_trial_counts(read: Any):
    early = records.layer_trial(TORCH, records.step_by_work(TORCH, 0.01), recorded_at="2026-11-22T01:00:00+00:00")
    late = records.layer_trial(TORCH, records.step_by_work(TORCH, 0.02), recorded_at="2026-11-23T01:00:00+00:00")
    late = dataclasses.replace(late, identity=dataclasses.replace(late.identity, session="2"))
    case, = read(late, early)

    assert case.step_time_s == pytest.approx(0.0201)
    assert "2" == case.facts["session"]


def test_a_trial_that_failed_is_not_read(read: Any):
    failed = records.record(TrialKind.LAYERS, TORCH, outcome=Outcome.UNSUPPORTED, reason="torch cannot")

    assert [] == read(failed)


@pytest.mark.parametrize("changes", [
    {"rows": [{"layer": "conv1"}]}, {"plain_step_times_s": []}, {"step_times_s": [0.0]}, {"cover": None},
    {"overhead": -1}, {"variables": None},
])
def test_a_layer_trial_that_is_none_is_reported_where_it_is_read(tmp_path: Path, changes: dict[str, Any]):
    store = Store(tmp_path).create()
    store.put(with_layers(records.layer_trial(TORCH, records.step_by_work(TORCH, 0.0101)), **changes))

    assert store.trials().table.empty
    assert f"layers.{next(iter(changes))}" in store.trials().problems[0]


# Tables -------------------------------------------------------------------------------------------------------------


def test_shares_by_operation_add_up_with_the_residual_last(read: Any):
    case, = read(records.layer_trial(TORCH, records.step_by_work(TORCH, 0.0101)))
    parts = by_op(case.rows)

    assert ["conv2d", "(optimizer)"] == [part.name for part in parts][:2]
    assert layers.UNATTRIBUTED == parts[-1].name
    assert 1 == pytest.approx(sum(part.share for part in parts))


def test_the_longest_rows_never_hold_the_residual(read: Any):
    case, = read(records.layer_trial(TORCH, records.step_by_work(TORCH, 0.0101), rest_s=1.0))

    assert ["stage1.conv2", "stage2.conv2"] == [row.layer for row in longest(case.rows, 2)]
    assert len(case.rows) - 1 == len(longest(case.rows))


def test_a_fused_layer_stands_in_the_row_of_another_and_names_it(read: Any):
    *_, fused, _ = records.layer_profiles()
    both = read(records.layer_trial(TORCH, records.step_by_work(TORCH, 0.0101)), fused)
    jax, torch = sorted(both, key=lambda case: case.case["framework"])
    sides = side_by_side([torch, jax])

    assert ("stage1.conv1", "stage1.relu1") == named_rows(jax)["stage1.conv1", "forward"].members
    assert "stage1.conv1 + stage1.relu1" == named_rows(jax)["stage1.conv1", "forward"].name
    alone, within = sides["stage1.relu1"]
    assert (alone.within, within.time_s, within.within) == ((), None, ("stage1.conv1",))
    assert alone.time_s == pytest.approx(sum(r.time_s for r in torch.rows if r.layer == "stage1.relu1"))
    assert list(sides)[-1] == layers.UNATTRIBUTED
    assert {"stage1.conv1", "flatten", "(optimizer)"} <= set(sides)


def test_a_layer_for_which_nothing_ran_is_told_from_one_that_was_not_looked_for(read: Any):
    *_, cut = records.layer_profiles()
    case, = read(cut)
    (side,) = side_by_side([case])["stage3.conv1"]

    assert (side.time_s, side.is_idle) == (None, True)


# Words --------------------------------------------------------------------------------------------------------------


def test_the_words_say_what_takes_the_time_and_how_near_the_peak_it_is(read: Any):
    work = records.step_by_work(INFERENCE, 0.002)
    work["stage1.conv2", "forward"] *= 5
    case, = read(*records.limits(), records.layer_trial(INFERENCE, work))
    said = words.advice(case)
    row = named_rows(case)["stage1.conv2", "forward"]

    assert said[0].startswith("conv2d layers account for 9")
    assert f"stage1.conv2 runs at {100 / row.place.gap:.0f} % of this machine's peak" in said[1]
    saved = (row.time_s - row.place.limit_s) / case.step_time_s
    assert f"at that limit inference would take {100 * saved:.0f} % less time" in said[1]


def test_a_step_that_is_near_its_limits_is_told_that_only_another_machine_helps(read: Any):
    limit_s = {
        row: place.place.limit_s or 1e-4
        for row, place in named_rows(read(*records.limits(), records.layer_trial(
            TORCH, records.step_by_work(TORCH, 0.01)))[0]).items() if row[0] != layers.UNATTRIBUTED
    }
    near = records.layer_trial(TORCH, {row: 1.05 * time_s for row, time_s in limit_s.items()}, rest_s=1e-5)
    near = dataclasses.replace(near, identity=dataclasses.replace(near.identity, session="2"),
                               recorded_at="2026-12-01T00:00:00+00:00")
    case, = read(near)
    said = " ".join(words.advice(case))

    assert "the limit is compute, of which it reaches 95 %: only faster arithmetic" in said
    assert "less time" not in said


@pytest.mark.parametrize(("precision", "threads", "missing", "command"), [
    ("fp32", 1, "neither its FLOP/s in fp32 nor its memory bandwidth", "hardware --precision fp32 --threads 1'"),
    ("bf16_pure", 1, "neither its FLOP/s in bf16 nor its memory bandwidth", "hardware --precision bf16 --threads 1'"),
    ("fp16", 2, "since its FLOP/s in fp16 are not stored", "'rigmark run hardware --precision fp16 --threads 2'"),
    ("fp16_pure", 2, "since its FLOP/s in fp16 are not stored", "'rigmark run hardware --precision fp16 --threads 2'"),
    ("int8", 2, "since no limit is measured in int8.", "."),
    ("fp64", 3, "since its memory bandwidth is not stored", "'rigmark run hardware --threads 3'"),
])
def test_what_is_missing_of_the_limits_is_named_with_the_command_that_measures_it(
    read: Any, precision: str, threads: int, missing: str, command: str
):
    of = {**INFERENCE, "precision": precision, "threads": threads}
    products = records.limit("matmul_1024", "torch", 0.05, precision="fp64", threads=3, flops=2 * 1024**3)
    memory = records.limit("copy_256MiB", "torch", 0.0131, bytes=256 * 2**20)
    case, = read(*products, *memory, records.layer_trial(of, records.step_by_work(of, 0.01)))
    *_, said = words.advice(case)

    assert missing in said
    assert command in said


def test_arithmetic_above_the_peak_is_no_merit_of_a_cache(read: Any, tmp_path: Path):
    slow = records.limit("matmul_1024", "torch", 0.5, flops=2 * 1024**3)
    memory = records.limit("copy_256MiB", "torch", 0.0131, bytes=256 * 2**20)
    case, = read(*slow, *memory, records.layer_trial(INFERENCE, records.step_by_work(INFERENCE, 0.002)))
    said = " ".join(words.advice(case))

    assert "layer_above_peak" in {finding.id for finding in case.findings}
    assert "the limit is compute, yet it is faster than that limit allows: the peak was measured too low" in said
    assert "cache" not in said
    table = shown(case, tmp_path).sections[0].blocks[3]
    assert any("Compute, the peak was measured too low" in note for note in table.notes)


def test_a_large_residual_is_the_hosts(read: Any):
    case, = read(records.layer_trial(INFERENCE, records.step_by_work(INFERENCE, 0.001), rest_s=0.001))

    assert any(text.startswith("50 % of inference belongs to no layer: the host's work") for text in words.advice(case))


# Bad cases ----------------------------------------------------------------------------------------------------------


def test_a_network_of_one_layer(read: Any, tmp_path: Path):
    case, = read(of_many(1))
    document = shown(case, tmp_path)

    assert "conv2d layers account for 100 % of inference." == words.advice(case)[0]
    assert 1 == len(document.sections)


def test_of_a_thousand_layers_the_shortest_are_one_part_of_the_bar_and_that_is_stated(read: Any, tmp_path: Path):
    case, = read(of_many(1000))
    (member,) = together([case], Store(tmp_path).trials().table)[0].members
    (bar,) = stacked_bars([member], "id", "table", "about").bars

    assert MOST_LAYERS + 2 == len(bar.segments)         # with the shortest together, and the residual
    assert "conv0" == bar.segments[0].label
    assert "the 800 shortest layers together" == bar.segments[-2].label
    assert 1.0 == pytest.approx(sum(segment.value for segment in bar.segments))
    table = shown(case, tmp_path, top=20).sections[0].blocks[-1]
    assert ["(980 other rows)", "(unattributed)"] == [row.cells[0].text for row in table.rows][-2:]


def test_layers_below_the_clocks_resolution_are_one_row_without_rates_and_a_finding(read: Any, tmp_path: Path):
    work = records.step_by_work(INFERENCE, 0.002)
    case, = read(*records.limits(), records.layer_trial(INFERENCE, work, resolution_s=5e-6))
    row = named_rows(case)[layers.TOO_SHORT, "forward"]

    assert {"flatten", "relu"} <= set(row.members)
    assert (row.place, row.is_told) == (NOWHERE, False)
    assert "layers (too short to time)" in row.name
    finding, = [finding for finding in case.findings if finding.id == "layers_too_short"]
    assert f"{len(row.members)} of its layers" in finding.text
    (bars,) = [b for b in shown(case, tmp_path).sections[0].blocks if isinstance(b, StackedBars)]
    assert Family.OTHER in bars.families


def test_one_layer_alone_below_the_resolution_has_no_rate_either(read: Any):
    work = records.step_by_work(INFERENCE, 0.002)
    work["dropout", "forward"] = 1e-8
    case, = read(records.layer_trial(INFERENCE, work, resolution_s=2e-8))

    assert ("dropout",) == case.figures.too_short
    assert NOWHERE == named_rows(case)["dropout", "forward"].place


def test_an_empty_trace_is_a_finding_and_no_crash(read: Any, tmp_path: Path):
    case, = read(records.layer_trial(INFERENCE, {}, rest_s=0.002, problem="the trace holds no kernel"))
    text = words.advice(case)

    assert {"layer_cover", "layer_trace"} == {finding.id for finding in case.findings}
    assert "the trace holds no kernel" in text[0]
    assert "No layer was seen running" in text[1]
    assert shown(case, tmp_path).sections


def test_a_truncated_trace_is_never_explained_by_the_host(read: Any):
    *_, cut = records.layer_profiles()
    case, = read(cut)

    assert "layer_trace" in {finding.id for finding in case.findings}
    assert "The trace is incomplete" in words.advice(case)[0]
    assert "host's work" not in " ".join(words.advice(case))


def test_another_program_is_named_by_its_variables(read: Any):
    *_, fused, _ = records.layer_profiles()
    case, = read(fused)
    finding, = case.findings

    assert ("layer_program", True) == (finding.id, "XLA_FLAGS=--xla_apart" in finding.text)


def test_rows_that_overlap_leave_a_negative_residual_that_is_shown(read: Any, tmp_path: Path):
    case, = read(records.layer_trial(INFERENCE, records.step_by_work(INFERENCE, 0.002), rest_s=-0.0005))
    table = shown(case, tmp_path).sections[0].blocks[3]

    assert "-33 %" == table.rows[-1].cells[4].text
    assert "layer_cover" in {finding.id for finding in case.findings}
