"""What a host lacks is a sentence, whoever meets it: memory, room, limits, a right clock; and finished records stay."""

from __future__ import annotations

import errno
import io
import os
import resource
import subprocess
import tempfile
import time
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rigmark.bench.builds import worker_package
from rigmark.bench.errors import UserError
from rigmark.bench.host import database, npz
from rigmark.bench.host import limits as host
from rigmark.bench.host.workfolder import working_folder
from rigmark.bench.store.store import Store
from tests.fakes import RIGMARK, Answering, measure
from tests.test_faults import SWEEP

MIB = 2**20


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (MemoryError(), "there is not enough memory; close other programs, or raise the limit on memory (ulimit -v)"),
        (ImportError("libx.so: failed to map segment from shared object"), "there is not enough memory"),
        (OSError(errno.ENOSPC, "No space left on device", "/x/y"), "No space left on device (/x/y); free some"),
        (OSError(errno.EFBIG, "File too large"), "File too large; raise the limit on the size of files (ulimit -f)"),
        (OSError(errno.EROFS, "Read-only file system", "/x"), "Read-only file system (/x); choose another place"),
        (RuntimeError("can't start new thread"), "the system starts no more threads; raise the limit on processes"),
        (BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"), "raise the limit on processes (ulimit -u)"),
    ],
    ids=repr,
)
def test_what_the_host_lacks_is_reported_also_where_a_library_wraps_it(error: Exception, sentence: str):
    try:
        try:
            raise error
        except Exception as inner:
            raise ValueError("of a library") from inner
    except ValueError as wrapped:
        outer = wrapped

    assert sentence in str(host.shortage(error))
    assert sentence in str(host.shortage(outer))


@pytest.mark.parametrize("error", [ValueError("x"), FileNotFoundError(errno.ENOENT, "No such file"), KeyError("disk")])
def test_a_fault_of_ours_is_not_put_down_to_the_host(error: Exception):
    assert host.shortage(error) is None


# Memory ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limit_mib", "threads"), [(None, None), (1000, 1), (1040, 2), (10_000, 2)],
)
def test_duckdb_has_no_more_threads_than_fit(
    monkeypatch: pytest.MonkeyPatch, limit_mib: int | None, threads: int | None
):
    limited(monkeypatch, limit_mib)

    assert threads == database._threads_that_fit.__wrapped__()


def test_a_limit_in_which_duckdb_would_crash_is_a_sentence(monkeypatch: pytest.MonkeyPatch):
    limited(monkeypatch, 700)

    with pytest.raises(UserError, match=r"limited to 700 MiB of addresses, but DuckDB needs 680 beside the 300 in use; "
                                        r"raise the limit \(ulimit -v\) to 1003520 KiB"):
        database._threads_that_fit.__wrapped__()


def limited(monkeypatch: pytest.MonkeyPatch, limit_mib: int | None) -> None:
    """A process that uses 300 MiB of addresses, on two cores."""
    class Process:
        def memory_info(self) -> Any:
            return type("Memory", (), {"vms": 300 * MIB})

    monkeypatch.setattr(database, "memory_limit_bytes", lambda: None if limit_mib is None else limit_mib * MIB)
    monkeypatch.setattr(database.psutil, "Process", Process)
    monkeypatch.setattr(database.os, "cpu_count", lambda: 2)


def test_too_little_memory_is_no_crash_and_no_fault_of_ours(tmp_path: Path):
    measure(tmp_path, launcher=Answering())

    ended = limited_command("results", "--where", "true", cwd=tmp_path, limit=resource.RLIMIT_AS, most=700 * MIB)

    assert 2 == ended.returncode
    assert "rigmark: there is not enough memory" in ended.stderr
    assert "Traceback" not in ended.stderr


def limited_command(*arguments: str, cwd: Path, limit: int, most: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [RIGMARK, *arguments], cwd=cwd, capture_output=True, text=True, check=False, timeout=60,
        preexec_fn=lambda: resource.setrlimit(limit, (most, most)),      # before it starts, as a shell has it
    )


# Room -----------------------------------------------------------------------------------------------------------------


def test_a_limit_on_the_size_of_files_is_reported_while_inputs_are_written(tmp_path: Path):
    ended = limited_command(*SWEEP, cwd=tmp_path, limit=resource.RLIMIT_FSIZE, most=20_000)

    assert 2 == ended.returncode
    assert "File too large; raise the limit on the size of files (ulimit -f)\n" in ended.stderr
    assert ended.stderr.startswith("rigmark: cannot write ")


def test_where_no_temporary_folder_can_be_made_another_one_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))

    with pytest.raises(UserError, match=r"cannot create a folder for temporary files: No such file.* TMPDIR"), \
            working_folder():
        pass


def test_a_full_temporary_folder_ends_a_sweep_in_a_sentence_and_keeps_its_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    honest = npz.write

    def write(file: Any, arrays: Any) -> None:
        if "/synthetic-" in str(file):   # of timed steps: the proof before them is stored
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        honest(file, arrays)

    monkeypatch.setattr(npz, "write", write)

    with pytest.raises(UserError, match=r"cannot write .*/synthetic-.*: No space left on device; free some .* TMPDIR"):
        measure(tmp_path, launcher=Answering())
    assert ["proof"] == list(Store(tmp_path / "results").trials().table.kind)


# The clock ------------------------------------------------------------------------------------------------------------


class Before(datetime):
    """A clock without a battery."""

    @classmethod
    def now(cls, tz: Any = None) -> datetime:
        return datetime(1970, 1, 2, tzinfo=tz)


def test_a_clock_that_is_wrong_beyond_doubt_dates_nothing(monkeypatch: pytest.MonkeyPatch):
    assert host.now() <= datetime.now(UTC)

    monkeypatch.setattr(host, "datetime", Before)

    with pytest.raises(UserError, match=r"the clock of this machine says 1970-01-02, .*; set the clock"):
        host.now()


def test_a_clock_that_is_set_back_in_the_middle_of_a_sweep_costs_no_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    put = Store.put

    def put_and_turn_back(store: Store, record: Any, **options: Any) -> None:
        put(store, record, **options)
        monkeypatch.setattr(host, "datetime", Before)

    monkeypatch.setattr(Store, "put", put_and_turn_back)

    with pytest.raises(UserError, match="set the clock"):
        measure(tmp_path, launcher=Answering())
    assert ["proof"] == list(Store(tmp_path / "results").trials().table.kind)


def test_files_of_a_sweep_need_no_clock_and_hold_the_same_bytes_always(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    arrays = {"x": np.arange(6.0).reshape(2, 3), "loss": np.float64(0.5), "n": np.array(3)}
    now, then = io.BytesIO(), io.BytesIO()
    npz.write(now, arrays)
    monkeypatch.setattr(time, "localtime", lambda *_: time.gmtime(86_400))   # no archive holds 1970

    npz.write(then, arrays)
    package = worker_package.write(tmp_path)

    assert now.getvalue() == then.getvalue()
    with np.load(io.BytesIO(then.getvalue())) as read:
        assert all(np.array_equal(read[name], array) for name, array in arrays.items())
        assert list(arrays) == read.files
    assert zipfile.ZipFile(package).testzip() is None
