"""Claim: outside the framework a timed step costs the harness at most 20 microseconds.

Times a network whose step and synchronisation do nothing, with the real measuring loop, so that all time is that of the
loop: its clock readings, its lists and its stop rules. The whole loop is timed from outside, so that the time between
two timings is included.

Run: .venv/bin/python evidence/harness_overhead.py
Prints microseconds per step, and ends with exit code 1 if the median is above 20.
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from rigmark.bench.worker import measure
from rigmark.bench.worker.frameworks import Prepared

LIMIT_S = 20e-6
STEPS, REPEATS = 20_000, 15


class Nothing(Prepared):
    """A network without layers."""

    def step(self) -> None:
        pass

    def synchronize(self) -> None:
        pass


def overhead_s(steps_per_timing: int) -> float:
    """Seconds per step of the whole measuring loop."""
    timings = STEPS // steps_per_timing
    plan = {"steps_per_timing": steps_per_timing, "min_timings": timings, "min_time_s": 0.0, "max_time_s": 60.0}
    start = time.perf_counter()
    result = measure.timed(Nothing(), plan)
    seconds = time.perf_counter() - start
    assert timings == len(result["timings_s"])
    return seconds / STEPS


def inside_s() -> float:
    """Median of the timings of nothing: the part of the overhead that goes into a reported step time."""
    plan = {"steps_per_timing": 1, "min_timings": STEPS, "min_time_s": 0.0, "max_time_s": 60.0}
    return statistics.median(measure.timed(Nothing(), plan)["timings_s"])


def main() -> int:
    worst_s = 0.0
    for steps_per_timing in (1, 10, 100):
        found_s = sorted(overhead_s(steps_per_timing) for _ in range(REPEATS))
        median_s = statistics.median(found_s)
        worst_s = max(worst_s, median_s)
        print(
            f"{steps_per_timing:3} steps per timing: {median_s * 1e6:.2f} us per step "
            f"({found_s[0] * 1e6:.2f} to {found_s[-1] * 1e6:.2f}, {REPEATS} repeats of {STEPS} steps)"
        )
    print(f"of it inside a reported timing: {inside_s() * 1e6:.2f} us (claim: all below {LIMIT_S * 1e6:.0f} us)")
    return 0 if worst_s <= LIMIT_S else 1


if __name__ == "__main__":
    sys.exit(main())
