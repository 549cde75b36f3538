"""Windows that slide over images and reduce what they see."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

from rigmark.bench.ir.ops._base import BadGraph, Pair, SampleOp, Shape, Tensor, describe, one_image, window_size


@dataclass(frozen=True, kw_only=True)
class _Pool(SampleOp):
    kernel: Pair
    stride: Pair
    padding: Pair = (0, 0)

    def output_shape(self, *inputs: Shape) -> Shape:
        image = one_image(self.kind, inputs)
        if any(2 * p > k for p, k in zip(self.padding, self.kernel, strict=True)):
            raise BadGraph(f"{self.kind} padding {self.padding} exceeds half of the kernel {self.kernel}")
        return (image[0], *window_size(self.kind, image, self.kernel, self.stride, self.padding))

    def flops(self, *inputs: Shape) -> int:
        return math.prod(self.output_shape(*inputs)) * math.prod(self.kernel)

    def backward_flops(self, *inputs: Shape, needs_input_gradient: bool = True) -> int:
        return self.flops(*inputs) if needs_input_gradient else 0


@dataclass(frozen=True, kw_only=True)
class MaxPool(_Pool):
    """Largest value of a window; padding counts as minus infinity. Sizes are rounded down.

    With ``indices`` a second output of int64 tells where it was: row * width + column of the image.
    """

    kind: ClassVar[str] = "max_pool"
    indices: bool | None = None      # None: False

    def outputs(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        (largest,) = super().outputs(*inputs)
        return (largest, replace(largest, dtype="int64")) if self.indices else (largest,)
    backward_reads: ClassVar[tuple[str, ...]] = ()       # but which element won

    def saved_elements(self, *inputs: Shape) -> int:
        return math.prod(self.output_shape(*inputs))     # which element won


@dataclass(frozen=True, kw_only=True)
class AvgPool(_Pool):
    """Mean of a window. With ``count_include_pad`` the divisor is the whole window, padding included."""

    kind: ClassVar[str] = "avg_pool"
    count_include_pad: bool = True

    def saved_elements(self, *inputs: Shape) -> int:
        return 0


@dataclass(frozen=True, kw_only=True)
class GlobalAvgPool(SampleOp):
    """Mean over height and width: an image becomes a vector of its channels."""

    kind: ClassVar[str] = "global_avg_pool"

    def output_shape(self, *inputs: Shape) -> Shape:
        return (one_image(self.kind, inputs)[0],)

    def flops(self, *inputs: Shape) -> int:
        return math.prod(inputs[0])

    def saved_elements(self, *inputs: Shape) -> int:
        return 0


@dataclass(frozen=True, kw_only=True)
class MaxUnpool(SampleOp):
    """An image of ``size`` (rows, columns) with each value where its index says, and 0 elsewhere.

    Takes the two outputs of a max pooling whose windows do not overlap, so that no index appears twice.
    """

    kind: ClassVar[str] = "max_unpool"
    size: Pair

    def outputs(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        if len(inputs) != 2 or inputs[1] != replace(inputs[0], dtype="int64"):
            raise BadGraph(f"max_unpool takes an image and as many indices of int64, not {describe(inputs)}")
        return super().outputs(inputs[0])

    def output_shape(self, *inputs: Shape) -> Shape:
        channels, *size = one_image(self.kind, inputs[:1])
        if any(before > after for before, after in zip(size, self.size, strict=True)):
            raise BadGraph(f"max_unpool cannot spread {tuple(size)} over {self.size}")
        return (channels, *self.size)

    def saved_elements(self, *inputs: Shape) -> int:
        return math.prod(inputs[1])              # the indices

    def backward_flops(self, *inputs: Shape, needs_input_gradient: bool = True) -> int:
        return 0
