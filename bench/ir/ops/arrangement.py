"""The same elements in another shape or order."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from rigmark.bench.ir.ops._base import (
    BadGraph,
    Op,
    SampleOp,
    Shape,
    Tensor,
    axis_of,
    describe,
    of_sample,
    one,
    show,
)

ANY = ("float", "int64", "bool")


@dataclass(frozen=True, kw_only=True)
class Concat(SampleOp):
    """Channels of images, steps of sequences, or features of vectors, one after another."""

    kind: ClassVar[str] = "concat"

    def output_shape(self, *inputs: Shape) -> Shape:
        if len(inputs) < 2 or len({(len(s), s[1:]) for s in inputs}) != 1 or len(inputs[0]) > 3:
            raise BadGraph("concat takes two or more images of one height and width, sequences of as many features, or "
                           f"vectors, not {show(inputs)}")
        return (sum(shape[0] for shape in inputs), *inputs[0][1:])

    def saved_elements(self, *inputs: Shape) -> int:
        return 0


@dataclass(frozen=True, kw_only=True)
class Flatten(SampleOp):
    """Any shape to a vector, in (channel, row, column) order."""

    kind: ClassVar[str] = "flatten"
    takes: ClassVar[tuple[str, ...]] = ANY

    def output_shape(self, *inputs: Shape) -> Shape:
        return (math.prod(one(self.kind, inputs)),)

    def saved_elements(self, *inputs: Shape) -> int:
        return 0

    def is_view(self, *, training: bool) -> bool:
        return True


@dataclass(frozen=True, kw_only=True)
class Reshape(SampleOp):
    """The same elements, in (channel, row, column) or (step, feature) order, under another shape."""

    kind: ClassVar[str] = "reshape"
    takes: ClassVar[tuple[str, ...]] = ANY
    shape: Shape

    def output_shape(self, *inputs: Shape) -> Shape:
        if math.prod(one(self.kind, inputs)) != math.prod(self.shape) or not self.shape:
            raise BadGraph(f"reshape cannot make {self.shape} of {inputs[0]}")
        return self.shape

    def saved_elements(self, *inputs: Shape) -> int:
        return 0

    def is_view(self, *, training: bool) -> bool:
        return True


@dataclass(frozen=True, kw_only=True)
class Transpose(SampleOp):
    """Axes in another order; axis 0 is the first after the batch."""

    kind: ClassVar[str] = "transpose"
    takes: ClassVar[tuple[str, ...]] = ANY
    axes: tuple[int, ...]

    def output_shape(self, *inputs: Shape) -> Shape:
        shape = one(self.kind, inputs)
        if sorted(self.axes) != list(range(len(shape))):
            raise BadGraph(f"transpose by {self.axes} does not fit {shape}")
        return tuple(shape[axis] for axis in self.axes)

    def saved_elements(self, *inputs: Shape) -> int:
        return 0


@dataclass(frozen=True, kw_only=True)
class Slice(Op):
    """The part of one axis from ``start`` to before ``stop``."""

    kind: ClassVar[str] = "slice"
    axis: int
    start: int
    stop: int

    def outputs(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        value = one(self.kind, inputs)
        axis = axis_of(self.kind, self.axis, value)
        if not 0 <= self.start < self.stop <= value.shape[axis]:
            raise BadGraph(f"slice from {self.start} to {self.stop} does not lie in axis {self.axis} of {value.shape}")
        shape = (*value.shape[:axis], self.stop - self.start, *value.shape[axis + 1:])
        return (Tensor(shape=shape, batch=value.batch, dtype=value.dtype),)

    def saved(self, batch: int, *inputs: Tensor) -> int:
        return 0

    def is_view(self, *, training: bool) -> bool:
        return not training                      # its gradient is written into zeros


@dataclass(frozen=True, kw_only=True)
class Split(Op):
    """Equal parts of one axis, each an output: NAME, NAME:1, and so on."""

    kind: ClassVar[str] = "split"
    axis: int
    parts: int

    def outputs(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        value = one(self.kind, inputs)
        axis = axis_of(self.kind, self.axis, value)
        if self.parts < 1 or value.shape[axis] % self.parts:
            raise BadGraph(f"split cannot make {self.parts} equal parts of axis {self.axis} of {value.shape}")
        shape = (*value.shape[:axis], value.shape[axis] // self.parts, *value.shape[axis + 1:])
        return (Tensor(shape=shape, batch=value.batch, dtype=value.dtype),) * self.parts

    def saved(self, batch: int, *inputs: Tensor) -> int:
        return 0

    def is_view(self, *, training: bool) -> bool:
        return not training                      # its gradient is the parts', joined


@dataclass(frozen=True, kw_only=True)
class Expand(Op):
    """The first input, which all samples share, once for each sample of the second."""

    kind: ClassVar[str] = "expand"

    def outputs(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        if len(inputs) != 2 or inputs[0].batch is not None or inputs[1].batch != 0:
            raise BadGraph("expand takes a value for all samples, and one with the batch as its first axis, not "
                           f"{describe(inputs)}")
        return (of_sample(inputs[0].shape, inputs[0].dtype),)

    def backward_flops(self, *inputs: Shape, needs_input_gradient: bool = True) -> int:
        return math.prod(inputs[0])              # the sum over samples

    def saved(self, batch: int, *inputs: Tensor) -> int:
        return 0

    def is_view(self, *, training: bool) -> bool:
        return not training
