"""Speed-up and efficiency against one device; laws that are found again; what cannot be is said to be suspect."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rigmark.bench.analysis import scaling
from rigmark.bench.analysis.results.summary import results
from rigmark.bench.analysis.scaling import Series, series
from rigmark.bench.document.document import SpeedUps, Table
from rigmark.bench.enums import Mode, Scaling
from rigmark.bench.sections.scaling import section
from rigmark.bench.store.record import Record
from tests.records import CASE, WORLD, build_facts, make_record, measurement, overheated, trials_of

SINGLE = replace(CASE, local_batch=4)

SHOWN = {
    "model": "resnet50", "mode": "training", "framework": "tensorflow", "compile_mode": "compiled", "precision": "fp32",
    "device": "cuda:0", "threads": 1,
}


def case_of(world_size: int, local_batch: int = 4, **changes: Any) -> Any:
    more = {} if world_size == 1 else {"world_size": world_size, "strategy": "ddp"}
    return replace(SINGLE, local_batch=local_batch, **more, **changes)


def timed(case: Any, step_times_s: Sequence[float], **world: Any) -> list[Record]:
    return [
        make_record(
            case=case, repetition=repetition, measurement=measurement(time_s),
            world=None if case.world_size == 1 else {**WORLD, **world},
        )
        for repetition, time_s in enumerate(step_times_s)
    ]


def read(folder: Path, *records: Record) -> list[Series]:
    trials = trials_of(folder, records)
    return scaling.read(results(trials), trials)


def published(throughputs: Mapping[int, float], batch: int = 64, data: str = "synthetic", **facts: Any) -> Series:
    """A weak series of figures without repetitions."""
    rows = [
        {
            **dict.fromkeys(scaling.SAME_COLUMNS), "origin": "quoted", "data": data, "world_size": size,
            "local_batch": batch, "throughput_samples_per_s": throughput, **facts,
        }
        for size, throughput in throughputs.items()
    ]
    return series(Scaling.WEAK, "parameter server", rows, [{}] * len(rows))


# From records to series ----------------------------------------------------------------------------------------------


def test_strong_and_weak_scaling_are_two_series_and_never_mixed(tmp_path: Path):
    result = read(
        tmp_path, *timed(case_of(1), [0.1]), *timed(case_of(2), [0.125]), *timed(case_of(2, local_batch=2), [0.08]),
    )

    strong, weak = sorted(result, key=lambda each: each.scaling)
    assert (Scaling.STRONG, [4, 4]) == (strong.scaling, [point.global_batch for point in strong.points])
    assert (Scaling.WEAK, [4, 4]) == (weak.scaling, [point.local_batch for point in weak.points])
    assert 0.1 / 0.08 == pytest.approx(strong.points[1].speed_up.value)
    assert 2 * 0.1 / 0.125 == pytest.approx(weak.points[1].speed_up.value)
    assert 0.8 == pytest.approx(weak.points[1].efficiency.value)


def test_the_interval_is_over_pairs_of_repetitions(tmp_path: Path):
    drifting = [0.1, 0.11, 0.12, 0.13, 0.14, 0.15]       # the machine, not the case: pairs see the same of it

    (result,) = read(tmp_path, *timed(case_of(1), drifting), *timed(case_of(2), [1.25 * t for t in drifting]))

    efficiency = result.points[1].efficiency
    assert efficiency.low is not None
    assert efficiency.high is not None
    assert (efficiency.low, efficiency.value, efficiency.high) == pytest.approx((0.8, 0.8, 0.8), rel=1e-3)


def test_worlds_of_another_run_than_their_one_device_have_no_interval_and_are_suspect(tmp_path: Path):
    later = [replace(record, run_id="another") for record in timed(case_of(2), [0.125] * 6)]

    (result,) = read(tmp_path, *timed(case_of(1), [0.1] * 6), *later)

    speed_up = result.points[1].speed_up
    assert (speed_up.value, speed_up.low, speed_up.high) == (pytest.approx(1.6), None, None)
    assert ["not_in_one_run"] == [finding.id for finding in result.findings]


def test_one_device_that_is_another_is_no_baseline(tmp_path: Path):
    world = timed(case_of(2), [0.125])

    for number, other in enumerate((
        timed(case_of(1, threads=2), [0.1]), timed(case_of(1, mode=Mode.INFERENCE), [0.1]),
        [replace(record, identity=replace(record.identity, session="2")) for record in timed(case_of(1), [0.1])],
    )):
        assert [] == read(tmp_path / str(number), *world, *other)


def test_the_number_of_threads_among_the_variables_does_not_tell_devices_apart(tmp_path: Path):
    """All devices of one process have their threads in one variable."""
    many = replace(case_of(2), devices_per_process=2)
    world = [
        replace(record, identity=replace(record.identity, build={
            **record.identity.build, "variables": {"OMP_NUM_THREADS": "2"},
        })) for record in timed(many, [0.125])
    ]

    (result,) = read(tmp_path, *timed(case_of(1), [0.1]), *world)

    assert [1, 2] == [point.world_size for point in result.points]


@pytest.mark.parametrize("day_of_other", [1, 3])
def test_one_device_with_other_variables_is_no_baseline(tmp_path: Path, day_of_other: int):
    """Whichever was measured last."""
    def with_arenas(case: Any, time_s: float, count: str, day: int = 2) -> list[Record]:
        facts = build_facts(MALLOC_ARENA_MAX=count)
        return [
            replace(
                record, identity=replace(record.identity, build=facts), recorded_at=f"2026-01-{day:02}T00:00:00+00:00"
            ) for record in timed(case, [time_s])
        ]

    (result,) = read(
        tmp_path, *with_arenas(case_of(1), 0.1, "1"), *with_arenas(case_of(1), 0.2, "4", day_of_other),
        *with_arenas(case_of(2), 0.125, "1"),
    )

    assert pytest.approx(1.6) == result.points[1].speed_up.value


def test_series_that_differ_in_variables_alone_have_places_of_their_own(tmp_path: Path):
    records = [*timed(case_of(1), [0.1]), *timed(case_of(2), [0.125])]
    others = [
        replace(record, identity=replace(record.identity, build=build_facts(MALLOC_ARENA_MAX="4")))
        for record in records
    ]

    shown = section(read(tmp_path, *records, *others))

    assert shown is not None
    assert len({inner.id for inner in shown.sections}) == len({inner.title for inner in shown.sections}) == 2


def test_a_world_of_many_processes_and_one_of_one_are_two_series(tmp_path: Path):
    together = replace(case_of(2), devices_per_process=2)

    result = read(tmp_path, *timed(case_of(1), [0.1]), *timed(case_of(2), [0.125]), *timed(together, [0.11]))

    assert [[1, 2], [1, 2]] == [[point.world_size for point in each.points] for each in result]


# Laws ----------------------------------------------------------------------------------------------------------------


def strong(step_times_s: Mapping[int, float]) -> Series:
    rows = [
        {
            **dict.fromkeys(scaling.SAME_COLUMNS), "origin": "measured", "data": "synthetic", "world_size": size,
            "local_batch": 64 // size, "throughput_samples_per_s": 64 / time_s,
        }
        for size, time_s in step_times_s.items()
    ]
    return series(Scaling.STRONG, "ddp", rows, [{}] * len(rows))


def test_amdahls_share_is_found_again():
    result = strong({size: 0.1 + 0.9 / size for size in (1, 2, 4, 8)})

    assert result.law is not None
    assert ("Amdahl", 0.1) == (result.law.name, pytest.approx(result.law.serial_share))
    assert result.law.limit == pytest.approx(10)


def test_gustafsons_share_is_found_again():
    result = published({size: 100 * (size - 0.2 * (size - 1)) for size in (1, 2, 4, 8)})

    assert result.law is not None
    assert ("Gustafson", 0.2, None) == (result.law.name, pytest.approx(result.law.serial_share), result.law.limit)


@pytest.mark.parametrize("parts", [(1.0, 0.2, 0.0), (1.0, 0.0, 0.05), (0.5, 0.1, 0.02)])
def test_the_parts_of_a_step_are_found_again_and_predict_the_next_size(parts: tuple[float, float, float]):
    compute_s, link_s, shared_s = parts

    def step_time_s(size: int) -> float:
        return compute_s + link_s * 2 * (size - 1) / size + shared_s * (size - 1)

    result = published({size: 64 * size / step_time_s(size) for size in (1, 2, 4, 8)})

    assert result.costs is not None
    assert result.prediction is not None
    assert parts == pytest.approx((result.costs.compute_s, result.costs.link_s, result.costs.shared_s), abs=1e-9)
    of = result.prediction
    assert (16, 64 * 16 / step_time_s(16)) == (of.world_size, pytest.approx(of.throughput))


def test_as_many_parts_as_sizes_fit_always_and_tell_no_error():
    def known(*step_times_s: float) -> Series:
        return published({size: 64 * size / s for size, s in zip((1, 2, 4, 8), step_times_s, strict=False)}, **SHOWN)

    exact, more = known(0.1, 0.135, 0.2), known(0.1, 0.135, 0.2, 0.5)

    assert exact.costs is not None
    assert exact.prediction is not None
    assert more.costs is not None
    assert exact.costs.largest_error is exact.prediction.error is None
    assert "with as many parts as sizes a fit is always exact" in repr(section([exact]))
    assert more.costs.largest_error == pytest.approx(0.2, abs=0.15)
    assert "the largest error of this fit is" in repr(section([more]))


@pytest.mark.parametrize("sizes", [(1,), (1, 2)])
def test_below_three_sizes_nothing_is_fitted_and_nothing_predicted(sizes: tuple[int, ...]):
    result = published({size: 100.0 * size for size in sizes})

    assert (None, None, None) == (result.law, result.costs, result.prediction)


def test_oversubscribed_sizes_take_no_part_in_laws(tmp_path: Path):
    crowded = case_of(4, oversubscribed=True)

    (result,) = read(
        tmp_path, *timed(case_of(1), [0.1]), *timed(case_of(2), [0.12]), *timed(crowded, [0.5], processes=4),
    )

    assert result.law is None
    assert result.points[2].is_oversubscribed
    assert "4 devices" not in result.cause
    assert [] == list(result.findings)        # that it is slower is no wonder


# Published figures: TensorFlow's benchmarks page of May 2017, ResNet-50 and AlexNet ----------------------------------


def test_the_published_64_gpus_are_foretold_by_the_smaller_sizes_within_a_tenth():
    """EC2, K80, ResNet-50, batch 64 a GPU, synthetic data; 64 GPUs did 2744 images/s."""
    result = published({1: 52.4, 8: 378, 16: 751, 32: 1388})

    assert result.prediction is not None
    assert 64 == result.prediction.world_size
    assert result.prediction.throughput == pytest.approx(2744, rel=0.1)


def test_published_real_data_that_cannot_keep_up_is_told_from_the_link():
    """DGX-1, AlexNet, batch 512 a GPU."""
    synthetic = published({1: 2987, 2: 5658, 4: 10509, 8: 17822}, batch=512)
    real = published({1: 2890, 2: 4448, 4: 7105}, batch=512, data="real")

    assert real.costs is not None
    assert synthetic.costs is not None
    assert real.points[2].efficiency.value < 0.65
    assert synthetic.points[2].efficiency.value > 0.85
    assert real.costs.step_time_s(4) > 1.4 * synthetic.costs.step_time_s(4)


# What is in the way --------------------------------------------------------------------------------------------------


def test_a_link_that_is_not_hidden_is_named_with_its_rate(tmp_path: Path):
    (result,) = read(tmp_path, *timed(case_of(1), [0.01]), *timed(case_of(2), [0.014]))

    assert "within one machine, so that no network is part of it (2.54 MB of gradients leave each device in a step " \
           "at 636 MB/s, of which 3.00 ms are not hidden" in result.cause
    assert result.cause.endswith("how much of it is waiting for the slowest was not measured")


def test_the_network_is_a_part_only_where_there_are_several_machines(tmp_path: Path):
    apart = {**WORLD, "nodes": 2}

    (result,) = read(tmp_path, *timed(case_of(1), [0.01]), *timed(case_of(2), [0.014], **apart))

    assert "over 2 machines, whose network is part of it" in result.cause


@pytest.mark.parametrize(("times_s", "doubt"), [
    ([0.014], "(too few pairs of one run were measured to give its error)"),
    ([0.009, 0.014] * 4, "of ideal, so it is not certain)"),
    ([0.014, 0.0141] * 4, None),
])
def test_a_loss_says_how_sure_it_is(times_s: list[float], doubt: str | None, tmp_path: Path):
    (result,) = read(tmp_path, *timed(case_of(1), [0.01] * len(times_s)), *timed(case_of(2), times_s))

    assert (doubt in result.cause) if doubt else ("(" not in result.cause.split(" is lost")[1][:3])


def test_communication_that_nobody_timed_is_said_to_be_unknown(tmp_path: Path):
    unknown = {"communication": {"problem": "the framework does not say"}}

    (result,) = read(tmp_path, *timed(case_of(1), [0.01]), *timed(case_of(2), [0.014], **unknown))

    assert "how long that takes is not known (the framework does not say)" in result.cause


def test_where_nothing_is_lost_nothing_is_blamed(tmp_path: Path):
    (result,) = read(tmp_path, *timed(case_of(1), [0.01]), *timed(case_of(2), [0.0102]))

    assert result.cause.startswith("nothing limits it")


# What cannot be ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("throughputs", "suspicion"),
    [({1: 100, 2: 212}, "superlinear"), ({1: 100, 2: 190, 4: 150}, "fewer_are_faster"), ({1: 100, 2: 204}, None)],
)
def test_impossible_points_are_suspect(throughputs: dict[int, float], suspicion: str | None):
    assert [suspicion] * bool(suspicion) == [finding.id for finding in published(throughputs).findings]


def test_invalid_trials_are_no_part_of_a_point_and_are_said_to_be_left_out(tmp_path: Path):
    alone, many = (case_of(size, device="cuda:0") for size in (1, 2))
    hot = [overheated(record) for record in timed(many, [0.5] * 3)]

    (result,) = read(tmp_path, *timed(alone, [0.1] * 9), *hot, *timed(many, [0.125] * 9)[3:])

    assert (pytest.approx(1.6), 6) == (result.points[1].speed_up.value, result.points[1].speed_up.count)
    assert "3 of 9 trials of 2 devices are invalid and left out" in [finding.text for finding in result.findings]


def test_a_size_of_invalid_trials_alone_is_left_out_and_can_be_named(tmp_path: Path):
    alone, two, four = (case_of(size, device="cuda:0") for size in (1, 2, 4))
    trials = trials_of(tmp_path, [
        *timed(alone, [0.1] * 6), *timed(two, [0.125] * 6), *(overheated(record) for record in timed(four, [0.5] * 6)),
    ])
    (result,) = scaling.read(results(trials), trials)

    assert [1, 2] == [point.world_size for point in result.points]
    assert [4] == [row["world_size"] for row in scaling.left_out(results(trials))]


def test_what_is_invalid_is_not_called_suspect_for_being_impossible_too():
    shown = section([published({1: 100, 2: 212}, **SHOWN, validity="invalid")])

    assert shown is not None
    (table,) = (block for block in shown.sections[0].blocks if isinstance(block, Table))
    assert ["invalid", "invalid"] == [row.cells[-1].text for row in table.rows]


# What is shown -------------------------------------------------------------------------------------------------------


def test_the_section_names_kind_batches_and_what_is_predicted():
    shown = section([published({1: 100, 2: 190, 4: 370}, **SHOWN)])

    assert shown is not None
    text = repr(shown)
    assert "weak scaling, batch 64" in text
    assert "◇ predicted, not measured: 8 devices would reach" in text
    assert "❝ 4" in text


def test_all_ways_of_one_network_stand_beside_the_ideal_with_their_numbers():
    ways = {"tensorflow": {1: 100, 2: 190, 4: 370}, "torch": {1: 110, 2: 150}}
    shown = section([
        published(throughputs, model="resnet50", mode="training", framework=name, compile_mode="eager",
                  precision="fp32", device="cuda:0", threads=1) for name, throughputs in ways.items()
    ])
    assert shown is not None
    (figure,) = (block for block in shown.blocks if isinstance(block, SpeedUps))
    (table,) = (block for block in shown.blocks if isinstance(block, Table))

    assert figure.table == table.id
    assert [growth.label for growth in figure.growths] == [row.cells[0].text for row in table.rows]
    assert [[1.0, 1.9, 3.7], [1.0, pytest.approx(150 / 110)]] == [
        [size.speed_up for size in growth.sizes] for growth in figure.growths
    ]
    assert ["1.90; 95 % of ideal", "3.70; 92 % of ideal"] == [cell.text for cell in table.rows[0].cells[1:]]
    assert ["1.36; 68 % of ideal", "–"] == [cell.text for cell in table.rows[1].cells[1:]]


def test_series_of_one_setting_are_distinguished_by_the_fact_that_differs():
    def labels(*facts: dict[str, Any]) -> list[str]:
        sizes = ({1: 100, 2: 190, 4: 370}, {1: 100, 2: 190, 8: 700})     # so that no session repeats another
        shown = section([published(of, **{**SHOWN, **own}) for of, own in zip(sizes, facts, strict=True)])
        assert shown is not None
        (figure,) = (block for block in shown.blocks if isinstance(block, SpeedUps))
        return [growth.label.removeprefix(f"{SHOWN['framework']} {SHOWN['compile_mode']} parameter server")
                for growth in figure.growths]

    assert [", 2.12.0", ", 2.13.0"] == labels({"framework_version": "2.12.0"}, {"framework_version": "2.13.0"})
    assert [", native", ", limited to avx2"] == labels({"isa": "native"}, {"isa": "avx2"})
    assert [", session 1", ", session 2"] == labels({"session": "1"}, {"session": "2"})
    assert [" #1", " #2"] == labels({"settings": "{}"}, {"settings": '{"seed": 2}'})


def test_a_script_gets_plain_numbers(tmp_path: Path):
    (result,) = scaling.plain(read(tmp_path, *timed(case_of(1), [0.01]), *timed(case_of(2), [0.014])))

    again = json.loads(json.dumps(result))
    assert ("weak", "ddp", 4) == (again["scaling"], again["strategy"], again["batch"])
    assert [1, 2] == [point["world_size"] for point in again["points"]]
    assert 0.003 == pytest.approx(again["points"][1]["communication_exposed_s"])


def test_nothing_on_many_devices_is_no_section(tmp_path: Path):
    assert section(read(tmp_path, *timed(case_of(1), [0.01]))) is None
