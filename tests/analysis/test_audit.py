"""Tables with one slip each: the audit names the slip and its lines, and leaves a sound table alone."""

from __future__ import annotations

from typing import Any

import pytest

from rigmark.bench.analysis.audit import Audit, Peaks, audit, measured, measured_peaks
from rigmark.bench.analysis.results.findings import FindingKind
from rigmark.bench.analysis.results.quoted import rows
from rigmark.bench.analysis.results.summary import results
from tests.records import quoted_table, timing_records, trials_of


def audited(*lines: dict[str, Any], peaks: Peaks | None = None) -> Audit:
    return audit(rows([quoted_table(*lines)]), peaks)


def slips(of: Audit) -> list[tuple[str, list[str]]]:
    """(id, lines) of each finding."""
    return [(finding.id, [line.split(", ")[1].split(" (")[0] for line in finding.lines]) for finding in of.findings]


def looked(of: Audit, rule: str) -> int:
    return next(each.lines for each in of.checks if each.rule == rule)


SCALING = [
    {"model": model, "device_name": "P100", "mode": "training", "local_batch": 64, "world_size": size,
     "throughput_samples_per_s": size * rate}
    for model, rate in (("vgg16", 154.3), ("resnet50", 219.7), ("inception3", 142.9)) for size in (1, 2, 4, 8)
]
PASSES = {
    "mode": "training", "local_batch": 16, "timings_s": [0.30, 0.31, 0.32], "forward_timings_s": [0.10, 0.11, 0.11],
    "backward_timings_s": [0.20, 0.20, 0.21],
}


def test_a_sound_table_is_left_alone_and_what_was_looked_at_is_counted():
    of = audited(*SCALING, {**PASSES, "model": "alexnet"})

    assert [] == slips(of)
    assert (13, 12, 1, 0) == (of.lines, looked(of, "scaling_above_ideal"), looked(of, "parts_do_not_add_up"),
                              looked(of, "above_roofline"))


def test_a_zero_is_read_as_missing_and_not_as_a_speed():
    assert [("zero_for_missing", ["line 3", "line 4"])] == slips(audited(
        {"throughput_samples_per_s": 90.0}, {"model": "b", "throughput_samples_per_s": 0.0},
        {"model": "c", "timings_s": [0.1, 0.0, 0.1]},
    ))


def test_a_batch_or_a_number_of_devices_of_0_is_no_batch_and_no_number():
    assert [("zero_for_missing", ["line 2", "line 3"])] == slips(audited(
        {"local_batch": 0, "throughput_samples_per_s": 90.0},
        {"model": "b", "world_size": 0, "throughput_samples_per_s": 90.0},
    ))


def test_a_figure_that_nobody_states_is_equal_to_no_other():
    of = audited({"outcome": "crashed"}, {"outcome": "crashed"}, {"latency_p99_s": 0.5})

    assert [("duplicate_keys", ["line 2", "line 3", "line 4"])] == slips(of)
    assert "3 lines are about the same thing, of which 2 state no figure" in of.findings[0].text
    assert FindingKind.WARNING is of.findings[0].kind


def test_latencies_alone_are_held_together_too():
    of = audited({"latency_p90_s": 0.5}, {"latency_p90_s": 5.0})

    assert "whose figures differ by 10.0x" in of.findings[0].text


def test_what_was_measured_at_two_times_is_no_duplicate():
    measured = {"step_time_s": 0.1}

    assert [] == slips(audited({**measured, "measured_at": "2026-01-01"}, {**measured, "measured_at": "2026-02-01"}))
    assert [("duplicate_keys", ["line 2", "line 3"])] == slips(audited(measured, measured))


