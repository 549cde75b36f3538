"""What is compatible and what is not, by packages' own metadata and by the table."""

from __future__ import annotations

import sys
from importlib.metadata import Distribution, PathDistribution
from pathlib import Path

import pytest

from rigmark.bench.doctor.compatibility import (
    COMPILERS,
    NEEDS,
    Installed,
    clashes,
    cuda,
    cudnn,
    installed,
    is_too_old,
    unmet,
)

ALL_COMPILERS = dict.fromkeys(COMPILERS, True)


def environment(folder: Path, python: str = "3.11.7", **packages: tuple[str, ...]) -> Installed:
    """An interpreter with these packages: version, then lines of metadata."""
    result: dict[str, Distribution] = {}
    for name, (version, *lines) in packages.items():
        place = folder / f"{name}-{version}.dist-info"
        place.mkdir()
        (place / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n" + "\n".join(lines))
        result[name] = PathDistribution(place)
    return Installed(python=python, versions={name: each.version for name, each in result.items()}, packages=result)


def test_packages_that_go_together_clash_nowhere(tmp_path: Path):
    of = environment(
        tmp_path, jax=("0.10.2", "Requires-Dist: jaxlib<=0.10.2,>=0.10.2", "Requires-Python: >=3.11",
                       "Requires-Dist: tomli; python_version < '3.11'", "Requires-Dist: libtpu; extra == 'tpu'"),
        jaxlib=("0.10.2", "Requires-Dist: numpy>=2.0"), numpy=("2.4.0",),
    )

    assert list(clashes(of, ("jax",))) == []


def test_a_requirement_that_is_not_met_is_reported_also_of_what_is_required(tmp_path: Path):
    of = environment(
        tmp_path, jax=("0.10.2", "Requires-Dist: jaxlib<=0.10.2,>=0.10.2", "Requires-Dist: opt_einsum"),
        jaxlib=("0.10.1", "Requires-Dist: numpy>=2.0"), numpy=("1.26.4",), other=("1.0", "Requires-Dist: numpy<1"),
    )

    assert sorted(sentence for _, sentence in clashes(of, ("jax",))) == [
        "jax 0.10.2 needs jaxlib<=0.10.2,>=0.10.2, but 0.10.1 is installed",
        "jax 0.10.2 needs opt_einsum, which is not installed",
        "jaxlib 0.10.1 needs numpy>=2.0, but 1.26.4 is installed",
    ]


def test_a_python_that_a_package_cannot_run_in_is_reported(tmp_path: Path):
    of = environment(tmp_path, python="3.9.18", torch=("2.13.0", "Requires-Python: >=3.10"))

    assert list(clashes(of, ("torch",))) == [(None, "torch 2.13.0 needs Python >=3.10, but this is 3.9.18")]


@pytest.mark.parametrize(
    ("packages", "sentence"),
    [
        ({"torch": ("2.2.2",), "numpy": ("2.0.0",)}, "torch 2.2.2 needs numpy<2, but 2.0.0 is installed"),
        ({"mxnet": ("1.9.1",), "numpy": ("1.26.4",)}, "mxnet 1.9.1 needs numpy<1.24, but 1.26.4 is installed"),
        ({"cntk": ("2.7.post2",)}, "cntk 2.7.post2 needs python==3.6.*, but 3.11.7 is installed"),
    ],
)
def test_what_no_metadata_says_is_told_by_the_table(
    tmp_path: Path, packages: dict[str, tuple[str, ...]], sentence: str
):
    (_, text), = unmet(environment(tmp_path, **packages), ALL_COMPILERS)

    assert text.startswith(sentence)


def test_releases_that_the_table_does_not_mean_are_left_alone(tmp_path: Path):
    assert list(unmet(environment(tmp_path, torch=("2.3.0",), numpy=("2.0.0",)), ALL_COMPILERS)) == []


def test_a_framework_that_compiles_needs_its_compiler(tmp_path: Path):
    (need, text), = unmet(environment(tmp_path, torch=("2.13.0+cpu",)), dict.fromkeys(COMPILERS, False))

    assert need.needs == "a C++ compiler"
    assert "TorchInductor" in text


def test_every_need_names_its_source_and_a_compiler_that_is_known():
    assert all(need.source and need.because for need in NEEDS)
    assert {need.needs for need in NEEDS if need.needs.startswith("a ")} <= set(COMPILERS)


@pytest.mark.parametrize(
    ("versions", "release"),
    [
        ({"torch": "2.9.1+cu128"}, "12.8"), ({"torch": "2.13.0+cpu"}, None), ({}, None),
        ({"torch": "2.9.1", "nvidia-cuda-runtime-cu12": "12.8.90"}, "12.8"), ({"jax-cuda12-plugin": "0.6.0"}, "12"),
        ({"nvidia-cuda-runtime": "13.0.48"}, "13.0"),
    ],
)
def test_the_cuda_of_a_build_is_told_by_its_packages(versions: dict[str, str], release: str | None):
    assert cuda(versions) == release


def test_the_cudnn_of_a_build_is_told_by_its_packages():
    assert (cudnn({"nvidia-cudnn-cu12": "9.10.2.21"}), cudnn({})) == ("9.10.2.21", None)


@pytest.mark.parametrize(
    ("driver", "release", "too_old"),
    [
        ("550.54.14", "12.8", False), ("525.60.12", "12", True), ("570.10", "13.0", True), ("580.65.06", "13.0", False),
        ("440.33", "10.2", False), ("418.39", "10.2", True), ("470.1", "99", False), ("not a version", "12", False),
    ],
)
def test_a_driver_below_what_a_cuda_release_needs_is_too_old(driver: str, release: str, too_old: bool):
    assert is_too_old(driver, release) is too_old


def test_what_is_installed_is_found_without_importing_it():
    result = installed(sys.executable)

    assert result is not None
    assert result.python == ".".join(map(str, sys.version_info[:3]))
    assert {"numpy", "pytest"} <= set(result.versions)


def test_an_interpreter_that_does_not_start_has_nothing_installed(tmp_path: Path):
    assert installed(str(tmp_path / "python")) is None
