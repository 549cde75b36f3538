"""The progress of a sweep on a terminal: redrawn only between trials; nothing is shown without a terminal."""

from __future__ import annotations

import sys
import time
from typing import Self

from rich.console import Console

from rigmark.bench.enums import TIMED, Outcome
from rigmark.bench.host.plain import plain_line, plain_lines
from rigmark.bench.plan.schedule import Trial
from rigmark.bench.store.record import Record


def duration(seconds: float) -> str:
    """A duration in words: "4 s", "3 min 20 s", "2 h 5 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


class TerminalProgress:
    """One status line on stderr: the running trial, and about how long the rest will take.

    It is drawn when a trial starts and does not change while it runs, so that nothing disturbs the measurement.
    """

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._is_shown = sys.stderr.isatty()     # with FORCE_COLOR Rich would take a file for a terminal
        self._seconds: dict[str, list[float]] = {}
        self._started = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._clear()

    def before(self, trial: Trial, index: int, total: int) -> None:
        self._draw(self._line(trial, index, total))

    def _draw(self, line: str) -> None:
        if not self._is_shown:
            return
        self._clear()
        self._console.print(line[: self._console.width - 1], end="", markup=False, highlight=False, soft_wrap=True)
        self._started = time.monotonic()

    def after(self, trial: Trial, record: Record | None) -> None:
        if record is None:
            return
        self._seconds.setdefault(trial.kind, []).append(record.wall_time_s)
        if self._is_shown and record.outcome is not Outcome.OK:
            self._clear()
            said = plain_lines(f"{record.outcome}: {trial.label}: {record.reason}")
            self._console.print(said, markup=False, highlight=False)

    def _line(self, trial: Trial, index: int, total: int) -> str:
        return plain_line(f"[{index + 1}/{total}] {trial.label}{self._left(total - index)}")

    def _left(self, trials: int) -> str:
        """The remaining time from the mean of the trials so far; that of timing trials is not known during proofs."""
        seconds = [time_s for kind in TIMED for time_s in self._seconds.get(kind, [])]
        return f", about {duration(trials * sum(seconds) / len(seconds))} left" if seconds else ""

    def _clear(self) -> None:
        if self._is_shown:
            self._console.file.write("\r\x1b[2K")
            self._console.file.flush()


class BudgetProgress(TerminalProgress):
    """The same if the number of trials is not known, and a budget of seconds ends them."""

    def __init__(self, budget_s: float):
        super().__init__()
        self._until = time.monotonic() + budget_s

    def _line(self, trial: Trial, index: int, total: int) -> str:
        return self._with_budget(trial.label)

    def before_pair(self, label: str) -> None:
        """Before a pair of turns of something that is no trial."""
        self._draw(plain_line(self._with_budget(label)))

    def _with_budget(self, label: str) -> str:
        return f"{label}, {duration(max(0.0, self._until - time.monotonic()))} of the budget left"
