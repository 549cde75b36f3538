"""DuckDB, for queries and Parquet files: connections that fit into the memory that this process may use."""

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
"""Addresses that DuckDB 2.0 reserves at its start (581 MiB with one thread, 653 with 2, 1149 with 16), and a margin."""


@contextlib.contextmanager
def connected(**config: Any) -> Iterator[duckdb.DuckDBPyConnection]:
    """A database in memory; raises UserError where a limit leaves too few addresses, in which DuckDB would crash."""
    import duckdb

    if (threads := _threads_that_fit()) is not None:
        config["threads"] = threads
    with duckdb.connect(config=config) as connection:
        yield connection


@cache       # what the first connection of a process reserves is there for the others
def _threads_that_fit() -> int | None:
    """How many threads DuckDB may have; None where nothing limits them."""
    limit = memory_limit_bytes()
    if limit is None:
        return None
    used = psutil.Process().memory_info().vms
    threads = (limit - used - BASE_BYTES) // THREAD_BYTES
    if threads < 1:
        needed = BASE_BYTES + THREAD_BYTES
        raise UserError(
            f"there is not enough memory for a query: this process is limited to {limit / 2**20:.0f} MiB of "
            f"addresses, and DuckDB needs {needed / 2**20:.0f} beside the {used / 2**20:.0f} in use; raise the limit "
            f"(ulimit -v) to {math.ceil((used + needed) / 1024)} KiB or more"
        )
    return min(threads, os.cpu_count() or 1)
