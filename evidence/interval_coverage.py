"""How often the 95 % interval of bench.analysis.statistics holds the truth. Run: python evidence/interval_coverage.py

Process medians are drawn log-normal around 1, and once more with every tenth process 30 to 60 % slower, as when other
work runs beside it. There are then two truths to be held: the time on a machine left alone (1 by construction), and
the centre that endlessly many such processes would have (the pseudo-median of the mixture, which is what the
Hodges-Lehmann estimator converges to). Nothing is measured, so the table is the same on every machine.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from bench.analysis.statistics import estimate

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


def main() -> None:
    parser = argparse.ArgumentParser(description="coverage of the 95 % interval by simulation")
    parser.add_argument("--repeats", type=int, default=20_000, help="simulated results a row")
    repeats = parser.parse_args().repeats
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
