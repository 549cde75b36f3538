"""DuckDB, which reads many records at once: connections that fit into the memory that this process may use."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import psutil

from rigmark.bench.errors import UserError
from rigmark.bench.host import memory_limit_bytes

if TYPE_CHECKING:
    import duckdb

BASE_BYTES, THREAD_BYTES = 640 << 20, 40 << 20
"""Addresses that DuckDB 2.0 reserves at its start (581 MiB with one thread, 653 with 2, 1149 with 16), and a margin."""


@contextlib.contextmanager
def connected(**config: Any) -> Iterator[duckdb.DuckDBPyConnection]:
    """A database in memory; raises UserError where a limit leaves too few addresses, in which DuckDB would crash."""
    import duckdb

    limit = memory_limit_bytes()
    if limit is not None:
        free = limit - psutil.Process().memory_info().vms
        threads = (free - BASE_BYTES) // THREAD_BYTES
        if threads < 1:
            raise UserError(
                f"there is not enough memory to read records: this process is limited to {limit / 2**20:.0f} MiB of "
                f"addresses, and DuckDB needs {(BASE_BYTES + THREAD_BYTES) / 2**20:.0f} beside those in use; raise the "
                f"limit (ulimit -v) to {(limit - free + BASE_BYTES + THREAD_BYTES + 1023) // 1024} or more"
            )
        config["threads"] = min(threads, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1)
    with duckdb.connect(config=config) as connection:
        yield connection