@pytest.mark.parametrize(("row", "half_units"), [
    ({"local_batch": 1, "throughput_samples_per_s": 0.05, "step_time_s": 21.27}, {"throughput_samples_per_s": 0.005}),
    ({"mode": "training", "forward_time_s": 0.01, "backward_time_s": 0.02, "step_time_s": 0.04},
     {"forward_time_s": 0.005, "backward_time_s": 0.005, "step_time_s": 0.005}),
    ({"step_time_s": 0.02, "statistic": "mean", "median_time_s": 0.01}, {"step_time_s": 0.005, "median_time_s": 0.005}),
    ({"forward_time_s": 0.01, "layers": [{"layer": "a", "op": "relu", "direction": "forward", "time_s": 0.014}]},
     {"forward_time_s": 0.005}),
])
def test_what_rounding_may_have_done_is_no_contradiction(row: dict[str, Any], half_units: dict[str, float]):
    assert [] == slips(audited({**row, "rounding": half_units}))
    assert 1 == len(slips(audited(row)))


def test_rounding_alone_makes_no_scaling_above_ideal_and_no_batch_shorter_than_a_smaller_one():
    def lines(name: str, rows: list[dict[str, Any]], half_unit: float) -> list[dict[str, Any]]:
        return [{**row, "rounding": {name: half_unit}} for row in rows]

    rates = [{"local_batch": 8, "world_size": n, "throughput_samples_per_s": rate} for n, rate in ((1, 1), (2, 3))]
    times = [{"local_batch": batch, "step_time_s": time_s} for batch, time_s in ((8, 0.02), (16, 0.01))]

    assert [] == slips(audited(*lines("throughput_samples_per_s", rates, 0.5)))
    assert ["scaling_above_ideal"] == [id for id, _ in slips(audited(*lines("throughput_samples_per_s", rates, 0.01)))]
    assert [] == slips(audited(*lines("step_time_s", times, 0.005)))
    assert ["per_sample_not_per_batch"] == [id for id, _ in slips(audited(*lines("step_time_s", times, 0.0005)))]


def test_forward_and_backward_that_do_not_make_the_whole_are_reported():
    parts = {"mode": "training", "forward_time_s": 0.0431, "backward_time_s": 0.0958}
    of = audited({**parts, "step_time_s": 0.1389}, {**parts, "model": "b", "step_time_s": 0.0958})

    assert [("parts_do_not_add_up", ["line 3"])] == slips(of)
    assert "forward and backward 139 ms, stated 95.8 ms" in of.findings[0].text


def test_layers_longer_than_their_pass_are_reported_and_shorter_ones_are_not():
    def layers(time_s: float) -> list[dict[str, Any]]:
        return [{"layer": "conv1", "op": "conv2d", "direction": "forward", "time_s": time_s}]

    assert [("parts_do_not_add_up", ["line 2"])] == slips(audited(
        {"forward_time_s": 0.10, "layers": layers(0.12)}, {"model": "b", "forward_time_s": 0.10, "layers": layers(0.05)}
    ))


def test_one_wild_pass_that_makes_the_mean_is_named():
    of = audited({"timings_s": [0.1] * 9 + [1.0]}, {"model": "b", "timings_s": [0.1] * 10})

    assert [("wild_pass", ["line 2"])] == slips(of)
    assert "mean 190 ms, median 100 ms, pass 10 of 10 took 10.0x the median" in of.findings[0].text
    mean_and_median = {"step_time_s": 0.2, "statistic": "mean", "median_time_s": 0.1}
    assert [("wild_pass", ["line 2"])] == slips(audited(mean_and_median))


def test_two_networks_do_not_take_the_same_time_to_the_last_digit_forward_and_backward():
    first = {"model": "a", "forward_time_s": 0.0101234, "backward_time_s": 0.0211111, "step_time_s": 0.0312345}

    assert [("copied_lines", ["line 2", "line 3"])] == slips(audited(first, {**first, "model": "b"}))
    assert [] == slips(audited(first, {**first, "model": "b", "forward_time_s": 0.0101235, "backward_time_s": 0.0211112,
                                       "step_time_s": 0.0312347}))


def test_rows_that_are_copied_from_another_device_are_reported():
    copied = [{**line, "device_name": "K80"} for line in SCALING[:8]]
    of = audited(*SCALING, *copied)

    assert ["copied_lines"] == [finding.id for finding in of.findings]
    assert "8 of 8 figures of device_name K80 are those of P100" in of.findings[0].text


