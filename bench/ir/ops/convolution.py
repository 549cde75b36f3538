"""Convolutions of images."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from rigmark.bench.ir.ops._base import BadGraph, Pair, Parameter, SampleOp, Shape, one_image, window_size


@dataclass(frozen=True, kw_only=True)
class Conv2d(SampleOp):
    """Cross-correlation with an OIHW weight, as every deep-learning framework means "convolution"."""

    kind: ClassVar[str] = "conv2d"
    out_channels: int
    kernel: Pair
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)       # zeros on both sides, (rows, columns)
    dilation: Pair = (1, 1)
    groups: int = 1
    bias: bool = True
    init: str = "he_normal"

    def output_shape(self, *inputs: Shape) -> Shape:
        image = one_image(self.kind, inputs)
        if self.groups < 1 or self.out_channels < 1:
            raise BadGraph(f"conv2d needs at least 1 channel and 1 group, not {self.out_channels} and {self.groups}")
        if image[0] % self.groups or self.out_channels % self.groups:
            raise BadGraph(f"conv2d cannot split {image[0]} to {self.out_channels} channels into {self.groups} groups")
        window = window_size(self.kind, image, self.kernel, self.stride, self.padding, self.dilation)
        return (self.out_channels, *window)

    def parameters(self, *inputs: Shape) -> tuple[Parameter, ...]:
        area = math.prod(self.kernel)
        in_per_group = inputs[0][0] // self.groups
        weight = Parameter(
            name="weight", shape=(self.out_channels, in_per_group, *self.kernel), init=self.init,
            fan_in=in_per_group * area, fan_out=self.out_channels // self.groups * area,
        )
        bias = Parameter(name="bias", shape=(self.out_channels,), init="zeros")
        return (weight, bias) if self.bias else (weight,)

    def multiply_adds(self, *inputs: Shape) -> int:
        outputs = math.prod(self.output_shape(*inputs))
        return outputs * inputs[0][0] // self.groups * math.prod(self.kernel)

    def flops(self, *inputs: Shape) -> int:
        return 2 * self.multiply_adds(*inputs) + self.bias * math.prod(self.output_shape(*inputs))
