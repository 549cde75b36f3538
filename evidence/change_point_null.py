"""Simulates the null hypothesis of bench.analysis.statistics.changepoints and prints its table.

Run: python -m evidence.change_point_null

For each length of series, the largest rank CUSUM over all intervals of independent noise, and its upper quantiles.
"""

from __future__ import annotations

import argparse

import numpy as np

from rigmark.bench.analysis.statistics.changepoints import cusum, intervals, ranks_of

LENGTHS = (12, 14, 17, 20, 28, 40, 57, 80, 113, 160, 226, 320, 453, 640, 800)
TAILS = (0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001)
ROWS = 1000


def maxima(length: int, repeats: int) -> np.ndarray:
    rng = np.random.default_rng(length)
    largest = []
    for first in range(0, repeats, ROWS):
        noise = rng.random((min(ROWS, repeats - first), length))
        best = np.zeros(len(noise))
        for size, starts in intervals(length):
            for start in starts:
                best = np.maximum(best, cusum(ranks_of(noise[:, start:start + size])).max(axis=1))
        largest.append(best)
    return np.concatenate(largest)


def upper_quantiles(statistics: np.ndarray) -> list[float]:
    """The smallest value that is reached or exceeded with at most each chance; few values occur in short series."""
    values, counts = np.unique(statistics, return_counts=True)
    chances = np.cumsum(counts[::-1])[::-1] / len(statistics)
    quantiles = []
    for tail in TAILS:
        place = int(np.searchsorted(-chances, -tail))
        # Where no value is so rare, one that none reaches, as far out as a normal tail has it.
        beyond = np.sqrt(values[-1] ** 2 + 2 * np.log(chances[-1] / tail)) if place == len(values) else values[place]
        # Cut off, not rounded, so that the value itself is not below its own entry.
        quantiles.append(float(np.floor(1e4 * beyond) / 1e4))
    return quantiles


def main() -> None:
    parser = argparse.ArgumentParser(description="null of the largest rank CUSUM by simulation")
    parser.add_argument("--repeats", type=int, default=20_000, help="simulated series of each length")
    repeats = parser.parse_args().repeats
    print('"""Upper quantiles of the largest statistic of series without a change, '
          f'from {repeats:,} simulated series of each length.\n\nMade by evidence/change_point_null.py.\n"""\n')
    print(f"LENGTHS = {LENGTHS}\nTAILS = {TAILS}\nMAXIMA = (")
    for length in LENGTHS:
        quantiles = upper_quantiles(maxima(length, repeats))
        print(f"    ({', '.join(f'{quantile:.4f}' for quantile in quantiles)}),", flush=True)
    print(")")


if __name__ == "__main__":
    main()
