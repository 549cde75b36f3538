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

    from rigmark.bench.ir.graph import Graph, Input
    from rigmark.bench.ir.weights import Samples

SYNTHETIC = "synthetic"      # seeded random numbers: pure speed, no input to load
REAL: tuple[str, ...] = registry.names(__path__)
NAMES: tuple[str, ...] = (SYNTHETIC, *REAL)


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Samples for one epoch of training, and held-out samples.

    x is float32 in NCHW, or int64 tokens, or a tuple of such arrays for a graph of several inputs, in their order.
    """

    x: Samples
    y: NDArray[np.generic]
    test_x: Samples
    test_y: NDArray[np.generic]


def load(name: str, graph: Graph) -> Dataset:
    """The samples of a data set in the shape of a graph's input; raises UserError if they do not fit, and for a mistake
    in the file of the data set.
    """
    module = added.load(__name__, name, "data")
    with added.mistakes_in(__name__, name, "data"):
        dataset: Dataset = module.load(graph)
        given = [each.shape[1:] for each in (dataset.x if isinstance(dataset.x, tuple) else (dataset.x,))]
    taken = [each.shape for each in graph.inputs]
    if given != taken:
        raise UserError(
            f"data '{name}' has samples of {_shown(given)} but {graph.name} takes {_shown(taken)}; "
            f"use --data {SYNTHETIC} or another model"
        )
    _refuse_wrong_targets(name, dataset, graph)
    return dataset


def _refuse_wrong_targets(name: str, dataset: Dataset, graph: Graph) -> None:
    has_classes = dataset.y.dtype.kind in "iu"
    if has_classes != (graph.loss == "softmax_cross_entropy"):
        raise UserError(
            f"data '{name}' has {'classes' if has_classes else 'values'} as targets, with which {graph.name} cannot be "
            f"trained by {graph.loss}; use --data {SYNTHETIC} or another --loss"
        )


def only_input(name: str, graph: Graph) -> Input:
    """That of the graph; raises UserError where it has several, which this data set does not give."""
    if len(graph.inputs) != 1:
        raise UserError(f"data '{name}' gives one input, but {graph.name} takes "
                        f"{', '.join(each.name for each in graph.inputs)}; use --data {SYNTHETIC} or another model")
    return graph.input


def _shown(shapes: list[tuple[int, ...]]) -> str:
    return " and ".join(map(str, shapes))
