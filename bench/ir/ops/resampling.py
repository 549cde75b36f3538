"""Images at another size, and regions of them at one size."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from rigmark.bench.ir.ops._base import BadGraph, Pair, SampleOp, Shape, one_image, show

FLOPS = {"nearest": 0, "bilinear": 7, "bicubic": 31}     # products and sums of 4 or 16 pixels, for each output pixel


@dataclass(frozen=True, kw_only=True)
class Resize(SampleOp):
    """The image sampled at ``size`` (rows, columns), without a filter against aliasing.

    Output row p lies at (p + 1/2) * in / out - 1/2 with coordinates "half_pixel", at p * (in - 1) / (out - 1) with
    "align_corners", at p * in / out with "asymmetric". "nearest" takes the row at floor(p * in / out) if asymmetric,
    and at floor((p + 1/2) * in / out) if half_pixel. "bilinear" and "bicubic" (Keys 1981, a = -3/4) repeat the edge.
    """

    kind: ClassVar[str] = "resize"
    size: Pair
    mode: str = "nearest"
    coordinates: str = "half_pixel"

    def output_shape(self, *inputs: Shape) -> Shape:
        channels = one_image(self.kind, inputs)[0]
        if self.mode not in FLOPS or self.coordinates not in ("half_pixel", "align_corners", "asymmetric"):
            raise BadGraph("resize knows nearest, bilinear and bicubic, and half_pixel, align_corners and asymmetric, "
                           f"not {self.mode} and {self.coordinates}")
        if self.mode == "nearest" and self.coordinates == "align_corners":
            raise BadGraph("resize by nearest has coordinates half_pixel or asymmetric, not align_corners")
        if min(self.size) < 1:
            raise BadGraph(f"resize needs a size of at least 1, not {self.size}")
        return (channels, *self.size)

    def flops(self, *inputs: Shape) -> int:
        return FLOPS[self.mode] * math.prod(self.output_shape(*inputs))

    def backward_flops(self, *inputs: Shape, needs_input_gradient: bool = True) -> int:
        if not needs_input_gradient:
            return 0
        return max(1, FLOPS[self.mode]) * math.prod(self.output_shape(*inputs))      # at least the sum of copies

    def saved_elements(self, *inputs: Shape) -> int:
        return 0


@dataclass(frozen=True, kw_only=True)
class RoiAlign(SampleOp):
    """Regions of an image, each at ``size`` (rows, columns): (regions, channels, rows, columns) (He et al. 2017).

    It takes an image (channels, height, width) and boxes (regions, 4) of left, top, right and bottom, which ``scale``
    brings to pixels. Each result is the mean of ``samples`` times ``samples`` bilinear ones in its part of the box.
    With ``aligned`` the middle of a pixel lies at 1/2, else at 0, and then a box has at least the size of a pixel.
    Samples more than a pixel outside are 0. No gradient reaches the boxes.
    """

    kind: ClassVar[str] = "roi_align"
    without_gradient: ClassVar[tuple[int, ...]] = (1,)
    size: Pair
    samples: int
    scale: float = 1.0
    aligned: bool = True

    def output_shape(self, *inputs: Shape) -> Shape:
        if len(inputs) != 2 or len(inputs[0]) != 3 or len(inputs[1]) != 2 or inputs[1][1] != 4:
            raise BadGraph("roi_align takes an image of shape (channels, height, width) and boxes of (regions, 4), not "
                           f"{show(inputs)}")
        if min(*self.size, self.samples) < 1 or not self.scale > 0:
            raise BadGraph(f"roi_align needs a size and samples of at least 1, and a scale above 0, not {self.size}, "
                           f"{self.samples} and {self.scale}")
        return (inputs[1][0], inputs[0][0], *self.size)

    def flops(self, *inputs: Shape) -> int:
        return (FLOPS["bilinear"] + 1) * self.samples**2 * math.prod(self.output_shape(*inputs))

    def backward_flops(self, *inputs: Shape, needs_input_gradient: bool = True) -> int:
        return self.flops(*inputs) if needs_input_gradient else 0

    def saved_elements(self, *inputs: Shape) -> int:
        return math.prod(inputs[1])              # the boxes
