"""The standard streams of the command, so that whatever they are connected to cannot end it in the middle of its work.

A stream may be closed, full, gone, not ready or of an old encoding. Text that cannot be written is dropped, the command
does its work, and ``problem`` says at the end what became of its output.
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
"""What stands for our own signs where an encoding lacks them; other characters lose their accents, or become "?"."""


class _Sink(io.FileIO):
    """A descriptor that takes everything: what cannot be written is dropped, from the first failure on."""

    lost: OSError | None = None          # the first failure; None: everything was written

    def write(self, content: memoryview | bytes) -> int:    # type: ignore[override]
        try:
            # Another program may have made the terminal that it shares with us non-blocking.
            while (written := super().write(content)) is None:
                select.select([], [self], [])
            return written
        except OSError as error:
            self.lost = error
            # So that neither the buffers, at their end, nor libraries in C meet the failure again.
            with open(os.devnull, "wb") as nothing:
                os.dup2(nothing.fileno(), self.fileno())
            return len(content)


class Streams:
    """Standard output and error of this process, after ``guarded`` has replaced them."""

    def __init__(self) -> None:
        codecs.register_error(ENCODING_ERRORS, self._spelled)
        self._lacking = ""               # an encoding that lacked a character for which there is no other spelling
        self._output = _guarded("stdout", 1)
        _guarded("stderr", 2)

    @property
    def problem(self) -> str | None:
        """A sentence on output that was lost; None where all was written, or its reader went away, as it may."""
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
        """A sentence on characters that stand as "?"; None where there are none."""
        if not self._lacking:
            return None
        return f"{self._lacking} has not all characters of the output, which stand as ?; PYTHONIOENCODING=utf-8 has all"

    def _spelled(self, error: UnicodeError) -> tuple[str, int]:
        """The error handler for what an encoding does not have."""
        if not isinstance(error, UnicodeEncodeError):
            raise error
        spelled = [_plain(character) for character in error.object[error.start:error.end]]
        if None in spelled:
            self._lacking = error.encoding
        return "".join("?" if each is None else each for each in spelled), error.end


def is_heard() -> bool:
    """Whether standard output still goes anywhere; a command without an end of its own ends where it does not."""
    sink = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    return not isinstance(sink, _Sink) or sink.lost is None


@contextlib.contextmanager
def guarded() -> Iterator[Streams]:
    """Replace the standard streams of this process by such as take everything, for as long as the block runs.

    Streams that are not those of the process, as in a test, stay as they are.
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
    """Replace one stream; gives its sink, or None where the stream is not the process's own."""
    stream = getattr(sys, name)
    if stream is not getattr(sys, f"__{name}__"):
        return None
    if stream is None:
        # It was closed when Python started. Left free, the number would be that of the next file that is opened, and
        # prints of libraries would end up in it. The wrong direction makes that writing fails, as it did before.
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
    """Have the number lead to nowhere, where it leads to nothing."""
    try:
        os.fstat(descriptor)
    except OSError:
        opened = os.open(os.devnull, direction)
        if opened != descriptor:
            os.dup2(opened, descriptor)
            os.close(opened)


def _plain(character: str) -> str | None:
    """One character in ASCII; None where there is nothing that stands for it."""
    if character in INSTEAD:
        return INSTEAD[character]
    return unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode() or None
