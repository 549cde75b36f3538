"""Weights and inputs from one seeded NumPy generator: every framework starts from the same numbers."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from rigmark.bench.ir.graph import Draw, Graph, Input
from rigmark.bench.ir.ops import BadGraph, Parameter

Arrays = dict[str, NDArray[np.generic]]

# Second word of every seed: what a stream is for. Each seed has three words, since NumPy fills short ones with zeros
# and so takes [seed, 2] and [seed, 2, 0] for one.
WEIGHTS, PERTURBATION, BATCH, MASKS = range(4)

INITIALISERS: dict[str, Callable[[Generator, Parameter], NDArray[np.float64]]] = {
    # He et al. 2015, equation 10: keeps the variance of ReLU networks.
    "he_normal": lambda rng, p: rng.standard_normal(p.shape) * math.sqrt(2 / p.fan_in),
    # Glorot and Bengio 2010, equation 16.
    "glorot_uniform": lambda rng, p: rng.uniform(-1, 1, p.shape) * math.sqrt(6 / (p.fan_in + p.fan_out)),
    "standard_normal": lambda rng, p: rng.standard_normal(p.shape),
    # As GPT-2 and BERT start all matrices and embeddings.
    "normal_0.02": lambda rng, p: 0.02 * rng.standard_normal(p.shape),
    # As PyTorch starts recurrent layers: the range depends on the hidden size only.
    "uniform_fan_in": lambda rng, p: rng.uniform(-1, 1, p.shape) / math.sqrt(p.fan_in),
    # As He et al. 2015 start the slopes of their PReLU.
    "quarter": lambda rng, p: np.full(p.shape, 0.25),
    "ones": lambda rng, p: np.ones(p.shape),
    "zeros": lambda rng, p: np.zeros(p.shape),
}


def initialiser(name: str) -> Callable[[Generator, Parameter], NDArray[np.float64]] | None:
    """That of this name; a number stands for itself in every place. None where there is none."""
    if name in INITIALISERS:
        return INITIALISERS[name]
    try:
        number = float(name)
    except ValueError:
        return None
    return (lambda rng, p: np.full(p.shape, number)) if math.isfinite(number) else None


def initial(parameter: Parameter, rng: Generator) -> NDArray[np.float64]:
    """The parameter as it starts; raises BadGraph for an initialiser that there is not."""
    draw = initialiser(parameter.init)
    if draw is None:
        raise BadGraph(f"no initialiser '{parameter.init}'; there are: {', '.join(INITIALISERS)}, and numbers")
    return draw(rng, parameter)


def _stream(seed: int, purpose: int, index: int = 0) -> Generator:
    return np.random.default_rng([seed, purpose, index])


def initial_weights(graph: Graph, seed: int) -> Arrays:
    """Every parameter as float32 in canonical layout, by its key "layer/parameter".

    Each parameter has a stream of its own, so its numbers do not depend on the sizes of the layers before it.
    """
    return {
        key: initial(parameter, _stream(seed, WEIGHTS, index)).astype(np.float32)
        for index, (key, parameter) in enumerate(graph.parameters.items())
    }


def perturbed(graph: Graph, weights: Arrays, seed: int) -> Arrays:
    """Weights in which no scale is 1 and no shift 0, so that a proof sees a forgotten one.

    Biases, shifts and running means change by about 0.1, scales and variances by a factor between 0.5 and 1.5.
    Constants stay: the root of an epsilon below 0 would be no number.
    """
    changed = dict(weights)
    constants = {key for layer in graph.layers if layer.op.kind == "parameter"
                 for key, parameter in layer.keyed_parameters.items() if not parameter.is_trainable}
    for index, (key, parameter) in enumerate(graph.parameters.items()):
        if key in constants:
            continue
        rng = _stream(seed, PERTURBATION, index)
        if parameter.init == "zeros":
            changed[key] = np.add(weights[key], 0.1 * rng.standard_normal(parameter.shape)).astype(np.float32)
        elif parameter.init in ("ones", "quarter"):
            changed[key] = np.multiply(weights[key], rng.uniform(0.5, 1.5, parameter.shape)).astype(np.float32)
    return changed


def talkative(graph: Graph, weights: Arrays) -> Arrays:
    """Weights of a language model whose text varies and depends on all of its prompt, as that of a trained one does.

    Freshly drawn ones mostly repeat one token, whatever was said before, so that a text proves little. Matrices get a
    standard deviation of 2 / sqrt(fan in), tables one of 0.1.
    """
    changed = dict(weights)
    for key, parameter in graph.parameters.items():
        array = weights[key]
        if array.ndim > 1 and array.std() > 0:
            deviation = 2 / math.sqrt(parameter.fan_in) if parameter.fan_in > 1 else 0.1
            changed[key] = (array * (deviation / array.std())).astype(np.float32)
    return changed


Samples = NDArray[np.generic] | tuple[NDArray[np.generic], ...]
"""The inputs of a batch: an array of the only input, or a tuple of those of all, in order."""


def _ones_up_to_a_length(rng: Generator, shape: tuple[int, ...]) -> NDArray[np.generic]:
    lengths = rng.integers(1, shape[-1] + 1, (shape[0], *[1] * (len(shape) - 1)))
    return np.broadcast_to(np.arange(shape[-1]) < lengths, shape)


DRAWS: dict[Draw, Callable[[Generator, Input, tuple[int, ...]], NDArray[np.generic]]] = {
    "normal": lambda rng, given, shape: rng.standard_normal(shape),
    "tokens": lambda rng, given, shape: rng.integers(0, given.vocabulary or 0, shape),
    "ones": lambda rng, given, shape: np.ones(shape),
    "bits": lambda rng, given, shape: rng.integers(0, 2, shape),
    "lengths": lambda rng, given, shape: _ones_up_to_a_length(rng, shape),
    "positions": lambda rng, given, shape: np.broadcast_to(np.arange(shape[-1]), shape),
}
STORED = {"float": np.float32, "int64": np.int64, "bool": np.bool_}


def synthetic_batch(graph: Graph, samples: int, seed: int) -> tuple[Samples, NDArray[np.generic]]:
    """Inputs, each (samples, *its shape), and targets for the graph's loss.

    Inputs are float32, int64 or bool. Targets are int64 classes of shape (samples,) or (samples, steps), or float32
    values of the output's shape for mean_squared_error, zeros and ones for binary_cross_entropy, and nothing, of shape
    (samples, 0), for value.
    """
    rng = _stream(seed, BATCH)
    x: tuple[NDArray[np.generic], ...] = tuple(
        DRAWS[given.draw](rng, given, (samples, *given.shape)).astype(STORED[given.dtype]) for given in graph.inputs
    )
    y: NDArray[np.generic]
    if graph.loss == "mean_squared_error":
        y = rng.standard_normal((samples, *graph.output_shape)).astype(np.float32)
    elif graph.loss == "binary_cross_entropy":
        y = rng.integers(0, 2, (samples, *graph.output_shape)).astype(np.float32)
    elif graph.loss == "value":
        y = np.zeros((samples, 0), np.float32)
    else:
        y = rng.integers(0, graph.output_shape[-1], (samples, *graph.output_shape[:-1]))
    return x[0] if len(x) == 1 else x, y
