"""Working folders: each belongs to the process that made it and goes with it, also where that process is killed.

A lock in the folder says that its maker lives. Its process number would not: another container that sees the same
folder has other numbers, and another node of a cluster too. The kernel gives a lock up when its process ends.
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
    """A new folder for the block; those that killed processes of this machine left behind are removed first.

    Raises UserError where none can be made.
    """
    try:
        _sweep(Path(tempfile.gettempdir()))
        folder = tempfile.TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True)
    except OSError as error:
        raise UserError(f"cannot make a folder for temporary files: {error.strerror}; {TEMPORARY}") from None
    # The lock is the last to go.
    with contextlib.ExitStack() as held, folder as name:
        if (lock := _locked(Path(name))) is not None:
            held.enter_context(lock)
        yield Path(name)


def _locked(folder: Path) -> IO[str] | None:
    """The lock of a folder, held until it is closed; None where the file system has none: then nobody removes it."""
    # It gets its name when it is held: a sweep that met it before would take its maker for dead.
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
    """Remove the folders whose makers have ended.

    Those of another start of the kernel are left alone, since a lock may not be seen from one machine to another.
    """
    for path in parent.glob(f"{PREFIX}*/{LOCK}"):
        with contextlib.suppress(OSError):           # its maker lives, or another sweep was quicker
            if path.parent.lstat().st_uid != os.getuid():
                continue
            with open(path, "r+", encoding="ascii", errors="replace") as lock:
                if lock.read(len(_boot()) + 1) == _boot():
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(path.parent, ignore_errors=True)


def _boot() -> str:
    """By which one start of the kernel is told from another; empty where the system does not say."""
    try:
        return BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return ""
