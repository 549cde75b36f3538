"""The environment variables that a worker starts with."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from rigmark.bench import devices
from rigmark.bench.builds.build import Build
from rigmark.bench.enums import THREAD_POOLS

NOT_LENT = (
    "PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "PYTHONSAFEPATH",       # of the parent's Python
    # torchrun sets these for the parent; with them PyTorch would take workers for ranks of its own.
    "RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT", "TORCHELASTIC_USE_AGENT_STORE",
)
FLAGS = "_FLAGS"             # suffix of variables that hold many settings, of which the last one counts


def environment(build: Build, threads: int, cache: Path | None = None) -> dict[str, str]:
    """The variables that a worker starts with: ours without those of our Python, the threads, then the build's.

    ``cache`` is a folder for compiled programs, so that the next process need not compile them again.
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
    return {**devices.numbering(), **ours, **pools, **caches, "PYTHONDONTWRITEBYTECODE": "1", **build.variables}


def extended(own: Mapping[str, str], more: Mapping[str, str]) -> dict[str, str]:
    """The variables with more of them: a list of flags is appended to the one that is there, any other is replaced."""
    return {**own, **{
        name: f"{own[name]} {value}" if name.endswith(FLAGS) and own.get(name) else value
        for name, value in more.items()
    }}
