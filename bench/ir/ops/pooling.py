"""Windows that slide over images and reduce what they see."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from rigmark.bench.ir.ops._base import BadGraph, Pair, SampleOp, Shape, one_image, window_size


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
    """Largest value of a window; padding counts as minus infinity. Sizes are rounded down."""

    kind: ClassVar[str] = "max_pool"
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
