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
    all_of,
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
    """The part of one axis from ``start`` to before ``stop``, of which each ``step``-th entry."""

    kind: ClassVar[str] = "slice"
    axis: int
    start: int
    stop: int
    step: int | None = None      # None: 1

    def outputs(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        value = one(self.kind, inputs)
        axis = axis_of(self.kind, self.axis, value)
        if not 0 <= self.start < self.stop <= value.shape[axis]:
            raise BadGraph(f"slice from {self.start} to {self.stop} does not lie in axis {self.axis} of {value.shape}")
        if self.step is not None and self.step < 1:
            raise BadGraph(f"slice takes a step of at least 1, not {self.step}")
        shape = (*value.shape[:axis], len(range(self.start, self.stop, self.step or 1)), *value.shape[axis + 1:])
        return (Tensor(shape=shape, batch=value.batch, dtype=value.dtype),)

    def saved(self, batch: int, *inputs: Tensor) -> int:
        return 0

    def is_view(self, *, training: bool) -> bool:
        return not training                      # its gradient is written into zeros


@dataclass(frozen=True, kw_only=True)
class Split(Op):
    """Parts of one axis, each an output: NAME, NAME:1, and so on; equal ones, or of these ``sizes``."""

    kind: ClassVar[str] = "split"
    axis: int
    parts: int
    sizes: tuple[int, ...] | None = None

    def outputs(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        value = one(self.kind, inputs)
        axis = axis_of(self.kind, self.axis, value)
        size = value.shape[axis]
        if self.sizes is None and (self.parts < 1 or size % self.parts):
            raise BadGraph(f"split cannot make {self.parts} equal parts of axis {self.axis} of {value.shape}")
        sizes = self.sizes or (size // self.parts,) * self.parts
        if len(sizes) != self.parts or min(sizes) < 1 or sum(sizes) != size:
            raise BadGraph(f"split cannot make {self.parts} parts of {sizes} of axis {self.axis} of {value.shape}")
        return tuple(
            Tensor(shape=(*value.shape[:axis], part, *value.shape[axis + 1:]), batch=value.batch, dtype=value.dtype)
            for part in sizes
        )

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


@dataclass(frozen=True, kw_only=True)
class _Moved(Op):
    """What no gradient needs an input of."""

    def backward_flops(self, *inputs: Shape, needs_input_gradient: bool = True) -> int:
        return 0

    def saved(self, batch: int, *inputs: Tensor) -> int:
        return 0


@dataclass(frozen=True, kw_only=True)
class Join(_Moved):
    """Values one after another along any axis, where ``concat`` knows the first of a sample only."""

    kind: ClassVar[str] = "join"
    axis: int

    def outputs(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        if len(inputs) < 2 or len({(len(x.shape), x.batch, x.dtype) for x in inputs}) != 1:
            raise BadGraph(f"join takes two or more values of one rank and dtype, not {describe(inputs)}")
        axis = axis_of(self.kind, self.axis, inputs[0])
        if len({(*x.shape[:axis], *x.shape[axis + 1:]) for x in inputs}) != 1:
            raise BadGraph(f"join along axis {self.axis} takes values that else have one shape, not {describe(inputs)}")
        shape = list(inputs[0].shape)
        shape[axis] = sum(x.shape[axis] for x in inputs)
        return (Tensor(shape=tuple(shape), batch=inputs[0].batch, dtype=inputs[0].dtype),)


@dataclass(frozen=True, kw_only=True)
class Permute(_Moved):
    """Axes in another order, the batch's among them; ``transpose`` is the one that leaves it first."""

    kind: ClassVar[str] = "permute"
    axes: tuple[int, ...]

    def outputs(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        value = one(self.kind, inputs)
        if sorted(self.axes) != list(range(len(value.shape))):
            raise BadGraph(f"permute by {self.axes} does not fit {value.shape}")
        batch = None if value.batch is None else self.axes.index(value.batch)
        return (Tensor(shape=tuple(value.shape[axis] for axis in self.axes), batch=batch, dtype=value.dtype),)


@dataclass(frozen=True, kw_only=True)
class Regroup(_Moved):
    """The same elements in the same order under another shape, in which the batch may lie elsewhere.

    ``shape`` is for a batch of one; ``batch`` is the axis that the batch multiplies, which may have a size above 1, as
    windows of an image have. What lies before that axis must hold as many elements as before.
    """

    kind: ClassVar[str] = "regroup"
    shape: Shape
    batch: int | None = None     # None: for values that all samples share

    def outputs(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        value = one(self.kind, inputs)
        if math.prod(value.shape) != math.prod(self.shape):
            raise BadGraph(f"regroup cannot make {self.shape} of {value.shape}")
        if (self.batch is None) != (value.batch is None):
            raise BadGraph(f"regroup of {describe(inputs)}: a batch neither comes nor goes")
        if self.batch is not None and value.batch is not None:
            fits = 0 <= self.batch < len(self.shape)
            if not fits or math.prod(self.shape[:self.batch]) != math.prod(value.shape[:value.batch]):
                raise BadGraph(f"regroup cannot make axis {self.batch} of {self.shape} the batch of {value.shape} with "
                               f"the batch as axis {value.batch}: samples would be torn apart")
        return (Tensor(shape=self.shape, batch=self.batch, dtype=value.dtype),)

    def is_view(self, *, training: bool) -> bool:
        return True


@dataclass(frozen=True, kw_only=True)
class Tile(Op):
    """The value so many times along each axis, one after another; 1 along the batch's."""

    kind: ClassVar[str] = "tile"
    times: tuple[int, ...]

    def outputs(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        value = one(self.kind, inputs)
        is_whole = value.batch is None or self.times[value.batch:value.batch + 1] == (1,)
        if len(self.times) != len(value.shape) or min(self.times) < 1 or not is_whole:
            raise BadGraph(f"tile by {self.times} does not fit {value.shape}; the batch is not repeated")
        shape = tuple(size * times for size, times in zip(value.shape, self.times, strict=True))
        return (Tensor(shape=shape, batch=value.batch, dtype=value.dtype),)

    def backward_flops(self, *inputs: Shape, needs_input_gradient: bool = True) -> int:
        return math.prod(inputs[0]) * math.prod(self.times)      # the sum over the copies

    def saved(self, batch: int, *inputs: Tensor) -> int:
        return 0


@dataclass(frozen=True, kw_only=True)
class Pad(Op):
    """Entries added before and behind those of each axis: a constant, the edge's, or those inside, as in a mirror.

    ``reflect`` does not repeat the edge itself: a b c becomes c b a b c b a.
    """

    kind: ClassVar[str] = "pad"
    before: tuple[int, ...]      # of each axis, the batch's among them, where it is 0
    after: tuple[int, ...]
    mode: str = "constant"       # "constant", "edge" or "reflect"
    value: float = 0.0           # of constant

    def outputs(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        value = one(self.kind, inputs)
        all_of(self.kind, "float", inputs)
        if self.mode not in ("constant", "edge", "reflect"):
            raise BadGraph(f"pad knows the modes constant, edge and reflect, not {self.mode}")
        if not len(self.before) == len(self.after) == len(value.shape) or min(*self.before, *self.after) < 0:
            raise BadGraph(f"pad by {self.before} and {self.after} does not fit {value.shape}; slice takes away")
        if value.batch is not None and self.before[value.batch] + self.after[value.batch]:
            raise BadGraph(f"pad along axis {value.batch} of {value.shape}: that is the batch")
        widest = map(max, self.before, self.after)
        if self.mode == "reflect" and any(pad >= size for pad, size in zip(widest, value.shape, strict=True) if pad):
            raise BadGraph(f"pad by {self.before} and {self.after} is wider than the mirror of {value.shape}")
        shape = tuple(sum(each) for each in zip(self.before, value.shape, self.after, strict=True))
        return (Tensor(shape=shape, batch=value.batch),)

    def backward_flops(self, *inputs: Shape, needs_input_gradient: bool = True) -> int:
        if self.mode == "constant":
            return 0
        return math.prod(self.outputs(Tensor(shape=inputs[0], batch=None))[0].shape) - math.prod(inputs[0])

    def saved(self, batch: int, *inputs: Tensor) -> int:
        return 0
