"""Real input: one file per data set, found by its name, each with ``load(graph) -> Dataset``. No framework code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rigmark.bench import added
from rigmark.bench.errors import UserError
from rigmark.bench.worker import registry

if TYPE_CHECKING:                # the command line reads NAMES for its help, so nothing heavy is imported
    import numpy as np
    from numpy.typing import NDArray

    from rigmark.bench.ir.graph import Graph

SYNTHETIC = "synthetic"      # seeded random numbers: pure speed, no input to load
REAL: tuple[str, ...] = registry.names(__path__)
NAMES: tuple[str, ...] = (SYNTHETIC, *REAL)


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Samples for one epoch of training, and held-out samples; x is float32 in NCHW, or int64 tokens."""

    x: NDArray[np.generic]
    y: NDArray[np.generic]
    test_x: NDArray[np.generic]
    test_y: NDArray[np.generic]


def load(name: str, graph: Graph) -> Dataset:
    """The samples of a data set in the shape of a graph's input; raises UserError if they do not fit, and for a mistake
    in the file of the data set.
    """
    module = added.load(__name__, name, "data")
    with added.mistakes_in(__name__, name, "data"):
        dataset: Dataset = module.load(graph)
        shape = dataset.x.shape[1:]
    if shape != graph.input.shape:
        raise UserError(
            f"data '{name}' has samples of {shape} but {graph.name} takes {graph.input.shape}; "
            f"use --data {SYNTHETIC} or another model"
        )
    return dataset
