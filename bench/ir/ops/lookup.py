"""Rows chosen by their index."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

from rigmark.bench.ir.ops._base import (
    BadGraph,
    Op,
    Parameter,
    SampleOp,
    Shape,
    Tensor,
    all_of,
    axis_of,
    describe,
    one,
)


@dataclass(frozen=True, kw_only=True)
class Embedding(SampleOp):
    """Row of a table for each token: (steps,) to (steps, features), and so of tokens with more or no axes."""

    kind: ClassVar[str] = "embedding"
    takes: ClassVar[tuple[str, ...]] = ("int64",)
    gives: ClassVar[str | None] = "float"
    vocabulary: int
    features: int
    init: str = "standard_normal"

    def output_shape(self, *inputs: Shape) -> Shape:
        return (*one(self.kind, inputs), self.features)

    def parameters(self, *inputs: Shape) -> tuple[Parameter, ...]:
        return (Parameter(name="weight", shape=(self.vocabulary, self.features), init=self.init),)

    def saved_elements(self, *inputs: Shape) -> int:
        return math.prod(inputs[0])              # the tokens


@dataclass(frozen=True, kw_only=True)
class Gather(Op):
    """Entries of one axis, by indices that are part of the network; one may be taken more than once.

    The gradient of an entry is the sum over the places where it was taken.
    """

    kind: ClassVar[str] = "gather"
    axis: int
    indices: tuple[int, ...]

    def outputs(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        value = one(self.kind, inputs)
        axis = axis_of(self.kind, self.axis, value)
        if not self.indices or min(self.indices) < 0 or max(self.indices) >= value.shape[axis]:
            raise BadGraph(f"gather along axis {self.axis} of {value.shape} has no entries {self.indices}")
        shape = (*value.shape[:axis], len(self.indices), *value.shape[axis + 1:])
        return (Tensor(shape=shape, batch=value.batch, dtype=value.dtype),)

    def backward_flops(self, *inputs: Shape, needs_input_gradient: bool = True) -> int:
        axis = self.axis % len(inputs[0])
        return math.prod(inputs[0]) // inputs[0][axis] * len(self.indices)       # one sum for each element taken

    def saved(self, batch: int, *inputs: Tensor) -> int:
        return 0


@dataclass(frozen=True, kw_only=True)
class OneHot(Op):
    """A last axis that is 1 at the place that a number names, else 0: int64 to float, without a gradient."""

    kind: ClassVar[str] = "one_hot"
    depth: int

    def outputs(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        all_of(self.kind, "int64", inputs, 1)
        return (Tensor(shape=(*inputs[0].shape, self.depth), batch=inputs[0].batch),)

    def backward_flops(self, *inputs: Shape, needs_input_gradient: bool = True) -> int:
        return 0

    def saved(self, batch: int, *inputs: Tensor) -> int:
        return 0


@dataclass(frozen=True, kw_only=True)
class GatherElements(Op):
    """For each place of the second input, of int64, the entry of the first that it names along an axis.

    The other axes are those of the first input, so that each of its rows has indices of its own.
    """

    kind: ClassVar[str] = "gather_elements"
    axis: int

    def outputs(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        if len(inputs) != 2 or inputs[0].dtype == "bool" or inputs[1].dtype != "int64":
            raise BadGraph(f"gather_elements takes a float or int64 value, and an int64 one, not {describe(inputs)}")
        value, indices = inputs
        axis = axis_of(self.kind, self.axis, value)
        others = [(*x.shape[:axis], *x.shape[axis + 1:], x.batch) for x in inputs]
        if len(value.shape) != len(indices.shape) or others[0] != others[1]:
            raise BadGraph(f"gather_elements along axis {self.axis} takes values that else have one shape, not "
                           f"{describe(inputs)}")
        return (replace(indices, dtype=value.dtype),)

    def backward_flops(self, *inputs: Shape, needs_input_gradient: bool = True) -> int:
        return math.prod(inputs[1])

    def saved(self, batch: int, *inputs: Tensor) -> int:
        return inputs[1].elements(batch)


@dataclass(frozen=True, kw_only=True)
class EmbeddingBag(Embedding):
    """Sum or mean of the rows of a table for the tokens of the last axis: (tokens,) to (features,)."""

    kind: ClassVar[str] = "embedding_bag"
    mean: bool = False

    def output_shape(self, *inputs: Shape) -> Shape:
        shape = one(self.kind, inputs)
        if not shape:
            raise BadGraph("embedding_bag takes bags of tokens, not one token")
        return (*shape[:-1], self.features)

    def flops(self, *inputs: Shape) -> int:
        return math.prod(inputs[0]) * self.features + self.mean * math.prod(self.output_shape(*inputs))


@dataclass(frozen=True, kw_only=True)
class ScatterAdd(Op):
    """The first input, to whose entries along an axis that the second, of int64, names the third is added.

    Second and third have one shape; their other axes are those of the first input.
    """

    kind: ClassVar[str] = "scatter_add"
    axis: int

    def outputs(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        if len(inputs) != 3 or (inputs[0].dtype, inputs[2].dtype) != ("float", "float"):
            raise BadGraph(f"scatter_add takes a float, an int64 and a float value, not {describe(inputs)}")
        (chosen,) = GatherElements(axis=self.axis).outputs(*inputs[:2])
        if chosen != inputs[2]:
            raise BadGraph(f"scatter_add adds as many entries as it has indices, not {describe(inputs)}")
        return (inputs[0],)

    def flops(self, *inputs: Shape) -> int:
        return math.prod(inputs[2])

    def backward_flops(self, *inputs: Shape, needs_input_gradient: bool = True) -> int:
        return 0

    def saved(self, batch: int, *inputs: Tensor) -> int:
        return inputs[1].elements(batch)
