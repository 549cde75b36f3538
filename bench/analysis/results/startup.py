"""Start-up: from the start of a worker's process to the end of its first step, in phases."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from rigmark.bench.analysis.statistics.estimate import median
from rigmark.bench.document.language import tr_later

PHASES = {
    "launch_time_s": ("launched", "started"), "import_time_s": ("started", "imported"),
    "lowering_time_s": ("imported", "prepared"),
    "load_time_s": ("prepared", "loaded"), "first_step_time_s": ("loaded", "stepped"),
}
"""The marks of a worker at which each phase begins and ends, in order. What is compiled ahead is part of preparing, and
what is compiled when it first runs is part of the first step."""

START_UP = "start_up_s"      # the sum of all phases
NAMES = {
    "launch_time_s": tr_later("start of the process"), "import_time_s": tr_later("import"),
    "lowering_time_s": tr_later("lowering and compilation"), "load_time_s": tr_later("loading batches"),
    "first_step_time_s": tr_later("first step"),
}


def phases(marks: Mapping[str, float]) -> dict[str, float] | None:
    """Seconds of each phase, which add up to the time from the first mark to the last; None if a mark is missing, as in
    records of older versions."""
    if any(mark not in marks for of_phase in PHASES.values() for mark in of_phase):
        return None
    return {name: marks[end] - marks[begin] for name, (begin, end) in PHASES.items()}


def figures(of_processes: Sequence[Mapping[str, float]]) -> dict[str, float | None]:
    """The median of each phase over the marks of processes that were spawned, and of their sum; all None if one of them
    does not tell its phases."""
    told = [of_process for marks in of_processes if (of_process := phases(marks)) is not None]
    if not told or len(told) < len(of_processes):
        return dict.fromkeys((START_UP, *PHASES))
    return {
        START_UP: median([math.fsum(of_process.values()) for of_process in told]),
        **{name: median([of_process[name] for of_process in told]) for name in PHASES},
    }
