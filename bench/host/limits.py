"""What the host may lack: room, memory, a right clock. For a command that is a sentence, and no fault of ours."""

from __future__ import annotations

import contextlib
import errno
import resource
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from rigmark.bench.errors import UserError

FIRST_YEAR = 2025            # in which Rigmark began: a clock that is before it is wrong
TEMPORARY = "make room there, or name another folder in TMPDIR"
ADVICE = {
    errno.ENOSPC: "make room there, or choose another place",
    errno.EDQUOT: "make room there, or choose another place",
    errno.EFBIG: "raise the limit on the size of files (ulimit -f)",
    errno.EROFS: "choose another place",
    errno.EACCES: "choose another place, or change its permissions",
    errno.EPERM: "choose another place, or change its permissions",
    errno.EIO: "check the disk",
    errno.EMFILE: "raise the limit on open files (ulimit -n)",
    errno.ENFILE: "close other programs: the system has no more files to open",
    errno.ENOMEM: "close other programs, or raise the limit on memory (ulimit -v)",
    errno.EAGAIN: "raise the limit on processes (ulimit -u)",
}
"""What to do about an error of the system that is no fault of the program that meets it."""

NO_MEMORY = ("cannot allocate memory", "failed to map segment", "std::bad_alloc", "out of memory")
NO_THREAD = ("can't start new thread", "resource temporarily unavailable")


def shortage(error: BaseException) -> str | None:
    """A sentence on what the host lacks, where that is what an error comes from; None for every other error."""
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
    # Libraries in C say so in errors of many kinds, an ImportError among them.
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
    """Of the addresses that this process may use, as ulimit -v sets it; None where there is none."""
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    return None if limit == resource.RLIM_INFINITY else limit


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """For a file in a working folder: raises UserError where the block cannot write it."""
    try:
        yield
    except OSError as error:
        advice = ADVICE[errno.EFBIG] if error.errno == errno.EFBIG else TEMPORARY
        raise UserError(f"cannot write {path}: {error.strerror or error}; {advice}") from None


def now() -> datetime:
    """This moment, for what is kept; raises UserError where the clock is so wrong that nothing could be dated by it."""
    found = datetime.now(UTC)
    if found.year < FIRST_YEAR:
        raise UserError(
            f"the clock of this machine says {found:%Y-%m-%d}, before there was a Rigmark, and records hold when they "
            "were measured; set the clock"
        )
    return found
