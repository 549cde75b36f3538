"""A timing trial: times the steps of a network."""

from __future__ import annotations

from rigmark.bench.plan.schedule import Trial
from rigmark.bench.processes.spawn import Answer
from rigmark.bench.trials.kind import Timed
from rigmark.bench.trials.kinds._steps import Steps


class Timing(Steps, Timed):
    def ask(self, trial: Trial) -> Answer:
        return self.stepped(trial)


KIND = Timing
