"""A figure over time: what importers of histories make and what looks for changes in it reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class Series:
    """One figure of one case on one machine in one environment, oldest first."""

    name: str                            # of the benchmark
    case: str                            # its parameters; empty where it has none
    unit: str                            # "seconds", "images/s"; empty where it is not known
    is_higher_better: bool
    facts: Mapping[str, str]             # that hold for all points: machine, versions, ...
    values: NDArray[np.float64]
    revisions: Sequence[str]             # commit, or run, of each point
    dates_s: NDArray[np.float64]         # of each point, since 1970
    environments: Sequence[str] = ()     # of each point; empty where all have the same
    invalid_trials: int = 0              # left out of all points, see bench.analysis.validity

    @property
    def label(self) -> str:
        return f"{self.name}({self.case})" if self.case else self.name