def test_some_equal_figures_are_chance():
    others = [{**line, "device_name": "K80", "throughput_samples_per_s": line["throughput_samples_per_s"] * 0.7}
              for line in SCALING]
    others[0]["throughput_samples_per_s"] = SCALING[0]["throughput_samples_per_s"]

    assert [] == slips(audited(*SCALING, *others))


def test_equal_raw_timings_of_two_networks_are_a_copy():
    assert [("copied_lines", ["line 2", "line 3"])] == slips(audited(PASSES, {**PASSES, "model": "b"}))


def test_two_lines_about_the_same_thing_are_a_note_and_a_warning_where_they_differ():
    once = {"local_batch": 16, "throughput_samples_per_s": 100.0}
    close = audited(once, {**once, "throughput_samples_per_s": 101.0})
    far = audited(once, {**once, "throughput_samples_per_s": 340.0})

    assert [("duplicate_keys", ["line 2", "line 3"])] == slips(close) == slips(far)
    assert (FindingKind.NOTE, FindingKind.WARNING) == (close.findings[0].kind, far.findings[0].kind)
    assert "differ by 3.40x" in far.findings[0].text
    assert [] == slips(audited(once, {**once, "conditions": {"cudnn": "5110"}}))


def test_a_time_per_image_in_the_place_of_one_per_batch_is_reported():
    right = {"local_batch": 16, "throughput_samples_per_s": 100.0, "step_time_s": 0.16}
    of = audited(right, {**right, "model": "b", "step_time_s": 0.01}, {**right, "model": "c", "step_time_s": 0.05})

    assert [("per_sample_not_per_batch", ["line 3"]), ("throughput_and_time_disagree", ["line 4"])] == slips(of)


def test_a_larger_batch_that_takes_less_time_is_a_time_per_image():
    steps = [{"local_batch": batch, "step_time_s": time_s} for batch, time_s in ((1, 0.010), (8, 0.004), (64, 0.002))]

    assert [("per_sample_not_per_batch", ["line 2", "line 4"])] == slips(audited(*steps))


def test_devices_that_do_more_than_their_number_are_reported():
    wrong = [dict(line) for line in SCALING]
    wrong[3]["throughput_samples_per_s"] = 300 * 154.3

    assert [("scaling_above_ideal", ["line 5"])] == slips(audited(*wrong))


def test_other_batches_are_no_scaling():
    alone = {**SCALING[0], "local_batch": 32}

    assert [] == slips(audited(alone, {**SCALING[3], "throughput_samples_per_s": 3000.0}))


@pytest.mark.parametrize(("mode", "is_above"), [("inference", False), ("training", True)])
def test_more_flops_than_the_device_can_do_are_reported_and_training_needs_three_times_them(mode: str, is_above: bool):
    line = {"mode": mode, "device_name": "K80", "precision": "fp32", "throughput_samples_per_s": 100.0,
            "flops_per_sample": 31e9}

    of = audited(line, peaks={("K80", "fp32"): 4.1e12})

    assert (is_above, 1) == (bool(of.findings), looked(of, "above_roofline"))
    assert [] == slips(audited(line, peaks={("K80", "fp16"): 1.0}))


def test_tables_of_unlike_formats_are_not_held_together():
    line = {"local_batch": 16, "throughput_samples_per_s": 100.0}

    assert 0 == len(audit(rows([quoted_table(line), quoted_table(line, format="timm")])).findings)


def test_our_own_results_are_audited_too(tmp_path: Any):
    trials = trials_of(tmp_path, timing_records([0.01, 0.01, 0.01, 0.01, 0.01, 0.1]))
    found_here = results(trials)

    of = audit(measured(found_here), measured_peaks(found_here))

    assert ["wild_pass"] == [finding.id for finding in of.findings]
    assert 1 == looked(of, "per_sample_not_per_batch")
