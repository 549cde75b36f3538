"""Ctrl-C, SIGTERM and the end of a terminal raise one exception, once.

A second Ctrl-C does not disturb the clean-up. If it comes much later, the process ends at once, in case the clean-up
hangs; no child process survives, and nothing finished is lost.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType

EXIT_CODE = 130
PATIENCE_S = 3.0             # time for the clean-up, in which further signals are ignored
RETRY_S = 0.01               # after an interrupt whose exception was swallowed
SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name)
)


class Interrupted(BaseException):
    """The user or the system wants the command to end; the message states what happened to its work, or is empty.

    It is not a KeyboardInterrupt, because libraries catch that and end in ways of their own.
    """


class Interrupts:
    """The signals that have come so far, and their handler."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, end: Callable[[int], object] = os._exit):
        self._clock, self._end = clock, end
        self._first_s: float | None = None

    @property
    def have_come(self) -> bool:
        return self._first_s is not None

    def answer(self, number: int, frame: FrameType | None) -> None:
        """Signal handler: raises Interrupted, or ends the process if the clean-up takes too long."""
        now_s = self._clock()
        if self._first_s is None:
            self._first_s = now_s
            raise Interrupted
        if number == getattr(signal, "SIGALRM", None):
            raise Interrupted        # again, because the first one was swallowed
        if now_s - self._first_s >= PATIENCE_S:
            self._end(EXIT_CODE)

    def catch(self) -> None:
        """Installs the signal handlers; signals that are ignored, for example by nohup, stay ignored."""
        for number in SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self.answer)
        if hasattr(signal, "setitimer"):
            signal.signal(signal.SIGALRM, self.answer)
        sys.unraisablehook = self._unraisable

    def _unraisable(self, unraisable: sys.UnraisableHookArgs) -> None:
        """Raises an interrupt again that Python swallowed in a destructor or in a callback from C."""
        if not isinstance(unraisable.exc_value, Interrupted):
            sys.__unraisablehook__(unraisable)
        elif hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_REAL, RETRY_S)

    def leave_to_system(self) -> None:
        """From here on a signal ends the process at once, without a message, as it should while Python shuts down."""
        for number in SIGNALS:
            if signal.getsignal(number) == self.answer:
                signal.signal(number, signal.SIG_DFL)
        if hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_REAL, 0.0)
