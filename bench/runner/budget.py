"""Which repetitions fit into a budget of time."""

from __future__ import annotations

import time

from rigmark.bench.plan.schedule import Trial


class Budget:
    """Lets a repetition begin only if one as long as the one before it still fits.

    So a sweep ends with whole repetitions, and results that are compared have the same number of trials. What is
    measured once (proofs, layers) is never left out, nor is the first repetition. ``seconds`` None: all fit.
    """

    def __init__(self, seconds: float | None) -> None:
        self._seconds = seconds
        self._started = self._began = time.monotonic()
        self._repetition: int | None = None          # that runs now; None: none has begun
        self._is_over = False

    def fits(self, trial: Trial) -> bool:
        """Whether this trial may start; repetitions come in the order of their numbers."""
        if not trial.is_repeated or trial.repetition == self._repetition:
            return True
        now = time.monotonic()
        if self._repetition is not None and self._seconds is not None:
            self._is_over |= now - self._started + now - self._began > self._seconds
        if not self._is_over:
            self._repetition, self._began = trial.repetition, now
        return not self._is_over
