"""Matrix products."""

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
    all_of,
    broadcast,
    describe,
    one,
)


@dataclass(frozen=True, kw_only=True)
class Dense(SampleOp):
    """Matrix product over the last axis with a weight of (out, in)."""

    kind: ClassVar[str] = "dense"
    is_linear: ClassVar[bool] = True
    out_features: int
    bias: bool = True
    init: str = "he_normal"

    def output_shape(self, *inputs: Shape) -> Shape:
        shape = one(self.kind, inputs)
        if not shape:
            raise BadGraph("dense takes samples with features, not numbers")
        return (*shape[:-1], self.out_features)

    def parameters(self, *inputs: Shape) -> tuple[Parameter, ...]:
        fan_in = inputs[0][-1]
        weight = Parameter(
            name="weight", shape=(self.out_features, fan_in), init=self.init, fan_in=fan_in, fan_out=self.out_features
        )
        bias = Parameter(name="bias", shape=(self.out_features,), init="zeros")
        return (weight, bias) if self.bias else (weight,)

    def multiply_adds(self, *inputs: Shape) -> int:
        return math.prod(inputs[0]) * self.out_features

    def flops(self, *inputs: Shape) -> int:
        return 2 * self.multiply_adds(*inputs) + self.bias * math.prod(self.output_shape(*inputs))


@dataclass(frozen=True, kw_only=True)
class Matmul(Op):
    """Product of the matrices in the last two axes of two inputs; the axes before them broadcast."""

    kind: ClassVar[str] = "matmul"

    def outputs(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        all_of(self.kind, "float", inputs, 2)
        left, right = inputs
        matrices = all(len(value.shape) > 1 and value.batch not in _last_two(value) for value in inputs)
        if not matrices or left.shape[-1] != right.shape[-2]:
            raise BadGraph(f"matmul takes matrices (m, k) and (k, n) behind the batch, not {describe(inputs)}")
        outer = broadcast(self.kind, (_without_matrix(left), _without_matrix(right)))
        return (Tensor(shape=(*outer.shape[:-1], left.shape[-2], right.shape[-1]), batch=outer.batch),)

    def multiply_adds(self, *inputs: Shape) -> int:
        left, right = inputs
        (result,) = self.outputs(Tensor(shape=left, batch=None), Tensor(shape=right, batch=None))
        return math.prod(result.shape) * left[-1]

    def saved(self, batch: int, *inputs: Tensor) -> int:
        return sum(value.elements(batch) for value in inputs)


def _last_two(value: Tensor) -> tuple[int, int]:
    return len(value.shape) - 2, len(value.shape) - 1


def _without_matrix(value: Tensor) -> Tensor:
    """The axes before the matrix, and a 1 so that there is one at all."""
    return Tensor(shape=(*value.shape[:-2], 1), batch=value.batch)
