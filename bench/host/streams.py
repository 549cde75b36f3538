"""The standard streams of the command: whatever they are connected to, it cannot end the command during its work.

A stream may be closed, full, gone, not ready, or have an old encoding. Text that cannot be written is dropped, the
command finishes its work, and ``problem`` states at the end what happened to its output.
"""

from __future__ import annotations

import codecs
import contextlib
import errno
import io
import os
import select
import sys
import unicodedata
from collections.abc import Iterator

ENCODING_ERRORS = "rigmark"
INSTEAD = {
    "█": "#", "░": ":", "▒": "+", "▚": "%", "●": "*", "❝": '"', "◇": "o", "✎": "=", "✗": "x", "✓": "v", "•": "-",
    "–": "-", "—": "-", "−": "-", "→": "->", "×": "x", "·": ".", "±": "+/-", "≤": "<=", "≥": ">=", "≈": "~", "≠": "!=",
    "°": "", "µ": "u", "μ": "u", "“": '"', "”": '"', "‘": "'", "’": "'", "─": "-", "━": "-", "│": "|", "┃": "|",
    **dict.fromkeys("┌┐└┘├┤┬┴┼╭╮╰╯┏┓┗┛┡┩╇╀", "+"),
}
"""Replacements of our own signs if an encoding lacks them; other characters lose their accents, or become "?"."""


class _Sink(io.FileIO):
    """A descriptor to which writing never fails: from the first failure on, everything is dropped."""

    lost: OSError | None = None          # the first failure; None: everything was written

    def write(self, content: memoryview | bytes) -> int:    # type: ignore[override]
        try:
            # Another program may have made the terminal that it shares with us non-blocking.
            while (written := super().write(content)) is None:
                select.select([], [self], [])
            return written
        except OSError as error:
            self.lost = error
            # So that neither the buffers when they are closed nor libraries in C fail again.
            with open(os.devnull, "wb") as nothing:
                os.dup2(nothing.fileno(), self.fileno())
            return len(content)


class Streams:
    """Standard output and error of this process, after ``guarded`` has replaced them."""

    def __init__(self) -> None:
        codecs.register_error(ENCODING_ERRORS, self._spelled)
        self._lacking = ""               # an encoding that lacked a character without replacement
        self._output = _guarded("stdout", 1)
        _guarded("stderr", 2)

    @property
    def problem(self) -> str | None:
        """A sentence about lost output; None if all was written, or if its reader went away, which is normal."""
        if self._output is None:
            return None
        with contextlib.suppress(ValueError):        # the stream was closed
            sys.stdout.flush()
        lost = self._output.lost
        if lost is None or lost.errno == errno.EPIPE:
            return None
        why = "it is closed" if lost.errno == errno.EBADF else lost.strerror
        return f"cannot write to standard output: {why}; what the command printed is incomplete"

    @property
    def note(self) -> str | None:
        """A sentence about characters that were written as "?"; None if there are none."""
        if not self._lacking:
            return None
        return f"{self._lacking} lacks some characters, which were written as ?; set PYTHONIOENCODING=utf-8 to see them"

    def _spelled(self, error: UnicodeError) -> tuple[str, int]:
        """The error handler for characters that an encoding lacks."""
        if not isinstance(error, UnicodeEncodeError):
            raise error
        spelled = [_plain(character) for character in error.object[error.start:error.end]]
        if None in spelled:
            self._lacking = error.encoding
        return "".join("?" if each is None else each for each in spelled), error.end


def is_heard() -> bool:
    """Whether anyone still reads standard output; a command that runs until Ctrl-C ends if nobody does."""
    sink = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    return not isinstance(sink, _Sink) or sink.lost is None


@contextlib.contextmanager
def guarded() -> Iterator[Streams]:
    """Replaces the standard streams of this process, within the block, by streams to which writing never fails.

    Streams that are not those of the process, as in a test, are not replaced.
    """
    before = sys.stdout, sys.stderr
    if sys.stdin is None:
        _occupy(0, os.O_WRONLY)
        sys.stdin = open(0, encoding="utf-8", closefd=False)     # noqa: SIM115
    try:
        yield Streams()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(ValueError):
                stream.flush()
        if None not in before:
            sys.stdout, sys.stderr = before


def _guarded(name: str, descriptor: int) -> _Sink | None:
    """Replaces one stream; returns its sink, or None if it is not the process's own stream."""
    stream = getattr(sys, name)
    if stream is not getattr(sys, f"__{name}__"):
        return None
    if stream is None:
        # The stream was closed when Python started. If its number stayed free, the next opened file would get it, and
        # output of libraries would end up in that file. With the wrong direction, writing fails as it did before.
        _occupy(descriptor, os.O_RDONLY)
    else:
        stream.flush()
    sink = _Sink(descriptor, "w", closefd=False)
    setattr(sys, name, io.TextIOWrapper(
        io.BufferedWriter(sink), encoding=getattr(stream, "encoding", "utf-8"), errors=ENCODING_ERRORS,
        line_buffering=name == "stderr" or getattr(stream, "line_buffering", False),
        write_through=getattr(stream, "write_through", False),
    ))
    return sink


def _occupy(descriptor: int, direction: int) -> None:
    """Opens /dev/null under this number, if the number is free."""
    try:
        os.fstat(descriptor)
    except OSError:
        opened = os.open(os.devnull, direction)
        if opened != descriptor:
            os.dup2(opened, descriptor)
            os.close(opened)


def _plain(character: str) -> str | None:
    """The replacement of a character in ASCII; None if there is none."""
    if character in INSTEAD:
        return INSTEAD[character]
    return unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode() or None
