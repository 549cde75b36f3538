"""Each kind of quantity on results made for it: the figure by hand, and what it says of a claim."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from rigmark.bench import devices
from rigmark.bench.analysis.results.summary import results
from rigmark.bench.claims import ClaimResult, judge
from rigmark.bench.claims import load as loader
from rigmark.bench.claims.claim import NO_INTERVAL, Answer, Claim, Standing, judged, overall
from rigmark.bench.document.document import Origin
from rigmark.bench.enums import Isa, Precision, TrialKind
from rigmark.bench.sections.claims import document, figure
from rigmark.bench.sections.claims import section as section_of
from rigmark.bench.sections.inputs import ReportInputs
from rigmark.bench.store.quoted import QuotedTable
from rigmark.bench.store.record import Record
from tests.analysis.results.test_telemetry_findings import block
from tests.records import (
    CASE,
    MACHINE,
    PARITY,
    as_stored,
    make_record,
    quoted_table,
    timing_records,
    trials_of,
    watched,
    with_measurement,
)

ALEXNET = dataclasses.replace(CASE, model="alexnet")
GPU = dataclasses.replace(CASE, device=devices.parsed("cuda:0"))


def claim(quantity: str, low: float | None = None, high: float | None = None, **where: Any) -> Claim:
    return Claim(
        id="c", says="It is so.", quantity=quantity, value=None, low=low, high=high, how="by looking", where=where,
        source="me",
    )


def against(of: Claim, folder: Path, *records: Record, tables: tuple[QuotedTable, ...] = ()) -> ClaimResult:
    trials = trials_of(folder / "store", records)
    return judge([of], inputs_of(trials, records, tables).evidence)[0]


def inputs_of(
    trials: pd.DataFrame, records: Sequence[Record], tables: Sequence[QuotedTable] = ()
) -> ReportInputs:
    by_key = {record.key: record for record in records}
    return ReportInputs(
        trials=trials, results=results(trials), tables=tables,
        record_of=lambda key: as_stored(by_key[key]),
    )


# What figures say -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("low", "high", "standing"), [
    (1.2, 1.4, Standing.CONFIRMED), (1.6, 1.9, Standing.REFUTED), (1.4, 1.6, Standing.OPEN),
    (0.9, 1.0, Standing.REFUTED),
])
def test_the_whole_interval_decides(low: float, high: float, standing: Standing):
    answer = Answer(about="", value=(low + high) / 2, low=1.3, high=1.31, certain=(low, high))

    assert standing is judged(answer, claim("speed_up", low=1.15, high=1.5)).standing


def test_an_outcome_needs_what_a_verdict_needs(tmp_path: Path):
    """However far off: two disturbed trials said that native code is 9 thousandths as fast."""
    of = claim("speed_up", axis="isa", of="native", over="sse41", low=1.15, high=1.5)
    held = dataclasses.replace(CASE, isa=Isa.SSE41)
    for pairs, standing in ((2, Standing.OPEN), (7, Standing.OPEN), (8, Standing.REFUTED)):
        records = [
            *timing_records([0.009 + 1e-5 * n for n in range(pairs)], case=held, isa=watched("sse41")),
            *timing_records([1.0] * pairs, isa=watched("native")),
        ]
        verdicts = against(of, tmp_path / str(pairs), *records)

        assert standing is verdicts.standing
        if standing is Standing.OPEN:
            assert f"{pairs} trials, but a verdict needs 8 or more" in verdicts.why


def test_an_outcome_of_suspect_trials_says_so(tmp_path: Path):
    busy = timing_records([0.01] * 8)
    busy = [with_measurement(record, other_cpu_time_s=10.0) for record in busy]

    verdicts = against(claim("throughput", low=1, model="mlp"), tmp_path, *busy)

    assert (Standing.CONFIRMED, "the one figure that there is, suspect") == (verdicts.standing, verdicts.why)
    assert "suspect" in str(document([verdicts]))


def test_without_an_interval_only_what_is_far_off_decides():
    of = claim("speed_up", high=1.0)

    def says(value: float, origin: Origin) -> Standing:
        return judged(Answer(about="", value=value, origin=origin), of).standing

    assert Standing.OPEN is says(100.0, Origin.MEASURED)         # which needs what a verdict needs
    assert Standing.REFUTED is says(NO_INTERVAL * 1.01, Origin.QUOTED)
    assert Standing.OPEN is says(NO_INTERVAL * 0.99, Origin.QUOTED)


def test_what_is_doubted_decides_nothing_nor_what_cannot_refute():
    of = claim("accuracy", low=0.99)
    low = Answer(about="", value=0.9, certain=(0.88, 0.92))

    assert Standing.REFUTED is judged(low, of).standing
    assert Standing.OPEN is judged(dataclasses.replace(low, doubt="not proven"), of).standing
    assert Standing.OPEN is judged(low, dataclasses.replace(of, can_refute=False)).standing


def test_figures_that_disagree_leave_a_claim_open():
    yes, no = (Answer(about="", value=1.0, standing=s) for s in (Standing.CONFIRMED, Standing.REFUTED))
    of = claim("speed_up", high=1.0)

    assert (Standing.CONFIRMED, "all 2 figures") == overall([yes, yes], of)
    assert (Standing.OPEN, "3 figures: 1 says yes and 2 say no") == overall([yes, no, no], of)


def test_measured_figures_go_before_published_ones(tmp_path: Path):
    of = claim("throughput", low=3000, model="mlp")
    published = quoted_table({"model": "mlp", "throughput_samples_per_s": 1.0})

    assert Standing.CONFIRMED is against(of, tmp_path, *timing_records([0.01] * 8), tables=(published,)).standing
    alone = against(of, tmp_path / "alone", tables=(published,))
    assert (Standing.REFUTED, "only published results, the one figure that there is") == (alone.standing, alone.why)


# Quantities -------------------------------------------------------------------------------------------------------


def test_the_share_of_an_operation_reaches_up_to_the_time_of_no_layer(tmp_path: Path):
    verdicts = against(claim("op_share", op="dense", low=0.8, model="mlp"), tmp_path, make_record(TrialKind.LAYERS))

    assert pytest.approx((0.90, 0.90 / NO_INTERVAL, 1.0)) == (
        verdicts.answers[0].value, verdicts.answers[0].low, verdicts.answers[0].high)
    assert Standing.CONFIRMED is verdicts.standing


def test_the_share_of_an_operation_in_a_published_log(tmp_path: Path):
    times = [("conv2d", "forward", 0.06), ("conv2d", "backward", 0.13), ("dense", "forward", 0.01)]
    log = quoted_table({"device": "gpu", "layers": [
        {"layer": op, "op": op, "direction": direction, "time_s": time_s} for op, direction, time_s in times
    ]})

    verdicts = against(claim("op_share", op="conv2d", low=0.8, device="gpu"), tmp_path, tables=(log,))

    assert (pytest.approx(0.95), Standing.CONFIRMED) == (verdicts.answers[0].value, verdicts.standing)


@pytest.mark.parametrize(("ran", "standing"), [("sse41", Standing.CONFIRMED), ("avx2", Standing.OPEN)])
def test_what_a_build_gains_counts_only_where_the_other_kept_to_its_instructions(
    ran: str, standing: Standing, tmp_path: Path
):
    held = dataclasses.replace(CASE, isa=Isa.SSE41)
    records = [
        *timing_records([0.02] * 8, case=held, isa={**watched("sse41"), "summary": ran}),
        *timing_records([0.01] * 8, isa=watched("native")),
    ]

    verdicts = against(claim("speed_up", axis="isa", of="native", over="sse41", low=1.9, high=2.1), tmp_path, *records)

    assert (pytest.approx(2.0), standing) == (verdicts.answers[0].value, verdicts.standing)


def test_two_devices_over_one_measured_and_published(tmp_path: Path):
    of = claim("world_speed_up", world_size=2, low=1.35, high=1.65)
    two = dataclasses.replace(CASE, world_size=2, strategy="ddp")
    rates = {1: 150.0, 2: 225.0, 8: 1200.0}
    published = quoted_table(*(
        {"mode": "training", "device": "gpu", "local_batch": 64, "world_size": size, "throughput_samples_per_s": rate}
        for size, rate in rates.items()
    ))

    here = against(of, tmp_path, *timing_records([0.01] * 8), *timing_records([0.01] * 8, case=two))
    there = against(of, tmp_path / "there", tables=(published,))

    assert (pytest.approx(2.0), Standing.REFUTED) == (here.answers[0].value, here.standing)
    assert [pytest.approx(1.5)] == [answer.value for answer in there.answers]


def test_what_was_measured_at_two_times_leaves_a_claim_open(tmp_path: Path):
    of = claim("world_speed_up", world_size=2, low=1.35, high=1.65)
    two = dataclasses.replace(CASE, world_size=2, strategy="ddp")
    later = timing_records([0.01] * 8, case=two, run_id="another")

    verdicts = against(of, tmp_path, *timing_records([0.01] * 8), *later)

    assert (pytest.approx(2.0), Standing.OPEN) == (verdicts.answers[0].value, verdicts.standing)
    assert "not measured in the same run" in verdicts.answers[0].doubt


def test_whether_efficiency_falls(tmp_path: Path):
    published = quoted_table(*(
        {"mode": "training", "device": "gpu", "local_batch": 64, "world_size": size, "throughput_samples_per_s": rate}
        for size, rate in ((1, 100.0), (2, 190.0), (8, 608.0))
    ))

    verdicts = against(claim("efficiency_falls", high=1.0, device="gpu"), tmp_path, tables=(published,))

    assert (pytest.approx(0.8), Standing.CONFIRMED) == (verdicts.answers[0].value, verdicts.standing)


def test_one_device_over_another_by_the_same_hand_alone(tmp_path: Path):
    line = {"mode": "training", "local_batch": 16, "framework": "torch7"}
    published = quoted_table(
        {**line, "device_name": "GeForce GTX 1080 Ti", "throughput_samples_per_s": 132.0},
        {**line, "device_name": "GeForce GTX 1080", "throughput_samples_per_s": 100.0},
        {**line, "device_name": "GeForce GTX 1080", "throughput_samples_per_s": 1.0, "local_batch": 64},
    )
    of = claim("throughput_ratio", mode="training", of_device="gtx 1080ti", over_device="GTX 1080", low=1.15, high=1.5)

    tested = against(of, tmp_path, tables=(published,))

    assert ([pytest.approx(1.32)], Standing.CONFIRMED) == ([answer.value for answer in tested.answers], tested.standing)


def of_gpu(name: str, step_time_s: float) -> list[Record]:
    return timing_records([step_time_s] * 8, case=GPU, machine=dataclasses.replace(MACHINE, gpus=(name,)))


def test_a_claim_about_a_gpu_is_held_against_what_was_measured_on_it(tmp_path: Path):
    of = claim("throughput", model="mlp", device="GTX 1080 Ti", low=1000, high=5000)
    here = of_gpu("NVIDIA GeForce GTX 1080 Ti", 0.01)        # 3,200 samples/s

    verdicts = against(of, tmp_path, *here, *of_gpu("NVIDIA GeForce GTX 1080", 0.02), *timing_records([0.1] * 8))

    assert ([pytest.approx(3200.0)], Standing.CONFIRMED) == ([a.value for a in verdicts.answers], verdicts.standing)


def test_gpus_behind_one_kind_of_processor_are_two_devices(tmp_path: Path):
    of = claim("throughput_ratio", mode="training", of_device="gtx 1080ti", over_device="GTX 1080", low=1.15, high=2.5)

    verdicts = against(
        of, tmp_path, *of_gpu("NVIDIA GeForce GTX 1080 Ti", 0.01), *of_gpu("NVIDIA GeForce GTX 1080", 0.02))

    answer, = verdicts.answers
    assert pytest.approx(2.0) == answer.value
    assert "NVIDIA GeForce GTX 1080 Ti over NVIDIA GeForce GTX 1080" in answer.about


def test_a_forward_pass_of_training_counts_as_inference(tmp_path: Path):
    line = {"mode": "training", "local_batch": 16, "framework": "torch7", "step_time_s": 9.0}
    published = quoted_table(
        {**line, "device": "gpu", "forward_time_s": 0.1},
        {**line, "device": "cpu", "forward_timings_s": [4.0, 5.0, 9.0]},
    )
    of = claim("throughput_ratio", mode="inference", of_device="gpu", over_device="cpu", low=10, high=20)

    verdicts = against(of, tmp_path, tables=(published,))

    assert (pytest.approx(50.0), Standing.REFUTED) == (verdicts.answers[0].value, verdicts.standing)


def test_minutes_of_training(tmp_path: Path):
    of = claim("pass_time", samples=60000, passes=5, model="mlp", device="cpu", high=10)

    verdicts = against(of, tmp_path, *timing_records([0.032] * 8))      # 1,000 samples/s

    assert (pytest.approx(5.0), Standing.CONFIRMED) == (verdicts.answers[0].value, verdicts.standing)


def test_the_oracle_and_what_is_held_back_are_no_measure_of_a_machine(tmp_path: Path):
    of = claim("throughput", low=1)
    odd = [dataclasses.replace(CASE, framework="numpy"), dataclasses.replace(CASE, isa=Isa.AVX2)]

    assert () == against(of, tmp_path, *(r for case in odd for r in timing_records([0.01] * 8, case=case))).answers


def proof(accuracy: float, **case: Any) -> Record:
    learnt = dataclasses.replace(
        PARITY, learning_losses=[2.3, 0.3], oracle_learning_losses=[2.3, 0.3], learning_accuracy=accuracy,
        oracle_learning_accuracy=accuracy,
    )
    parity = {**learnt.plain(), "facts": {}, "prepare_time_s": 0.1}
    return make_record(TrialKind.PROOF, case=dataclasses.replace(CASE, data="digits", **case), parity=parity)


@pytest.mark.parametrize(("accuracy", "standing"), [
    (0.953, Standing.CONFIRMED), (0.90, Standing.REFUTED), (0.93, Standing.OPEN),
])
def test_what_sixteen_bits_cost_has_the_interval_of_two_shares(accuracy: float, standing: Standing, tmp_path: Path):
    of = claim("precision_accuracy", precision=["bf16"], held_out=1000, low=-0.02)

    verdicts = against(of, tmp_path, proof(0.95), proof(accuracy, precision=Precision.BF16))

    assert (pytest.approx(accuracy - 0.95), standing) == (verdicts.answers[0].value, verdicts.standing)


def test_a_deeper_network_against_a_shallower_one(tmp_path: Path):
    of = claim("deeper_accuracy", deeper="mnist_cnn", shallower="mlp", held_out=1000, low=0.0)

    assert Standing.CONFIRMED is against(of, tmp_path, proof(0.90), proof(0.95, model="mnist_cnn")).standing


def test_accuracy_has_the_score_interval(tmp_path: Path):
    verdicts = against(claim("accuracy", held_out=1000, low=0.99), tmp_path, proof(0.95))

    # By hand: (0.95 + 1.9207 / 1000) / 1.0038415 = 0.948278, give or take 0.013592.
    assert pytest.approx((0.934686, 0.961870), abs=1e-5) == (verdicts.answers[0].low, verdicts.answers[0].high)


def test_how_busy_a_gpu_was(tmp_path: Path):
    of = claim("gpu_busy", high=0.5, device="gpu")
    idle = block(gpu={"busy_ratio": {"mean": 0.2, "max": 0.3}})

    seen = against(of, tmp_path, *timing_records([0.01] * 8, case=GPU, telemetry=idle))
    once = against(of, tmp_path / "once", *timing_records([0.01], case=GPU, telemetry=idle))
    blind = against(of, tmp_path / "blind", *timing_records([0.01], case=GPU))

    assert ([0.2], Standing.CONFIRMED) == ([answer.value for answer in seen.answers], seen.standing)
    assert ([0.2], Standing.OPEN) == ([answer.value for answer in once.answers], once.standing)
    assert () == blind.answers


@pytest.mark.parametrize(("quantity", "where", "value"), [
    ("pcie_bandwidth", {"generation": 3, "lanes": 8}, 7.8769),
    ("pcie_bandwidth", {"generation": 2, "lanes": 16}, 8.0),
    ("rent_hours", {"price": 16904, "price_per_hour": 7.2, "exchange_rate": 6.7}, 350.415),
    ("supply_w", {"processor_w": 140, "gpus_w": 150, "board_w": 75}, 456.25),
    ("supply_w", {"processor_w": 40, "gpus_w": 700, "board_w": 10}, 1100.0),
    ("product", {"count": 16, "each": 2496}, 39936.0),
    ("filter_weights", {"kernel": 3, "layers": 2, "over_kernel": 5}, 0.72),
])
def test_figures_by_hand(quantity: str, where: dict[str, Any], value: float, tmp_path: Path):
    verdicts = against(claim(quantity, low=value - 1e-3, high=value + 1e-3, **where), tmp_path)

    assert (Standing.CONFIRMED, Origin.ENTERED) == (verdicts.standing, verdicts.answers[0].origin)


def test_filters_that_do_not_see_as_much_are_not_compared(tmp_path: Path):
    verdicts = against(claim("filter_weights", kernel=3, layers=2, over_kernel=7, low=0.0), tmp_path)

    assert (Standing.UNTESTABLE, "they are not comparable: the stack sees 5 positions, the single one 7") == (
        verdicts.standing, verdicts.why)


# Why not ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("of", "why"), [
    (claim("throughput", low=1, model="cifar10"), "the model is missing: there is no network cifar10 here"),
    (claim("throughput", low=1, model="mlp", device="gpu"), "no result of a GPU is stored"),
    (claim("throughput", low=1, model="mlp", device="GTX 1080"), "no result of GTX 1080 is stored"),
    (claim("throughput", low=1, model="vgg16"), "not measured yet: by looking"),
    (claim("none", why="nobody can"), "nobody can"),
])
def test_what_is_not_testable_says_why(of: Claim, why: str, tmp_path: Path):
    verdicts = against(of, tmp_path, *timing_records([0.01] * 8))

    assert (Standing.UNTESTABLE, True) == (verdicts.standing, why in verdicts.why)


def test_a_page_of_all_shipped_claims_and_a_report_only_of_those_with_results(tmp_path: Path):
    timed = timing_records([0.01] * 8)
    tested = judge(loader.shipped(), inputs_of(trials_of(tmp_path / "store", timed), timed).evidence)

    assert ["Tested against results", "Computed", "Not testable here", "How each is tested"] == [
        section.title for section in document(tested).sections]
    section = section_of(tested)
    assert section is not None
    assert ["Tested against results", "How each is tested"] == [each.title for each in section.sections]
    assert section_of([each for each in tested if each.standing is Standing.UNTESTABLE]) is None


def test_a_figure_in_words():
    assert "1.31x (1.27x to 1.35x)" == figure(Answer(about="", value=1.31, low=1.27, high=1.35), "x")
    assert "89.0 %" == figure(Answer(about="", value=0.89), "share")
