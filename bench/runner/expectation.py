"""The expected time of trials, from stored trials of the same kind; an estimate if there is none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rigmark.bench.plan.schedule import Trial
from rigmark.bench.runner.progress import duration

if TYPE_CHECKING:
    import pandas as pd

GUESSED_PROOF_S = 15.0
GUESSED_START_S = {"spawn": 4.0, "forkserver": 0.5}
GUESSED_REST_S = 1.0         # of a timed trial: preparation, warm-up and end


@dataclass(frozen=True, kw_only=True)
class Expected:
    """The time that some trials may take."""

    trials: int
    guessed: int                 # number of trials without a similar stored one
    seconds: float

    @property
    def words(self) -> str:
        """The expectation in words: "96 trials, about 3 min 20 s (12 of them estimated)"."""
        basis = "from earlier trials" if not self.guessed else (
            "estimated" if self.guessed == self.trials else f"{self.guessed} of them estimated"
        )
        return f"{self.trials:,} trial{'s' * (self.trials != 1)}, about {duration(self.seconds)} ({basis})"


def expected(trials: Sequence[Trial], stored: pd.DataFrame | None = None) -> Expected:
    """The expected time of these trials together; ``stored`` is the table of stored trials."""
    known = {} if stored is None or stored.empty else (
        stored[stored.outcome == "ok"].groupby(["kind", "model", "framework"]).wall_time_s.median().to_dict()
    )
    each_s = [known.get((trial.kind, trial.case.model, trial.case.framework)) for trial in trials]
    return Expected(
        trials=len(trials), guessed=sum(time_s is None for time_s in each_s),
        seconds=sum(guess_s(trial) if time_s is None else time_s for trial, time_s in zip(trials, each_s, strict=True)),
    )


def guess_s(trial: Trial) -> float:
    """The estimated seconds of a trial of which only the timing is known."""
    if trial.timing is None:
        return GUESSED_PROOF_S
    return GUESSED_START_S[trial.timing.start_method] + trial.timing.min_time_s + GUESSED_REST_S
