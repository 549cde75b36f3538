"""What this machine is: the facts that make two measurements comparable, and those that only explain them."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

import archspec.cpu
import psutil

VARIABLES = (
    "OMP_NUM_THREADS", "OMP_PROC_BIND", "OMP_PLACES", "OMP_WAIT_POLICY", "KMP_AFFINITY", "KMP_BLOCKTIME",
    "GOMP_SPINCOUNT", "MKL_NUM_THREADS", "MKL_ENABLE_INSTRUCTIONS", "MKL_CBWR", "MKL_DEBUG_CPU_TYPE",
    "OPENBLAS_NUM_THREADS", "OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "NPY_DISABLE_CPU_FEATURES",
    "ONEDNN_MAX_CPU_ISA", "ONEDNN_DEFAULT_FPMATH_MODE", "ATEN_CPU_CAPABILITY", "TF_ENABLE_ONEDNN_OPTS",
    "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "TF_XLA_FLAGS", "XLA_FLAGS", "JAX_PLATFORMS",
    "CUDA_VISIBLE_DEVICES", "CUDA_LAUNCH_BLOCKING", "LD_PRELOAD", "MALLOC_ARENA_MAX", "MALLOC_CONF",
)
"""Environment variables that change results; those set are stored with each record. Exact names, no prefixes."""


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Facts that stay the same between two sweeps on an unchanged machine; their hash identifies it."""

    cpu: str                     # "AMD EPYC 9B14"
    microarchitecture: str       # archspec's name, "zen4"
    architecture: str            # "x86_64"
    cores: int | None            # physical
    logical_cores: int
    memory_bytes: int
    system: str                  # "Linux 6.1"
    gpus: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:12]

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
    )


def _cpu_name() -> str | None:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), None)
    except OSError:
        return platform.processor() or None


def usable_cpus() -> tuple[int, ...]:
    """Numbers of the cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return tuple(sorted(os.sched_getaffinity(0)))
    return tuple(range(psutil.cpu_count() or 1))


def variables(environment: dict[str, str]) -> dict[str, str]:
    """Those variables of an environment that change results."""
    return {name: environment[name] for name in VARIABLES if name in environment}


def load_average() -> float | None:
    """Mean number of runnable processes over the last minute; None where the system does not say."""
    try:
        return os.getloadavg()[0]
    except OSError:
        return None
