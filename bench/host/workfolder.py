"""Working folders: each belongs to the process that created it and is removed with it, even if the process is killed.

A lock in the folder shows that its process is alive. A process id would not: another container or another node of a
cluster that sees the same folder has other process ids. The kernel releases a lock when its process ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from rigmark.bench.errors import UserError
from rigmark.bench.host.limits import TEMPORARY

PREFIX = "rigmark-"
LOCK = "in-use"
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@contextlib.contextmanager
def working_folder() -> Iterator[Path]:
    """A new folder for the block; folders that killed processes of this machine left behind are removed first.

    Raises UserError if the folder cannot be created.
    """
    try:
        _sweep(Path(tempfile.gettempdir()))
        folder = tempfile.TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True)
    except OSError as error:
        raise UserError(f"cannot create a folder for temporary files: {error.strerror}; {TEMPORARY}") from None
    # The lock is removed last.
    with contextlib.ExitStack() as held, folder as name:
        if (lock := _locked(Path(name))) is not None:
            held.enter_context(lock)
        yield Path(name)


def _locked(folder: Path) -> IO[str] | None:
    """The lock of a folder, held until it is closed; None if the file system has no locks: then nobody removes it."""
    # It gets its name only when it is held; a sweep that found it earlier would take the process for dead.
    unnamed = folder / f".{LOCK}"
    lock = open(unnamed, "w", encoding="ascii")      # noqa: SIM115
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        lock.write(_boot())
        lock.flush()
        unnamed.rename(folder / LOCK)
    except OSError:
        lock.close()
        return None
    return lock


def _sweep(parent: Path) -> None:
    """Removes the folders whose processes have ended.

    Folders of another boot are left alone, since a lock may not be visible from one machine to another.
    """
    for path in parent.glob(f"{PREFIX}*/{LOCK}"):
        with contextlib.suppress(OSError):           # its process is alive, or another sweep was faster
            if path.parent.lstat().st_uid != os.getuid():
                continue
            with open(path, "r+", encoding="ascii", errors="replace") as lock:
                if lock.read(len(_boot()) + 1) == _boot():
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(path.parent, ignore_errors=True)


def _boot() -> str:
    """An id of the current boot of the kernel; empty if the system does not state one."""
    try:
        return BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return ""
