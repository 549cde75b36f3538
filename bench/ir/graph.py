"""A network as an ordered list of named layers: the one definition that every framework lowers."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from rigmark.bench.ir import ops
from rigmark.bench.ir.ops import BadGraph, Op, Pair, Parameter, Shape
from rigmark.bench.ir.training import Loss, Optimizer

INPUT = "input"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
"""What every framework takes as the name of a scope, so that its trace can be read by layers."""


@dataclass(frozen=True, kw_only=True)
class Input:
    """What one sample is: an array of floats, or tokens below ``vocabulary``."""

    shape: Shape
    vocabulary: int | None = None    # None: floats


@dataclass(frozen=True, kw_only=True)
class Layer:
    """An operation with a name, its inputs by name, and the shapes that follow; shapes leave out the batch."""

    name: str
    op: Op
    inputs: tuple[str, ...]
    input_shapes: tuple[Shape, ...]
    output_shape: Shape

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        return self.op.parameters(*self.input_shapes)


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Work of one layer in one direction for one batch."""

    flops: int
    bytes_moved: int             # lower bound: each operand read once, each result written once


@dataclass(frozen=True, kw_only=True)
class Graph:
    """Layers in an order in which each comes after its inputs; the last one is the output."""

    name: str
    input: Input
    layers: tuple[Layer, ...]
    loss: Loss
    optimizer: Optimizer

    @property
    def output_shape(self) -> Shape:
        return self.layers[-1].output_shape

    def __getitem__(self, name: str) -> Layer:
        return self._by_name[name]

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    @cached_property
    def _by_name(self) -> dict[str, Layer]:
        return {layer.name: layer for layer in self.layers}

    @cached_property
    def parameters(self) -> dict[str, Parameter]:
        """Every parameter by its key, "conv1/weight", in layer order."""
        return {f"{layer.name}/{p.name}": p for layer in self.layers for p in layer.parameters}

    @property
    def parameter_count(self) -> int:
        """Trainable numbers, as papers count them: running statistics are left out."""
        return sum(math.prod(p.shape) for p in self.parameters.values() if p.is_trainable)

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds of one sample's forward pass, matrix products only, as papers count them."""
        return sum(layer.op.multiply_adds(*layer.input_shapes) for layer in self.layers)

    def flops_per_sample(self, *, training: bool) -> int:
        """FLOPs of one sample: forward, and backward too if training; loss and update are not counted."""
        directions = (False, True) if training else (False,)
        return sum(
            self.cost(layer, batch=1, itemsize=4, training=training, backward=backward).flops
            for backward in directions for layer in self.layers
        )

    def needs_gradient(self, name: str) -> bool:
        """True where a trainable parameter lies in or before this layer, so that its output has a gradient."""
        return name in self._with_gradient

    @cached_property
    def _with_gradient(self) -> frozenset[str]:
        found: set[str] = set()
        for layer in self.layers:
            if any(p.is_trainable for p in layer.parameters) or any(i in found for i in layer.inputs):
                found.add(layer.name)
        return frozenset(found)

    def cost(self, layer: Layer, *, batch: int, itemsize: int, training: bool, backward: bool = False) -> Cost:
        """FLOPs and least traffic of a layer for a batch, forward or, of a training step only, backward.

        ``itemsize`` is bytes per element.
        """
        inputs = sum(math.prod(shape) for shape in layer.input_shapes)
        output = math.prod(layer.output_shape)
        weights = sum(math.prod(p.shape) for p in layer.parameters)
        if not backward:
            flops = layer.op.training_flops if training else layer.op.flops
            moved = 0 if layer.op.is_view(training=training) else batch * (inputs + output) + weights
            return Cost(flops=batch * flops(*layer.input_shapes), bytes_moved=itemsize * moved)
        if not self.needs_gradient(layer.name):
            return Cost(flops=0, bytes_moved=0)
        passes_on = any(self.needs_gradient(name) for name in layer.inputs)
        work = layer.op.backward_flops(*layer.input_shapes, needs_input_gradient=passes_on)
        if layer.op.is_view(training=True):
            return Cost(flops=batch * work, bytes_moved=0)
        moved = batch * (output + layer.op.saved_elements(*layer.input_shapes) + passes_on * inputs)
        moved += weights * (2 if passes_on else 1)       # read for the input's gradient, and their own gradient
        return Cost(flops=batch * work, bytes_moved=itemsize * moved)

    def fused_cost(
        self, names: Sequence[str], *, batch: int, itemsize: int, training: bool, backward: bool = False
    ) -> Cost:
        """FLOPs and least traffic of several layers that run as one: what passes between them need not be moved."""
        costs = [
            self.cost(self[name], batch=batch, itemsize=itemsize, training=training, backward=backward)
            for name in names
        ]
        apart = sum(cost.bytes_moved for cost in costs)
        if len(costs) < 2:
            return Cost(flops=sum(cost.flops for cost in costs), bytes_moved=apart)
        group = set(names)
        read = {(name, shape) for layer in map(self.__getitem__, names)
                for name, shape in zip(layer.inputs, layer.input_shapes, strict=True) if name not in group}
        written = [self[name].output_shape for name in names if not self._readers[name] or self._readers[name] - group]
        passes_on = backward and any(self.needs_gradient(name) for name, _ in read)
        elements = batch * sum(math.prod(shape) for shape in written)
        elements += batch * sum(math.prod(shape) for _, shape in read) * (2 if passes_on else 1)
        weights = sum(math.prod(p.shape) for name in names for p in self[name].parameters)
        elements += weights * (2 if passes_on else 1)
        return Cost(flops=sum(cost.flops for cost in costs), bytes_moved=min(apart, itemsize * elements))

    @cached_property
    def _readers(self) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {layer.name: set() for layer in self.layers}
        for layer in self.layers:
            for name in layer.inputs:
                found.setdefault(name, set()).add(layer.name)
        return found

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the computation: shapes, operations, wiring, loss and optimiser.

        Names, batch, dtype, memory layout and the values of the weights are not part of it.
        """
        index = {INPUT: -1} | {layer.name: i for i, layer in enumerate(self.layers)}
        plain = self.plain()
        facts = {
            "input": plain["input"], "loss": plain["loss"], "optimizer": plain["optimizer"],
            "layers": [
                [layer["op"], layer["attributes"], [index[name] for name in layer["inputs"]]]
                for layer in plain["layers"]
            ],
        }
        for _, attributes, _ in facts["layers"]:
            attributes.pop("init", None)
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]

    def plain(self) -> dict[str, Any]:
        """The graph as plain data, the form in which it crosses to a worker."""
        return {
            "name": self.name,
            "input": {"shape": list(self.input.shape), "vocabulary": self.input.vocabulary},
            "layers": [
                {
                    "name": layer.name,
                    "op": layer.op.kind,
                    "inputs": list(layer.inputs),
                    "attributes": layer.op.attributes(),
                    "input_shapes": [list(shape) for shape in layer.input_shapes],
                    "output_shape": list(layer.output_shape),
                    "parameters": [
                        {"name": p.name, "shape": list(p.shape), "is_trainable": p.is_trainable}
                        for p in layer.parameters
                    ],
                }
                for layer in self.layers
            ],
            "loss": self.loss,
            "optimizer": self.optimizer.plain(),
        }


def _pair(value: int | Pair) -> Pair:
    return (value, value) if isinstance(value, int) else value


class Builder:
    """Writes a graph layer by layer, so that a model reads like its paper.

    Each method adds a layer and returns its name. A layer takes the one before it, or what ``of`` names.
    ``init`` is the initialiser of all weights.
    """

    def __init__(self, name: str, input: Shape, *, vocabulary: int | None = None, init: str = "he_normal"):
        self._name = name
        self._input = Input(shape=input, vocabulary=vocabulary)
        self._init = init
        self._layers: list[Layer] = []
        self._shapes: dict[str, Shape] = {INPUT: input}
        self._prefix = ""
        self.last = INPUT

    @contextmanager
    def scope(self, name: str) -> Iterator[None]:
        """Names inside begin with ``name.``; scopes nest."""
        outer, self._prefix = self._prefix, f"{self._prefix}{name}."
        yield
        self._prefix = outer

    def add_layer(self, name: str, op: Op, of: str | Sequence[str] | None = None) -> str:
        """Append any operation; raises BadGraph for a name that is used twice or that traces cannot carry, an unknown
        input, or shapes that do not fit."""
        name = self._prefix + name
        if not NAME.fullmatch(name):
            raise BadGraph(f"{self._name}: a layer cannot be named '{name}'; use letters, digits, '_', '-' and '.'")
        inputs = (self.last,) if of is None else (of,) if isinstance(of, str) else tuple(of)
        if name in self._shapes:
            raise BadGraph(f"{self._name} has two layers named '{name}'")
        missing = [i for i in inputs if i not in self._shapes]
        if missing:
            raise BadGraph(f"{self._name}: '{name}' reads '{missing[0]}', which no earlier layer is named")
        shapes = tuple(self._shapes[i] for i in inputs)
        try:
            output = op.output_shape(*shapes)
        except BadGraph as error:
            raise BadGraph(f"{self._name}: layer '{name}': {error}") from None
        self._layers.append(Layer(name=name, op=op, inputs=inputs, input_shapes=shapes, output_shape=output))
        self._shapes[name] = output
        self.last = name
        return name

    def conv2d(
        self, name: str, channels: int, *, kernel: int | Pair, stride: int | Pair = 1, padding: int | Pair = 0,
        dilation: int | Pair = 1, groups: int = 1, bias: bool = True, of: str | None = None,
    ) -> str:
        op = ops.Conv2d(
            out_channels=channels, kernel=_pair(kernel), stride=_pair(stride), padding=_pair(padding),
            dilation=_pair(dilation), groups=groups, bias=bias, init=self._init,
        )
        return self.add_layer(name, op, of)

    def dense(self, name: str, features: int, *, bias: bool = True, of: str | None = None) -> str:
        return self.add_layer(name, ops.Dense(out_features=features, bias=bias, init=self._init), of)

    def max_pool(
        self, name: str, *, kernel: int | Pair, stride: int | Pair, padding: int | Pair = 0, of: str | None = None
    ) -> str:
        return self.add_layer(
            name, ops.MaxPool(kernel=_pair(kernel), stride=_pair(stride), padding=_pair(padding)), of
        )

    def avg_pool(
        self, name: str, *, kernel: int | Pair, stride: int | Pair, padding: int | Pair = 0,
        count_include_pad: bool = True, of: str | None = None,
    ) -> str:
        op = ops.AvgPool(
            kernel=_pair(kernel), stride=_pair(stride), padding=_pair(padding), count_include_pad=count_include_pad
        )
        return self.add_layer(name, op, of)

    def global_avg_pool(self, name: str, *, of: str | None = None) -> str:
        return self.add_layer(name, ops.GlobalAvgPool(), of)

    def batch_norm(
        self, name: str, *, epsilon: float = ops.NORMAL_EPSILON, momentum: float = ops.NORMAL_MOMENTUM,
        of: str | None = None,
    ) -> str:
        return self.add_layer(name, ops.BatchNorm(epsilon=epsilon, momentum=momentum), of)

    def relu(self, name: str, *, of: str | None = None) -> str:
        return self.add_layer(name, ops.Relu(), of)

    def tanh(self, name: str, *, of: str | None = None) -> str:
        return self.add_layer(name, ops.Tanh(), of)

    def sigmoid(self, name: str, *, of: str | None = None) -> str:
        return self.add_layer(name, ops.Sigmoid(), of)

    def softmax(self, name: str, *, of: str | None = None) -> str:
        return self.add_layer(name, ops.Softmax(), of)

    def dropout(self, name: str, rate: float, *, of: str | None = None) -> str:
        return self.add_layer(name, ops.Dropout(rate=rate), of)

    def local_response_norm(
        self, name: str, *, size: int, alpha: float, beta: float, k: float, of: str | None = None
    ) -> str:
        return self.add_layer(name, ops.LocalResponseNorm(size=size, alpha=alpha, beta=beta, k=k), of)

    def add(self, name: str, *, of: Sequence[str]) -> str:
        return self.add_layer(name, ops.Add(), of)

    def concat(self, name: str, *, of: Sequence[str]) -> str:
        return self.add_layer(name, ops.Concat(), of)

    def flatten(self, name: str, *, of: str | None = None) -> str:
        return self.add_layer(name, ops.Flatten(), of)

    def embedding(self, name: str, features: int, *, of: str | None = None) -> str:
        """Rows for the tokens of the graph's input; raises BadGraph where that has no vocabulary."""
        if self._input.vocabulary is None:
            raise BadGraph(f"{self._name}: layer '{name}' needs an input of tokens; give the Builder a vocabulary")
        return self.add_layer(name, ops.Embedding(vocabulary=self._input.vocabulary, features=features), of)

    def lstm(self, name: str, hidden: int, *, of: str | None = None) -> str:
        return self.add_layer(name, ops.Lstm(hidden=hidden), of)

    def reshape(self, name: str, shape: Shape, *, of: str | None = None) -> str:
        return self.add_layer(name, ops.Reshape(shape=shape), of)

    def transpose(self, name: str, axes: tuple[int, ...], *, of: str | None = None) -> str:
        return self.add_layer(name, ops.Transpose(axes=axes), of)

    def build(self, *, loss: Loss, optimizer: Optimizer) -> Graph:
        """The finished graph; raises BadGraph where it has no layer or a layer's result is never used."""
        if not self._layers:
            raise BadGraph(f"{self._name} has no layers")
        used = {name for layer in self._layers for name in layer.inputs}
        unused = [layer.name for layer in self._layers[:-1] if layer.name not in used]
        if unused:
            raise BadGraph(f"{self._name}: nothing reads layer '{unused[0]}' and it is not the output")
        if loss == "softmax_cross_entropy" and len(self._layers[-1].output_shape) > 2:
            raise BadGraph(f"{self._name}: softmax_cross_entropy needs a vector or sequence of scores, not "
                           f"{self._layers[-1].output_shape}")
        return Graph(
            name=self._name, input=self._input, layers=tuple(self._layers), loss=loss, optimizer=optimizer
        )
