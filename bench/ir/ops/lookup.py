"""Rows chosen by their index."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from rigmark.bench.ir.ops._base import (
    BadGraph,
    Op,
    Parameter,
    SampleOp,
    Shape,
    Tensor,
    axis_of,
    one,
)


@dataclass(frozen=True, kw_only=True)
class Embedding(SampleOp):
    """Row of a table for each token: (steps,) to (steps, features)."""

    kind: ClassVar[str] = "embedding"
    takes: ClassVar[tuple[str, ...]] = ("int64",)
    gives: ClassVar[str | None] = "float"
    vocabulary: int
    features: int
    init: str = "standard_normal"

    def output_shape(self, *inputs: Shape) -> Shape:
        shape = one(self.kind, inputs)
        if len(shape) != 1:
            raise BadGraph(f"embedding takes tokens of shape (steps,), not {shape}")
        return (*shape, self.features)

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
