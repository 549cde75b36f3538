"""The amounts of work that limits are rated by: known from the definition, the same for every framework."""

from __future__ import annotations

import pytest

from bench import frameworks, limits, models
from bench.ir.ops import Conv2d
from bench.words import Precision


def test_no_limit_is_called_like_a_network():
    assert not set(limits.NAMES) & set(models.NAMES)
    assert len(set(limits.NAMES)) == len(limits.NAMES)


def test_every_framework_says_which_limits_it_has():
    assert set(limits.FRAMEWORKS) <= set(frameworks.NAMES)
    for name in limits.FRAMEWORKS:
        assert set(limits.load(name).PRECISIONS) <= set(Precision)
        assert set(limits.load(name).PRECISIONS) <= limits.ITEM_BYTES.keys() == limits.TOLERANCES.keys()


def test_a_matrix_product_takes_two_flops_for_each_multiply_add():
    assert limits.work("matmul_1024", "fp32")["flops"] == 2_147_483_648 == limits.work("matmul_1024", "bf16")["flops"]


@pytest.mark.parametrize("name", limits.CONVOLUTIONS)
def test_a_convolution_takes_as_many_flops_as_that_layer_of_a_network(name: str):
    channels, filters, size, kernel, stride, padding = limits.CONVOLUTIONS[name]
    layer = Conv2d(
        out_channels=filters, kernel=(kernel, kernel), stride=(stride, stride), padding=(padding, padding), bias=False
    )
    work = limits.work(name, "fp32")

    assert work["flops"] == work["samples"] * layer.flops((channels, size, size))


@pytest.mark.parametrize("precision", limits.ITEM_BYTES)
@pytest.mark.parametrize("name", [name for name in limits.NAMES if name.startswith(("copy", "triad"))])
def test_a_size_is_that_of_all_arrays_together_each_read_or_written_once(name: str, precision: str):
    moved, size = limits.work(name, precision)["bytes"], limits.MEMORY_SIZES[name.partition("_")[2]]

    assert size - 3 * limits.ITEM_BYTES[precision] < moved <= size


def test_a_triad_multiplies_and_adds_once_for_each_element():
    work = limits.work("triad_16MiB", "fp32")

    assert work["flops"] / work["bytes"] == 2 / (3 * 4)


@pytest.mark.parametrize(("world_size", "share"), [(2, 1.0), (4, 1.5)])
def test_an_all_reduce_is_rated_by_what_each_process_must_send(world_size: int, share: float):
    assert limits.work(f"all_reduce_{world_size}", "fp32")["bytes"] == share * 25 * 2**20


def test_a_call_has_no_work():
    assert limits.work("launch", "fp32") == {"name": "launch", "flops": None, "bytes": None, "samples": None}


@pytest.mark.parametrize("name", limits.NAMES)
def test_every_limit_has_an_amount_of_work_and_none_is_zero(name: str):
    work = limits.work(name, "fp32")

    assert work["name"] == name
    assert 0 not in work.values()
    assert name == "launch" or any(work[what] for what in ("flops", "bytes", "samples"))
