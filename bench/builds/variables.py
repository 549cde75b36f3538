"""The environment variables that a worker starts with."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from rigmark.bench.builds.build import Build
from rigmark.bench.enums import THREAD_POOLS

NOT_LENT = (
    "PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "PYTHONSAFEPATH",       # the parent's, not the build's
    # What torchrun tells the parent; PyTorch would believe that workers are its ranks too.
    "RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT", "TORCHELASTIC_USE_AGENT_STORE",
)
NUMBERING = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
"""So that "cuda:0" is the GPU that NVML calls 0, where the user has not said otherwise. CUDA's own order is the fastest
first, which it alone knows."""

FLAGS = "_FLAGS"             # ends the name of a variable that holds many settings, the last of which counts


def environment(build: Build, threads: int, cache: Path | None = None) -> dict[str, str]:
    """The variables a worker starts with: ours without the parent's Python path, the threads, then the build's.

    ``cache`` is where frameworks keep compiled programs, so that the next process need not compile them again.
    """
    count = str(threads)
    ours = {name: value for name, value in os.environ.items() if name not in NOT_LENT}
    pools = dict.fromkeys(THREAD_POOLS, count)
    caches = {} if cache is None else {
        "JAX_COMPILATION_CACHE_DIR": str(cache.absolute() / "jax"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "0",
        "TORCHINDUCTOR_CACHE_DIR": str(cache.absolute() / "inductor"),
    }
    return {**NUMBERING, **ours, **pools, **caches, "PYTHONDONTWRITEBYTECODE": "1", **build.variables}


def with_variables(build: Build, more: Mapping[str, str]) -> Build:
    """The build with more variables: a list of flags is appended to the one that workers would have without."""
    own = environment(build, threads=1)
    merged = {
        name: f"{own[name]} {value}" if name.endswith(FLAGS) and own.get(name) else value
        for name, value in more.items()
    }
    return replace(build, variables={**build.variables, **merged})
