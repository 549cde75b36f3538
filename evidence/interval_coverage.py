"""How often the 95 % interval of bench.analysis.statistics.estimate contains the true value.

Run: python evidence/interval_coverage.py

    rigmark run --model mlp --framework numpy --sessions 20 --repetitions 6 --results repeated
    python evidence/interval_coverage.py --results repeated

With results, it uses real sessions: how often the interval of one contains the estimate from all the others. That is
less than 95 % if the machine changes between sessions, which an interval from a single session cannot include.

Without results, nothing is measured: process medians are drawn log-normal around 1, and once more with every tenth
process 30 to 60 % slower, as with other work on the machine. There are then two true values: the time on a machine
without other work (1 by construction), and the centre of infinitely many such processes (the pseudo-median of the
mixture, which is what the Hodges-Lehmann estimator converges to). The table is the same on every machine.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from rigmark.bench.analysis.results.summary import step_times
from rigmark.bench.analysis.statistics.estimate import estimate
from rigmark.bench.enums import Outcome, TrialKind
from rigmark.bench.store.store import existing

COUNTS = (6, 10, 20)         # processes
SPREAD = 0.03                # of the log of a process median, as on a machine that is not quite idle
SLOW_SHARE = 0.10
SLOWER = (1.3, 1.6)

Draw = Callable[[Generator, int], NDArray[np.float64]]


def log_normal(rng: Generator, count: int) -> NDArray[np.float64]:
    return rng.lognormal(0, SPREAD, count)


def with_slow_ones(rng: Generator, count: int) -> NDArray[np.float64]:
    is_slow = rng.random(count) < SLOW_SHARE
    return log_normal(rng, count) * np.where(is_slow, rng.uniform(*SLOWER, count), 1.0)


def pseudo_median(draw: Draw, rng: Generator) -> float:
    """Median of the geometric mean of two independent values, from a million pairs."""
    first, second = draw(rng, 1_000_000), draw(rng, 1_000_000)
    return float(np.median(np.sqrt(first * second)))


def coverage(draw: Draw, count: int, repeats: int, truths: tuple[float, ...]) -> tuple[list[float], float]:
    """(share of intervals that hold each truth, median of upper end / lower end)."""
    rng = np.random.default_rng(count)
    intervals = [estimate(draw(rng, count).tolist()) for _ in range(repeats)]
    low = np.array([interval.low for interval in intervals], float)
    high = np.array([interval.high for interval in intervals], float)
    return [float(np.mean((low <= truth) & (truth <= high))) for truth in truths], float(np.median(high / low))


def of_sessions(folder: Path) -> None:
    """A line for each stored case that several sessions have timed."""
    trials = existing(folder).trials().table
    trials = trials[(trials.kind == TrialKind.TIMING) & (trials.outcome == Outcome.OK)]
    print(f"{'case':<50} {'sessions':>8} {'n':>3} {'hold the others':>15} {'width':>7} {'range of sessions':>17}")
    for case, alike in trials.groupby(["framework", "model", "mode", "local_batch"]):
        runs = [
            step_times(session.timings_s, int(session.steps_per_timing.iloc[0]))
            for _, session in alike.groupby("session")
        ]
        if len(runs) < 2:
            continue
        estimates = [estimate(times_s) for times_s in runs]
        held = []
        for number, one in enumerate(estimates):
            others = estimate([s for other, times_s in enumerate(runs) if other != number for s in times_s]).value
            held.append(one.low is not None and one.high is not None and one.low <= others <= one.high)
        widths = [one.high / one.low for one in estimates if one.low and one.high]
        values = [one.value for one in estimates]
        name = " ".join(map(str, case))
        print(f"{name:<50} {len(runs):>8} {min(map(len, runs)):>3} {np.mean(held):>15.0%} "
              f"{np.median(widths) - 1:>7.1%} {max(values) / min(values) - 1:>17.1%}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=20_000, help="simulated results a row")
    parser.add_argument("--results", type=Path, help="folder with several sessions of the same cases")
    options = parser.parse_args()
    if options.results is not None:
        of_sessions(options.results)
        return
    repeats = options.repeats
    error = 1.96 * math.sqrt(0.95 * 0.05 / repeats)
    print(f"{repeats} simulated results a row; a coverage is uncertain by about {100 * error:.1f} points\n")
    print(f"{'process medians':<46} {'n':>3} {'undisturbed time':>17} {'their centre':>13} {'width':>7}")
    for name, draw in (
        (f"log-normal, spread {SPREAD:.0%}", log_normal),
        (f"the same, {SLOW_SHARE:.0%} of them 30 to 60 % slower", with_slow_ones),
    ):
        centre = pseudo_median(draw, np.random.default_rng(0))
        for count in COUNTS:
            (undisturbed, of_centre), width = coverage(draw, count, repeats, (1.0, centre))
            print(f"{name:<46} {count:>3} {undisturbed:>16.1%} {of_centre:>13.1%} {width - 1:>7.1%}")


if __name__ == "__main__":
    main()
