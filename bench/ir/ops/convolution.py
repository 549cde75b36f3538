"""Convolutions of images; a sequence (channels, steps) is an image of height 1."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from rigmark.bench.ir.ops._base import BadGraph, Pair, Parameter, SampleOp, Shape, one_image, window_size


@dataclass(frozen=True, kw_only=True)
class Conv2d(SampleOp):
    """Cross-correlation with an OIHW weight, as every deep-learning framework means "convolution"."""

    kind: ClassVar[str] = "conv2d"
    is_linear: ClassVar[bool] = True
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


@dataclass(frozen=True, kw_only=True)
class ConvTranspose2d(SampleOp):
    """The gradient of a convolution by its input, as a layer that enlarges images; its weight is (in, out, ...).

    Height becomes (height - 1) * stride - 2 * padding + dilation * (kernel - 1) + output_padding + 1.
    """

    kind: ClassVar[str] = "conv_transpose2d"
    is_linear: ClassVar[bool] = True
    out_channels: int
    kernel: Pair
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)       # rows and columns taken away on both sides
    output_padding: Pair = (0, 0)    # rows and columns more at the end
    dilation: Pair = (1, 1)
    groups: int = 1
    bias: bool = True
    init: str = "he_normal"

    def output_shape(self, *inputs: Shape) -> Shape:
        channels, *size = one_image(self.kind, inputs)
        if self.groups < 1 or self.out_channels < 1 or channels % self.groups or self.out_channels % self.groups:
            raise BadGraph(f"conv_transpose2d cannot split {channels} to {self.out_channels} channels into "
                           f"{self.groups} groups")
        fields = self.kernel, self.stride, self.padding, self.output_padding, self.dilation
        sides = tuple(zip(size, *fields, strict=True))
        if min(*self.kernel, *self.stride, *self.dilation) < 1 or min(*self.padding, *self.output_padding) < 0:
            raise BadGraph("conv_transpose2d needs kernel, stride and dilation of at least 1 and padding of at least 0")
        if any(more >= max(step, spread) for _, _, step, _, more, spread in sides):
            raise BadGraph("conv_transpose2d needs an output_padding below stride or dilation, not "
                           f"{self.output_padding}")
        rows, columns = ((n - 1) * step - 2 * padding + spread * (kernel - 1) + more + 1
                         for n, kernel, step, padding, more, spread in sides)
        if min(rows, columns) < 1:
            raise BadGraph(f"conv_transpose2d with padding {self.padding} leaves nothing of an image of {tuple(size)}")
        return (self.out_channels, rows, columns)

    def parameters(self, *inputs: Shape) -> tuple[Parameter, ...]:
        area, out_per_group = math.prod(self.kernel), self.out_channels // self.groups
        weight = Parameter(
            name="weight", shape=(inputs[0][0], out_per_group, *self.kernel), init=self.init,
            # Each pixel of the output gathers from about area / stride pixels of the input.
            fan_in=max(1, inputs[0][0] // self.groups * area // math.prod(self.stride)), fan_out=out_per_group * area,
        )
        bias = Parameter(name="bias", shape=(self.out_channels,), init="zeros")
        return (weight, bias) if self.bias else (weight,)

    def multiply_adds(self, *inputs: Shape) -> int:
        return math.prod(inputs[0]) * self.out_channels // self.groups * math.prod(self.kernel)

    def flops(self, *inputs: Shape) -> int:
        return 2 * self.multiply_adds(*inputs) + self.bias * math.prod(self.output_shape(*inputs))
