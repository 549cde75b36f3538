"""A layer against the machine: which limit holds it back, by how much, and what is not known."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rigmark.bench.analysis.layers.roofline import (
    NOWHERE,
    WITHOUT_LIMITS,
    Bound,
    Peak,
    Peaks,
    memory_size,
    mfu,
    peaks,
    place,
    products_of,
)
from rigmark.bench.sections.layer_figures import peak_words
from rigmark.bench.worker.microbenchmarks import TOLERANCES
from rigmark.bench.worker.precisions import POLICIES


def measured(value: float) -> Peak:
    return Peak(value=value, source="matmul_2048 in torch, measured", is_measured=True)


MACHINE = Peaks(flops_per_s=measured(100e9), bytes_per_s=measured(20e9), launch_s=measured(5e-6))


def limit(model: str, framework: str = "torch", **figures: Any) -> dict[str, Any]:
    """A row of the table of results."""
    return {
        "kind": "limit", "model": model, "framework": framework, "precision": "fp32", "threads": 2, "device": "cpu",
        "machine": "m1", "flops_per_s": None, "bytes_per_s": None, "step_time_s": 1e-3, **figures,
    }


def peaks_of(*rows: dict[str, Any], **asked: Any) -> Peaks:
    return peaks(
        pd.DataFrame([*rows, limit("mnist_cnn", kind="timing", flops_per_s=9e15, bytes_per_s=9e15)]),
        **{"machine": "m1", "node": None, "device": "cpu", "threads": 2, "precision": "fp32", **asked},
    )


# One layer ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("flops", "bytes_moved", "bound", "limit_s"), [
    (2_000_000_000, 20_000_000, Bound.COMPUTE, 0.02),          # 20 ms of arithmetic, 1 ms of memory
    (2_000_000, 20_000_000, Bound.MEMORY, 0.001),
    (2_000, 20_000, Bound.OVERHEAD, 5e-6),
])
def test_the_longest_of_three_limits_is_the_one_that_binds(
    flops: int, bytes_moved: int, bound: Bound, limit_s: float
):
    here = place(4 * limit_s, flops, bytes_moved, MACHINE)

    assert (here.bound, here.limit_s, here.gap) == (bound, pytest.approx(limit_s), pytest.approx(4.0))
    assert here.intensity == flops / bytes_moved
    assert here.flops_per_s == pytest.approx(flops / (4 * limit_s))
    assert here.bytes_per_s == pytest.approx(bytes_moved / (4 * limit_s))


@given(st.integers(0, 10**13), st.integers(1, 10**11), st.floats(1e-7, 1e2))
def test_a_layer_is_bound_by_memory_just_below_the_ridge(flops: int, bytes_moved: int, time_s: float):
    here = place(time_s, flops, bytes_moved, MACHINE)
    ridge = 100e9 / 20e9

    assert here.gap == pytest.approx(time_s / here.limit_s) if here.limit_s else False
    if here.bound is Bound.COMPUTE:
        assert flops / bytes_moved >= ridge
    if here.bound is Bound.MEMORY:
        assert flops / bytes_moved <= ridge


def test_data_in_a_cache_stand_above_the_roof_and_are_shown_there():
    assert 0.5 == pytest.approx(place(0.0005, 1_000, 20_000_000, MACHINE).gap)


def test_what_moves_nothing_and_computes_nothing_is_only_launched():
    here = place(1e-5, 0, 0, MACHINE)

    assert (here.bound, here.gap, here.intensity) == (Bound.OVERHEAD, pytest.approx(2.0), None)


def test_unknown_work_has_no_limit_and_no_rate():
    assert place(0.01, None, None, MACHINE) == NOWHERE
    half = place(0.01, 1_000_000, None, MACHINE)
    assert (half.limit_s, half.bound, half.gap, half.bytes_per_s) == (None, None, None, None)
    assert half.flops_per_s == pytest.approx(1e8)


def test_an_unknown_peak_leaves_the_limit_open():
    only_memory = Peaks(bytes_per_s=measured(20e9), launch_s=measured(5e-6))
    here = place(0.01, 10**12, 1_000_000, only_memory)

    assert (here.bound, here.limit_s, here.gap) == (None, None, None)
    assert here.intensity == 10**6


def test_without_a_known_launch_arithmetic_and_memory_still_bind():
    here = place(0.01, 2_000_000, 20_000_000, Peaks(flops_per_s=measured(100e9), bytes_per_s=measured(20e9)))

    assert (here.bound, here.limit_s) == (Bound.MEMORY, pytest.approx(0.001))
    assert place(0.01, 0, 0, Peaks(flops_per_s=measured(100e9), bytes_per_s=measured(20e9))).bound is None


def test_a_time_that_the_clock_calls_zero_gives_no_rate():
    here = place(0.0, 1_000, 1_000, MACHINE)

    assert (here.flops_per_s, here.bytes_per_s, here.gap) == (None, None, None)


def test_mfu_is_achieved_over_peak_and_unknown_without_one():
    assert 0.4 == pytest.approx(mfu(4e9, 0.1, measured(100e9)))
    assert mfu(4e9, 0.1, None) is None
    assert mfu(None, 0.1, measured(100e9)) is None
    assert mfu(4e9, None, measured(100e9)) is None


# The machine --------------------------------------------------------------------------------------------------------


def test_the_peak_is_the_best_over_frameworks_and_says_whose_it_is():
    here = peaks_of(
        limit("matmul_1024", "torch", flops_per_s=80e9), limit("matmul_2048", "jax", flops_per_s=190e9),
        limit("conv2d_deep", "torch", flops_per_s=150e9), limit("copy_256MiB", "torch", bytes_per_s=18e9),
        limit("triad_256MiB", "numpy", bytes_per_s=21e9, flops_per_s=9e12), limit("launch", "torch", step_time_s=4e-6),
        limit("launch", "jax", step_time_s=9e-6),
    )

    assert (190e9, "matmul_2048 in jax, measured") == (here.flops_per_s.value, here.flops_per_s.source)
    assert (21e9, "triad_256MiB in numpy, measured") == (here.bytes_per_s.value, here.bytes_per_s.source)
    assert (4e-6, "launch in torch, measured") == (here.launch_s.value, here.launch_s.source)


def test_what_fits_into_a_cache_is_no_bandwidth_of_memory():
    small = limit("copy_16MiB", bytes_per_s=90e9)

    assert peaks_of(small).bytes_per_s is None
    assert 18e9 == peaks_of(small, limit("copy_256MiB", bytes_per_s=18e9)).bytes_per_s.value


def test_of_large_arrays_the_largest_tell():
    rows = [limit("copy_128MiB", bytes_per_s=40e9), limit("copy_1GiB", bytes_per_s=18e9)]

    assert 18e9 == peaks_of(*rows).bytes_per_s.value


@pytest.mark.parametrize("other", [
    {"machine": "m2"}, {"device": "cuda:0"}, {"threads": 1}, {"precision": "bf16"}, {"flops_per_s": None},
])
def test_a_peak_of_other_conditions_or_without_a_figure_is_no_peak(other: dict[str, Any]):
    assert peaks_of(limit("matmul_2048", **{"flops_per_s": 1e12, **other})).flops_per_s is None


def test_bandwidth_and_launches_hold_for_every_precision_and_launches_for_any_threads():
    rows = [limit("copy_256MiB", bytes_per_s=18e9), limit("launch", threads=1, step_time_s=4e-6)]
    here = peaks_of(*rows, precision="bf16")

    assert here.flops_per_s is None
    assert (18e9, 4e-6) == (here.bytes_per_s.value, here.launch_s.value)


def test_a_pure_format_has_the_peak_of_its_products():
    rows = [limit("matmul_2048", precision=name, flops_per_s=rate) for name, rate in (("bf16", 4e11), ("fp16", 3e10))]

    assert [4e11, 3e10] == [peaks_of(*rows, precision=f"{name}_pure").flops_per_s.value for name in ("bf16", "fp16")]


def test_every_precision_has_the_limits_of_its_products_or_is_known_to_have_none():
    for name, policy in POLICIES.items():
        measured_in = products_of(name)
        assert (name in WITHOUT_LIMITS) != (measured_in in TOLERANCES)
        assert [policy[part] for part in ("products", "sums")] == [
            POLICIES[measured_in][part] for part in ("products", "sums")
        ]


def test_a_specification_is_marked_and_gives_way_to_a_measurement():
    promised = limit("matmul_2048", "vendor", flops_per_s=500e9, origin="quoted")
    reached = limit("matmul_2048", "torch", flops_per_s=190e9, origin="measured")

    assert "matmul_2048 in vendor, specification" == peaks_of(promised).flops_per_s.source
    assert not peaks_of(promised).flops_per_s.is_measured
    assert 190e9 == peaks_of(promised, reached).flops_per_s.value


def test_a_peak_of_suspect_trials_is_called_so():
    doubted, invalid = (
        limit("matmul_2048", flops_per_s=rate, validity=validity)
        for rate, validity in ((190e9, "suspect"), (900e9, "invalid"))
    )
    sound = limit("matmul_1024", flops_per_s=200e9, validity="valid")
    peak = peaks_of(doubted, invalid).flops_per_s

    assert ("matmul_2048 in torch, measured, suspect", 190e9, True) == (peak.source, peak.value, peak.is_suspect)
    assert ", suspect" in peak_words(peak, "FLOP/s")
    assert "matmul_1024 in torch, measured" == peaks_of(doubted, invalid, sound).flops_per_s.source


def test_without_measured_limits_no_peak_is_known():
    assert peaks_of() == Peaks()
    nothing = pd.DataFrame(columns=["kind"])

    assert peaks(nothing, machine="m", node=None, device="cpu", threads=1, precision="fp32") == Peaks()


def test_only_memory_limits_have_a_size():
    assert [256 * 2**20, 32 * 2**10, None, None] == [
        memory_size(name) for name in ("copy_256MiB", "triad_32KiB", "matmul_256", "copy_MiB")
    ]
