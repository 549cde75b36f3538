"""The amounts of work that limits are rated by: known from the definition, the same for every framework."""

from __future__ import annotations

import pytest

from rigmark.bench import models
from rigmark.bench.enums import Precision
from rigmark.bench.ir.ops.convolution import Conv2d
from rigmark.bench.worker import frameworks, microbenchmarks


def test_no_limit_is_called_like_a_network():
    assert not set(microbenchmarks.NAMES) & set(models.NAMES)
    assert len(set(microbenchmarks.NAMES)) == len(microbenchmarks.NAMES)


def test_every_framework_says_which_limits_it_has():
    for name in filter(microbenchmarks.has, frameworks.NAMES):
        assert set(microbenchmarks.load(name).PRECISIONS) <= set(Precision)
        assert set(microbenchmarks.load(name).PRECISIONS) <= microbenchmarks.TOLERANCES.keys()


def test_a_matrix_product_takes_two_flops_for_each_multiply_add():
    for precision in ("fp32", "bf16"):
        assert microbenchmarks.work("matmul_1024", precision)["flops"] == 2_147_483_648


@pytest.mark.parametrize("name", microbenchmarks.CONVOLUTIONS)
def test_a_convolution_takes_as_many_flops_as_that_layer_of_a_network(name: str):
    channels, filters, size, kernel, stride, padding = microbenchmarks.CONVOLUTIONS[name]
    layer = Conv2d(
        out_channels=filters, kernel=(kernel, kernel), stride=(stride, stride), padding=(padding, padding), bias=False
    )
    work = microbenchmarks.work(name, "fp32")

    assert work["flops"] == work["samples"] * layer.flops((channels, size, size))


@pytest.mark.parametrize("precision", microbenchmarks.TOLERANCES)
@pytest.mark.parametrize("name", [name for name in microbenchmarks.NAMES if name.startswith(("copy", "triad"))])
def test_a_size_is_that_of_all_arrays_together_each_read_or_written_once(name: str, precision: str):
    moved, size = microbenchmarks.work(name, precision)["bytes"], microbenchmarks.MEMORY_SIZES[name.partition("_")[2]]

    assert size - 3 * microbenchmarks.item_bytes(precision) < moved <= size


def test_a_triad_multiplies_and_adds_once_for_each_element():
    work = microbenchmarks.work("triad_16MiB", "fp32")

    assert work["flops"] / work["bytes"] == 2 / (3 * 4)


@pytest.mark.parametrize(("world_size", "share"), [(2, 1.0), (4, 1.5)])
def test_an_all_reduce_is_rated_by_what_each_process_must_send(world_size: int, share: float):
    assert microbenchmarks.work(f"all_reduce_{world_size}", "fp32")["bytes"] == share * 25 * 2**20


def test_a_call_has_no_work():
    assert microbenchmarks.work("launch", "fp32") == {"name": "launch", "flops": None, "bytes": None, "samples": None}


@pytest.mark.parametrize("name", microbenchmarks.NAMES)
def test_every_limit_has_an_amount_of_work_and_none_is_zero(name: str):
    work = microbenchmarks.work(name, "fp32")

    assert work["name"] == name
    assert 0 not in work.values()
    assert name == "launch" or any(work[what] for what in ("flops", "bytes", "samples"))
