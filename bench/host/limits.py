"""Shortages of the host: disk space, memory, a correct clock. A command reports them in a sentence, not as its bug."""

from __future__ import annotations

import contextlib
import errno
import resource
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from rigmark.bench.errors import UserError

FIRST_YEAR = 2025            # of the first Rigmark: an earlier clock is wrong
TEMPORARY = "free some space there, or name another folder in TMPDIR"
ADVICE = {
    errno.ENOSPC: "free some space there, or choose another place",
    errno.EDQUOT: "free some space there, or choose another place",
    errno.EFBIG: "raise the limit on the size of files (ulimit -f)",
    errno.EROFS: "choose another place",
    errno.EACCES: "choose another place, or change its permissions",
    errno.EPERM: "choose another place, or change its permissions",
    errno.EIO: "check the disk",
    errno.EMFILE: "raise the limit on open files (ulimit -n)",
    errno.ENFILE: "close other programs: the system has reached its limit on open files",
    errno.ENOMEM: "close other programs, or raise the limit on memory (ulimit -v)",
    errno.EAGAIN: "raise the limit on processes (ulimit -u)",
}
"""What to do about an error of the system that is not a bug of the program."""

NO_MEMORY = ("cannot allocate memory", "failed to map segment", "std::bad_alloc", "out of memory")
NO_THREAD = ("can't start new thread", "resource temporarily unavailable")


def shortage(error: BaseException) -> str | None:
    """A sentence about what the host lacks, if that caused the error; None for every other error."""
    seen: set[int] = set()
    each: BaseException | None = error
    while each is not None and id(each) not in seen:
        seen.add(id(each))
        if (sentence := _shortage(each)) is not None:
            return sentence
        each = each.__cause__ or each.__context__
    return None


def _shortage(error: BaseException) -> str | None:
    text = str(error).lower()
    # Libraries in C report a shortage in errors of many kinds, even as an ImportError.
    if isinstance(error, MemoryError) or any(words in text for words in NO_MEMORY):
        return f"there is not enough memory{_limit()}; {ADVICE[errno.ENOMEM]}"
    if isinstance(error, RuntimeError) and any(words in text for words in NO_THREAD):
        return f"the system starts no more threads; {ADVICE[errno.EAGAIN]}"
    if isinstance(error, OSError) and error.errno in ADVICE:
        place = "" if error.filename is None else f" ({error.filename})"
        return f"the system refuses: {error.strerror}{place}; {ADVICE[error.errno]}"
    if "no space left on device" in text:
        return f"{str(error).splitlines()[0]}; {ADVICE[errno.ENOSPC]}"
    return None


def _limit() -> str:
    limit = memory_limit_bytes()
    return "" if limit is None else f" (this process is limited to {limit / 2**20:.0f} MiB of addresses)"


def memory_limit_bytes() -> int | None:
    """The limit on the address space of this process in bytes (ulimit -v); None without a limit."""
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    return None if limit == resource.RLIM_INFINITY else limit


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """A context for writing a file in a working folder; raises UserError if that fails."""
    try:
        yield
    except OSError as error:
        advice = ADVICE[errno.EFBIG] if error.errno == errno.EFBIG else TEMPORARY
        raise UserError(f"cannot write {path}: {error.strerror or error}; {advice}") from None


def now() -> datetime:
    """The current time, for records; raises UserError if the clock is obviously wrong."""
    time = datetime.now(UTC)
    if time.year < FIRST_YEAR:
        raise UserError(
            f"the clock of this machine says {time:%Y-%m-%d}, which is before the first Rigmark, but records state "
            "when they were measured; set the clock"
        )
    return time
