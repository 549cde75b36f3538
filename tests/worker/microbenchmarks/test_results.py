"""Each framework computes what a limit says, and a wrong result would be seen."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from rigmark.bench.worker import frameworks, microbenchmarks
from rigmark.bench.worker.frameworks import Unsupported
from rigmark.bench.worker.frameworks.numpy import microbenchmarks as reference

MODULES: dict[str, ModuleType] = {
    name: microbenchmarks.load(name)
    for name in filter(microbenchmarks.has, frameworks.NAMES)
    if importlib.util.find_spec(frameworks.load(name).IMPORTS) is not None
}
SMALL = (
    "matmul_256", *microbenchmarks.CONVOLUTIONS, "copy_32KiB", "triad_32KiB", "triad_256KiB", "launch", "jpeg_decode",
)
LAYOUTS = ("nchw", "channels_last")


def settings(framework: str = "numpy", **changes: Any) -> dict[str, Any]:
    adapter = frameworks.load(framework)
    compile_mode, layout = adapter.BEST["inference"]
    return {
        "precision": "fp32", "device": "cpu", "threads": 1, "compile_mode": compile_mode, "layout": layout, "seed": 1,
        "folder": ".", **changes,
    }


def executed(framework: str, name: str, **changes: Any) -> Any:
    """A limit after two executions; skips the test where the framework has no such thing."""
    try:
        prepared = MODULES[framework].prepare(name, settings(framework, **changes))
    except Unsupported as reason:
        pytest.skip(str(reason))
    for _ in range(2):
        prepared.step()
    prepared.synchronize()
    return prepared


def tolerance(prepared: Any, precision: str) -> float:
    result: float = microbenchmarks.TOLERANCES[precision] if prepared.tolerance is None else prepared.tolerance
    return result


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("framework", MODULES)
def test_a_limit_computes_what_it_says(framework: str, name: str):
    prepared = executed(framework, name)

    assert prepared.error() <= tolerance(prepared, "fp32")


@pytest.mark.parametrize("precision", ["fp64", "bf16", "fp16"])
@pytest.mark.parametrize("framework", MODULES)
def test_another_precision_errs_by_its_own_rounding(framework: str, precision: str):
    if precision not in MODULES[framework].PRECISIONS:
        pytest.skip("no such precision")
    prepared = executed(framework, "matmul_256", precision=precision)
    error = prepared.error()

    assert error <= tolerance(prepared, precision)
    # So it was that precision: one with more bits would do better, one with fewer worse.
    finer = {"fp64": None, "bf16": "fp16", "fp16": "fp32"}[precision]
    assert finer is None or error > microbenchmarks.TOLERANCES["fp32"]
    assert error < {"fp64": 1e-12, "bf16": 4e-3, "fp16": 5e-4}[precision]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("framework", ["torch", "jax"])
def test_a_convolution_is_the_same_in_each_layout(framework: str, layout: str):
    if framework not in MODULES:
        pytest.skip("not installed")
    prepared = executed(framework, "conv2d_stem", layout=layout)

    assert prepared.error() <= microbenchmarks.TOLERANCES["fp32"]


@pytest.mark.parametrize("compile_mode", ["eager", "xla"])
def test_tensorflow_has_its_limits_in_each_compile_mode(compile_mode: str):
    if "tensorflow" not in MODULES:
        pytest.skip("not installed")
    prepared = executed("tensorflow", "matmul_256", compile_mode=compile_mode)

    assert prepared.error() <= microbenchmarks.TOLERANCES["fp32"]


@pytest.mark.parametrize("name", microbenchmarks.TRANSFERS)
@pytest.mark.parametrize("framework", MODULES)
def test_copies_to_a_gpu_need_one(framework: str, name: str):
    with pytest.raises(Unsupported, match=r"GPU|pinned"):
        MODULES[framework].prepare(name, settings(framework))


@pytest.mark.parametrize("name", microbenchmarks.NAMES)
@pytest.mark.parametrize("framework", [name for name in MODULES if "cuda" in frameworks.load(name).DEVICES])
def test_a_gpu_that_is_not_there_is_reported_in_a_sentence(framework: str, name: str):
    with pytest.raises(Unsupported) as told:
        MODULES[framework].prepare(name, settings(framework, device="cuda:7"))

    assert " " in str(told.value)


@pytest.mark.parametrize("framework", [name for name, module in MODULES.items() if "tf32" in module.PRECISIONS])
def test_tf32_needs_a_gpu(framework: str):
    with pytest.raises(Unsupported, match="tf32 is a format of NVIDIA's GPUs"):
        MODULES[framework].prepare("matmul_256", settings(framework, precision="tf32"))


@pytest.mark.parametrize("name", ["copy_2MiB", "triad_2MiB"])
def test_numpy_does_not_pass_one_thread_off_as_two(name: str):
    with pytest.raises(Unsupported, match="NumPy uses one thread"):
        reference.prepare(name, settings(threads=2))


# What is seen --------------------------------------------------------------------------------------------------------


def test_one_wrong_element_of_a_product_is_seen():
    a, b = reference.matrices("matmul_256", settings())
    product = a @ b
    assert reference.product_error(a, b, product) < microbenchmarks.TOLERANCES["fp32"]

    product[17, 4] += 1.0

    assert reference.product_error(a, b, product) > microbenchmarks.TOLERANCES["fp32"]


def test_a_product_with_another_factor_is_seen():
    a, b = reference.matrices("matmul_256", settings())

    assert reference.product_error(a, b, a @ b.T) > 0.1


@pytest.mark.parametrize("name", microbenchmarks.CONVOLUTIONS)
def test_a_convolution_is_held_against_the_oracles(name: str):
    channels, _, size, kernel, stride, padding = microbenchmarks.CONVOLUTIONS[name]
    images, filters = (array.astype(np.float64) for array in reference.images_and_filters(name, 1, settings()))
    oracle = frameworks.load("numpy").LOWERINGS["conv2d"](
        {"kernel": (kernel, kernel), "stride": (stride, stride), "padding": (padding, padding), "dilation": (1, 1),
         "groups": 1, "bias": False, "out_channels": len(filters)}, {"weight": filters},
    )
    result = oracle.forward(images)

    assert images.shape == (1, channels, size, size)
    assert reference.convolution_error(name, images, filters, result) < 1e-12
    assert reference.convolution_error(name, images, filters, np.roll(result, 1, 3)) > 0.1     # pixels that shifted
    assert reference.convolution_error(name, images, filters, result[:, ::-1]) > 0.1           # channels mixed up


@pytest.mark.parametrize("place", [0, -1])
@pytest.mark.parametrize("name", ["copy_32KiB", "triad_256KiB"])
def test_an_element_that_was_not_written_is_seen(name: str, place: int):
    prepared = executed("numpy", name)
    assert prepared.error() <= microbenchmarks.TOLERANCES["fp32"]

    prepared._vectors[0][place] = 0

    assert prepared.error() > microbenchmarks.TOLERANCES["fp32"]


def test_a_photograph_is_as_large_as_usual_and_another_one_is_seen():
    first, second, *_ = reference.photographs(1)
    prepared = executed("numpy", "jpeg_decode")

    assert 80_000 < prepared.facts()["file_bytes"] < 150_000       # ImageNet: 110 KB
    assert first.shape == microbenchmarks.JPEG_SHAPE
    assert reference.photographs_error([second], [first]) > reference.JPEG_LOSS
    assert reference.photographs_error([first[:-1]], [first]) == float("inf")


# The disk ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def small_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reference, "DISK_BYTES", 1 << 20)
    monkeypatch.setattr(reference, "IN_MEMORY", ())


@pytest.mark.parametrize("name", ["disk_read", "disk_write"])
@pytest.mark.usefixtures("small_file")
def test_the_file_comes_back_as_it_was_written_and_is_gone_afterwards(tmp_path: Path, name: str):
    prepared = executed("numpy", name, folder=str(tmp_path))

    assert prepared.error() == 0.0
    assert os.listdir(tmp_path) == []


@pytest.mark.usefixtures("small_file")
def test_a_file_that_comes_back_otherwise_is_seen(tmp_path: Path):
    prepared = executed("numpy", "disk_read", folder=str(tmp_path))

    prepared._file.seek(77)
    prepared._file.write(b"x")

    assert prepared.error() == float("inf")


def test_a_folder_in_memory_is_no_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(reference, "filesystem", lambda descriptor: "tmpfs")

    with pytest.raises(Unsupported, match=r"is in memory \(tmpfs\), not on a disk; choose other --results"):
        reference.prepare("disk_read", settings(folder=str(tmp_path)))


def test_the_type_of_a_file_system_is_as_the_kernel_says():
    with open("/proc/self/mountinfo", encoding="utf-8") as mounts:
        assert reference.filesystem(mounts.fileno()) == "proc"
