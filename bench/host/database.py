"""DuckDB, for queries and Parquet files: connections that respect the memory limit of this process."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Any

import psutil

from rigmark.bench.errors import UserError
from rigmark.bench.host.limits import memory_limit_bytes

if TYPE_CHECKING:
    import duckdb

BASE_BYTES, THREAD_BYTES = 640 << 20, 40 << 20
"""Address space that DuckDB 2.0 reserves at start (581 MiB with 1 thread, 653 with 2, 1149 with 16), plus a margin."""


@contextlib.contextmanager
def connected(**config: Any) -> Iterator[duckdb.DuckDBPyConnection]:
    """A database in memory; raises UserError if the limit of address space is so low that DuckDB would crash."""
    import duckdb

    if (threads := _threads_that_fit()) is not None:
        config["threads"] = threads
    with duckdb.connect(config=config) as connection:
        yield connection


@cache       # later connections reuse what the first one reserved
def _threads_that_fit() -> int | None:
    """The number of threads that DuckDB may use; None if there is no limit."""
    limit = memory_limit_bytes()
    if limit is None:
        return None
    used = psutil.Process().memory_info().vms
    threads = (limit - used - BASE_BYTES) // THREAD_BYTES
    if threads < 1:
        needed = BASE_BYTES + THREAD_BYTES
        raise UserError(
            f"there is not enough memory for a query: this process is limited to {limit / 2**20:.0f} MiB of "
            f"addresses, but DuckDB needs {needed / 2**20:.0f} beside the {used / 2**20:.0f} in use; raise the limit "
            f"(ulimit -v) to {math.ceil((used + needed) / 1024)} KiB or more"
        )
    return min(threads, os.cpu_count() or 1)
