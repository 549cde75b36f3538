"""Normalisation by statistics of a batch, of channels or of features."""

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
    axis_of,
    one,
    one_image,
)

NORMAL_MOMENTUM = 0.1  # share of the new batch in a running statistic (PyTorch's meaning, Keras: 0.9)
NORMAL_EPSILON = 1e-5


@dataclass(frozen=True, kw_only=True)
class BatchNorm(SampleOp):
    """Normalise each channel over batch, height and width (Ioffe and Szegedy 2015).

    Training uses the biased variance of the batch and moves the running statistics by ``momentum`` towards the
    batch's mean and *unbiased* variance, as cuDNN, PyTorch and TensorFlow's fused kernel do. Inference uses the
    running statistics.
    """

    kind: ClassVar[str] = "batch_norm"
    epsilon: float = NORMAL_EPSILON
    momentum: float = NORMAL_MOMENTUM

    def output_shape(self, *inputs: Shape) -> Shape:
        shape = one(self.kind, inputs)
        if len(shape) not in (1, 3):
            raise BadGraph(f"batch_norm takes an image or a vector, not {shape}")
        return shape

    def parameters(self, *inputs: Shape) -> tuple[Parameter, ...]:
        shape = (inputs[0][0],)
        return (
            Parameter(name="gamma", shape=shape, init="ones"),
            Parameter(name="beta", shape=shape, init="zeros"),
            Parameter(name="mean", shape=shape, init="zeros", is_trainable=False),
            Parameter(name="variance", shape=shape, init="ones", is_trainable=False),
        )

    def flops(self, *inputs: Shape) -> int:
        return 2 * math.prod(inputs[0])          # x * scale + shift

    def training_flops(self, *inputs: Shape) -> int:
        return 4 * math.prod(inputs[0])          # and two statistics of the batch

    def backward_flops(self, *inputs: Shape, needs_input_gradient: bool = True) -> int:
        # Two sums over dy, then dx = a * dy + b * x + c.
        return (6 if needs_input_gradient else 4) * math.prod(inputs[0])


@dataclass(frozen=True, kw_only=True)
class LocalResponseNorm(SampleOp):
    """y = x / (k + alpha / size * sum of x**2 over ``size`` neighbouring channels) ** beta.

    Alpha is divided by the size, as Caffe and PyTorch do (Krizhevsky 2012 prints it undivided). Size is odd;
    channels beyond the edge count as 0.
    """

    kind: ClassVar[str] = "local_response_norm"
    size: int
    alpha: float
    beta: float
    k: float

    def output_shape(self, *inputs: Shape) -> Shape:
        if self.size < 1 or self.size % 2 == 0:
            raise BadGraph(f"local_response_norm needs an odd size, not {self.size}")
        return one_image(self.kind, inputs)

    def flops(self, *inputs: Shape) -> int:
        return (self.size + 5) * math.prod(inputs[0])    # square, sum, scale, shift, power, product

    def backward_flops(self, *inputs: Shape, needs_input_gradient: bool = True) -> int:
        return 2 * self.flops(*inputs) if needs_input_gradient else 0


@dataclass(frozen=True, kw_only=True)
class _FeatureNorm(Op):
    epsilon: float = NORMAL_EPSILON

    def outputs(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        value = one(self.kind, inputs)
        all_of(self.kind, "float", inputs)
        axis_of(self.kind, -1, value)
        return (value,)

    def saved(self, batch: int, *inputs: Tensor) -> int:
        return inputs[0].elements(batch)


@dataclass(frozen=True, kw_only=True)
class LayerNorm(_FeatureNorm):
    """Normalise over the last axis by mean and biased variance, then scale and shift (Ba, Kiros and Hinton 2016)."""

    kind: ClassVar[str] = "layer_norm"

    def parameters(self, *inputs: Shape) -> tuple[Parameter, ...]:
        shape = inputs[0][-1:]
        return Parameter(name="gamma", shape=shape, init="ones"), Parameter(name="beta", shape=shape, init="zeros")

    def flops(self, *inputs: Shape) -> int:
        return 6 * math.prod(inputs[0])          # two statistics, centre, normalise, scale, shift

    def backward_flops(self, *inputs: Shape, needs_input_gradient: bool = True) -> int:
        # Two sums for the parameters, two along the axis, then dx = a * dy + b * x + c.
        return (8 if needs_input_gradient else 4) * math.prod(inputs[0])


@dataclass(frozen=True, kw_only=True)
class RmsNorm(_FeatureNorm):
    """x / sqrt(mean of x ** 2 over the last axis + epsilon), times a scale (Zhang and Sennrich 2019)."""

    kind: ClassVar[str] = "rms_norm"

    def parameters(self, *inputs: Shape) -> tuple[Parameter, ...]:
        return (Parameter(name="gamma", shape=inputs[0][-1:], init="ones"),)

    def flops(self, *inputs: Shape) -> int:
        return 3 * math.prod(inputs[0])          # a statistic, normalise, scale

    def backward_flops(self, *inputs: Shape, needs_input_gradient: bool = True) -> int:
        return (6 if needs_input_gradient else 2) * math.prod(inputs[0])


@dataclass(frozen=True, kw_only=True)
class GroupNorm(SampleOp):
    """Normalise each group of channels of an image by its own mean and biased variance (Wu and He 2018).

    Then scale and shift each channel.
    """

    kind: ClassVar[str] = "group_norm"
    groups: int
    epsilon: float = NORMAL_EPSILON

    def output_shape(self, *inputs: Shape) -> Shape:
        shape = one_image(self.kind, inputs)
        if self.groups < 1 or shape[0] % self.groups:
            raise BadGraph(f"group_norm cannot split {shape[0]} channels into {self.groups} groups")
        return shape

    def parameters(self, *inputs: Shape) -> tuple[Parameter, ...]:
        shape = inputs[0][:1]
        return Parameter(name="gamma", shape=shape, init="ones"), Parameter(name="beta", shape=shape, init="zeros")

    def flops(self, *inputs: Shape) -> int:
        return 6 * math.prod(inputs[0])

    def backward_flops(self, *inputs: Shape, needs_input_gradient: bool = True) -> int:
        return (8 if needs_input_gradient else 4) * math.prod(inputs[0])
