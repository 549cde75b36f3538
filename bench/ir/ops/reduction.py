"""Sums, means and extremes along axes, and where these lie."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

from rigmark.bench.ir.ops._base import BadGraph, Op, Shape, Tensor, all_of, axis_of, one


@dataclass(frozen=True, kw_only=True)
class _Reduction(Op):
    takes: ClassVar[tuple[str, ...]] = ("float",)
    axes: tuple[int, ...]
    keep: bool = False           # the axes stay, with a size of 1

    def outputs(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        value = one(self.kind, inputs)
        all_of(self.kind, value.dtype if value.dtype in self.takes else self.takes[0], inputs)
        axes = {axis_of(self.kind, axis, value) for axis in self.axes}
        if not axes or len(axes) < len(self.axes):
            raise BadGraph(f"{self.kind} takes one or more different axes, not {self.axes}")
        sizes = [1 if axis in axes else size for axis, size in enumerate(value.shape)]
        if self.keep:
            return (replace(value, shape=tuple(sizes)),)
        batch = value.batch if value.batch is None else value.batch - sum(axis < value.batch for axis in axes)
        shape = tuple(size for axis, size in enumerate(sizes) if axis not in axes)
        return (replace(value, shape=shape, batch=batch),)

    def flops(self, *inputs: Shape) -> int:
        return math.prod(inputs[0])

    def saved(self, batch: int, *inputs: Tensor) -> int:
        return 0


@dataclass(frozen=True, kw_only=True)
class ReduceSum(_Reduction):
    """The sum along the axes; of whole numbers it is one, without a gradient."""

    kind: ClassVar[str] = "reduce_sum"
    takes: ClassVar[tuple[str, ...]] = ("float", "int64")

    def backward_flops(self, *inputs: Shape, needs_input_gradient: bool = True) -> int:
        return 0                                 # the gradient is repeated


@dataclass(frozen=True, kw_only=True)
class ReduceMean(_Reduction):
    kind: ClassVar[str] = "reduce_mean"


@dataclass(frozen=True, kw_only=True)
class ReduceMax(_Reduction):
    """The largest along the axes; of equal ones the gradient is not defined, and frameworks differ."""

    kind: ClassVar[str] = "reduce_max"

    def saved(self, batch: int, *inputs: Tensor) -> int:
        return inputs[0].elements(batch) + self.outputs(*inputs)[0].elements(batch)


@dataclass(frozen=True, kw_only=True)
class ReduceMin(ReduceMax):
    """The smallest along the axes; of equal ones the gradient is not defined, and frameworks differ."""

    kind: ClassVar[str] = "reduce_min"


@dataclass(frozen=True, kw_only=True)
class CumulativeSum(Op):
    """Each entry of an axis with all before it added."""

    kind: ClassVar[str] = "cumulative_sum"
    axis: int

    def outputs(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        value = one(self.kind, inputs)
        all_of(self.kind, "int64" if value.dtype == "int64" else "float", inputs)
        axis_of(self.kind, self.axis, value)
        return (value,)

    def flops(self, *inputs: Shape) -> int:
        return math.prod(inputs[0])

    def saved(self, batch: int, *inputs: Tensor) -> int:
        return 0


@dataclass(frozen=True, kw_only=True)
class ArgMax(Op):
    """Where along an axis the largest lies, the first of equal ones: int64, without a gradient."""

    kind: ClassVar[str] = "argmax"
    axis: int
    keep: bool = False           # the axis stays, with a size of 1

    def outputs(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        (value,) = ReduceMax(axes=(self.axis,), keep=self.keep).outputs(*inputs)
        return (replace(value, dtype="int64"),)

    def flops(self, *inputs: Shape) -> int:
        return math.prod(inputs[0])

    def backward_flops(self, *inputs: Shape, needs_input_gradient: bool = True) -> int:
        return 0

    def saved(self, batch: int, *inputs: Tensor) -> int:
        return 0


@dataclass(frozen=True, kw_only=True)
class TopK(Op):
    """The ``count`` largest along an axis, the largest first, and where they lie, int64, without a gradient.

    Which of equal ones comes first is not defined, and frameworks differ.
    """

    kind: ClassVar[str] = "top_k"
    axis: int
    count: int

    def outputs(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        value = one(self.kind, inputs)
        all_of(self.kind, "float", inputs)
        axis = axis_of(self.kind, self.axis, value)
        if not 1 <= self.count <= value.shape[axis]:
            raise BadGraph(f"top_k along axis {self.axis} of {value.shape} takes a count from 1 to "
                           f"{value.shape[axis]}, not {self.count}")
        found = replace(value, shape=(*value.shape[:axis], self.count, *value.shape[axis + 1:]))
        return found, replace(found, dtype="int64")

    def flops(self, *inputs: Shape) -> int:
        return math.prod(inputs[0])

    def backward_flops(self, *inputs: Shape, needs_input_gradient: bool = True) -> int:
        return 0

    def saved(self, batch: int, *inputs: Tensor) -> int:
        return self.outputs(*inputs)[1].elements(batch)
