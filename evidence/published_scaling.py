"""Claim: a fit to all but the largest size of a published scaling table predicts that size to within 10 %.

    .venv/bin/python evidence/published_scaling.py TABLE.csv

TABLE has the columns platform, gpu, data, network, batch_per_gpu, gpus and images_per_s, as taken from TensorFlow's
page "High-performance benchmarks" of May 2017. Only sizes that are twice the one before are predicted, from three or
more. Prints each series with the predicted and the measured throughput, the serial share, and the parts of a step;
ends with exit code 1 if the median error is above 10 %.
"""

from __future__ import annotations

import statistics
import sys
from pathlib import Path

import pandas as pd

sys.path.insert(0, str(Path(__file__).parent.parent))

from rigmark.bench.analysis.scaling import SAME_COLUMNS, Series, series
from rigmark.bench.enums import Scaling

MOST_ERROR = 0.10


def fitted(table: pd.DataFrame) -> Series:
    """The weak series of rows of one platform, data and network."""
    rows = [
        {
            **dict.fromkeys(SAME_COLUMNS), "origin": "quoted", "model": row.network, "data": row.data,
            "world_size": row.gpus, "local_batch": row.batch_per_gpu, "throughput_samples_per_s": row.images_per_s,
        }
        for row in table.itertuples()
    ]
    return series(Scaling.WEAK, "tf.distribute", rows, [{}] * len(rows))


def main() -> int:
    table = pd.read_csv(sys.argv[1]).sort_values("gpus", kind="stable")
    errors = []
    print(f"{'series':<46} {'gpus':>5} {'measured':>9} {'predicted':>9} {'error':>6} {'serial':>7}  "
          "computing, sending, sharing (ms)")
    for names, own in table.groupby(["platform", "data", "network"], sort=True):
        fit = fitted(own[:-1])
        largest = own.iloc[-1]
        if fit.prediction is None or fit.law is None or fit.prediction.world_size != largest.gpus:
            continue
        error = fit.prediction.throughput / largest.images_per_s - 1
        errors.append(abs(error))
        whole = fitted(own)
        assert whole.costs is not None
        parts = ", ".join(f"{1e3 * part:.1f}" for part in whole.costs.parts_s(int(largest.gpus)))
        print(f"{' '.join(map(str, names)):<46} {largest.gpus:>5} {largest.images_per_s:>9.0f} "
              f"{fit.prediction.throughput:>9.0f} {error:>6.1%} {fit.law.serial_share:>7.1%}  {parts}")
    print(f"median error {statistics.median(errors):.1%} of {len(errors)} series, largest {max(errors):.1%}")
    return int(statistics.median(errors) > MOST_ERROR)


if __name__ == "__main__":
    sys.exit(main())
