"""The expected time of trials, from stored trials of the same kind; an estimate if there is none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rigmark.bench.enums import Outcome, TrialKind
from rigmark.bench.plan.schedule import Trial
from rigmark.bench.runner.progress import duration

if TYPE_CHECKING:
    import pandas as pd

GUESSED_PROOF_S = 15.0
GUESSED_START_S = {"spawn": 4.0, "forkserver": 0.5}
GUESSED_REST_S: dict[str, float] = {TrialKind.LAYERS: 4.0}       # beside starting and timing; as in suite quick
GUESSED_OTHER_REST_S = 1.0                       # preparation, warm-up and end

SIMILAR = (("kind", "model", "framework"), ("kind", "framework"), ("kind",))
"""What two trials have in common if one says how long the other takes, the most similar first."""


@dataclass(frozen=True, kw_only=True)
class Expected:
    """The time that some trials may take."""

    trials: int
    guessed: int                 # number of trials of which none of the same kind, network and framework is stored
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
    known = [{} if stored is None or stored.empty else _medians(stored, columns) for columns in SIMILAR]
    each_s = [
        [known_s.get(_key(trial, columns)) for known_s, columns in zip(known, SIMILAR, strict=True)] for trial in trials
    ]
    return Expected(
        trials=len(trials), guessed=sum(times_s[0] is None for times_s in each_s),
        seconds=sum(
            next((time_s for time_s in times_s if time_s is not None), guess_s(trial))
            for trial, times_s in zip(trials, each_s, strict=True)
        ),
    )


def _medians(stored: pd.DataFrame, columns: Sequence[str]) -> dict[tuple[Any, ...], float]:
    """The usual seconds of stored trials by these columns."""
    ended = stored[stored.outcome == Outcome.OK]
    each_s = ended.groupby(list(columns)).wall_time_s.median()
    keys = (key if isinstance(key, tuple) else (key,) for key in each_s.index)       # pandas has no tuples of one
    return dict(zip(keys, map(float, each_s), strict=True))


def _key(trial: Trial, columns: Sequence[str]) -> tuple[Any, ...]:
    of = {"kind": trial.kind, "model": trial.case.model, "framework": trial.case.framework}
    return tuple(str(of[name]) for name in columns)


def guess_s(trial: Trial) -> float:
    """The estimated seconds of a trial of which only the timing is known."""
    if trial.timing is None:
        return GUESSED_PROOF_S
    rest_s = GUESSED_REST_S.get(trial.kind, GUESSED_OTHER_REST_S)
    return GUESSED_START_S[trial.timing.start_method] + trial.timing.min_time_s + rest_s
