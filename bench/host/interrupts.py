"""Ctrl-C, SIGTERM and the end of a terminal: one exception for all of them, once.

Cleaning up is undisturbed by a second Ctrl-C. One that comes much later ends the process at once, in case the clean-up
hangs; no child outlives it and nothing finished is lost.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType

EXIT_CODE = 130
PATIENCE_S = 3.0             # for which cleaning up is left alone
RETRY_S = 0.01               # after an interrupt that fell into a place that swallows exceptions
SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name)
)


class Interrupted(BaseException):
    """The user or the system wants the command to end; the message says what became of its work, and may be empty.

    No KeyboardInterrupt, which libraries catch to end in ways of their own.
    """


class Interrupts:
    """What has come so far."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, end: Callable[[int], object] = os._exit):
        self._clock, self._end = clock, end
        self._first_s: float | None = None

    @property
    def have_come(self) -> bool:
        return self._first_s is not None

    def answer(self, number: int, frame: FrameType | None) -> None:
        """The handler of the signals."""
        now_s = self._clock()
        if self._first_s is None:
            self._first_s = now_s
            raise Interrupted
        if number == getattr(signal, "SIGALRM", None):
            raise Interrupted        # again: the first was swallowed
        if now_s - self._first_s >= PATIENCE_S:
            self._end(EXIT_CODE)

    def catch(self) -> None:
        """Have the signals of this process answered; one that is ignored, as nohup has it, stays so."""
        for number in SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self.answer)
        if hasattr(signal, "setitimer"):
            signal.signal(signal.SIGALRM, self.answer)
        sys.unraisablehook = self._unraisable

    def _unraisable(self, unraisable: sys.UnraisableHookArgs) -> None:
        """Python swallows what is raised in a destructor or in a callback from C: then it is raised again elsewhere."""
        if not isinstance(unraisable.exc_value, Interrupted):
            sys.__unraisablehook__(unraisable)
        elif hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_REAL, RETRY_S)

    def leave_to_system(self) -> None:
        """From here on a signal ends the process at once and without a word, as it does while Python shuts down."""
        for number in SIGNALS:
            if signal.getsignal(number) == self.answer:
                signal.signal(number, signal.SIG_DFL)
        if hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_REAL, 0.0)
