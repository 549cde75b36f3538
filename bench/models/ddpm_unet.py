"""The denoising network of diffusion models for CIFAR-10, and its training step: it tells noise from picture.

Source: Ho, Jain and Abbeel 2020 (arXiv 2006.11239), appendix B, and the authors' code: a U-Net of 128, 256, 256 and 256
channels at 32, 16, 8 and 4 pixels, two residual blocks each and three on the way up, attention at 16 x 16, group
normalisation of 32 groups, dropout of 0.1, and the time as sines and cosines, through two dense layers, added in every
block. 35,746,307 parameters; the paper has 35.7 M.

The inputs are the noisy picture and its time, from 0 to 999; the output is the noise in it, and the target of the loss
is the noise that was added, so that the loss is that of the paper's algorithm 1. Inference is one of the thousand steps
of algorithm 2. The paper starts each block's last convolution at 0; here it starts at random as the others do, which
computes the same.
"""

from __future__ import annotations

import math

from rigmark.bench.ir.building import Builder
from rigmark.bench.ir.graph import INPUT, Graph, tokens
from rigmark.bench.ir.ops.arrangement import Pad
from rigmark.bench.ir.ops.comparison import Cast
from rigmark.bench.ir.ops.elementwise import Cos, Exp, Multiply, Silu, Sin, Subtract
from rigmark.bench.ir.ops.normalisation import GroupNorm
from rigmark.bench.ir.ops.reduction import CumulativeSum
from rigmark.bench.ir.ops.resampling import Resize
from rigmark.bench.ir.training import Adam

MULTIPLES = (1, 2, 2, 2)
BLOCKS = 2
STEPS = 1000
ATTENDED = 16            # pixels on a side where there is attention


def build(size: int = 32, channels: int = 128, groups: int = 32) -> Graph:
    net = Builder("ddpm_unet", (3, size, size))
    net.add_input(tokens((1,), STEPS, "time"))
    time = _time(net, channels)

    def stage(name: str, before: int, width: int, pixels: int) -> None:
        with net.scope(name):
            _block(net, before, width, time, groups)
            if pixels == ATTENDED:
                _attention(net, width, pixels, groups)

    net.conv2d("enter", channels, kernel=3, padding=1, of=INPUT)
    beside = [(net.last, channels)]
    width = channels
    for level, multiple in enumerate(MULTIPLES, start=1):
        pixels = size >> (level - 1)
        for index in range(1, BLOCKS + 1):
            stage(f"down{level}.{index}", width, channels * multiple, pixels)
            width = channels * multiple
            beside.append((net.last, width))
        if level < len(MULTIPLES):
            with net.scope(f"down{level}.smaller"):
                net.add_layer("padded", Pad(before=(0, 0, 0, 0), after=(0, 0, 1, 1)))
                beside.append((net.conv2d("conv", width, kernel=3, stride=2), width))
    with net.scope("middle1"):
        _block(net, width, width, time, groups)
        _attention(net, width, size >> (len(MULTIPLES) - 1), groups)
    with net.scope("middle2"):
        _block(net, width, width, time, groups)
    for level, multiple in reversed(tuple(enumerate(MULTIPLES, start=1))):
        pixels = size >> (level - 1)
        for index in range(1, BLOCKS + 2):
            earlier, more = beside.pop()
            net.concat(f"beside{level}_{index}", of=(net.last, earlier))
            stage(f"up{level}.{index}", width + more, channels * multiple, pixels)
            width = channels * multiple
        if level > 1:
            with net.scope(f"up{level}.larger"):
                net.add_layer("doubled", Resize(size=(2 * pixels, 2 * pixels)))
                net.conv2d("conv", width, kernel=3, padding=1)
    _normalised(net, "leave", groups)
    net.conv2d("noise", 3, kernel=3, padding=1)
    return net.build(loss="mean_squared_error", optimizer=Adam(learning_rate=2e-4))


def _time(net: Builder, channels: int) -> str:
    """The layer of what every block adds of the time: sines and cosines of it, through two dense layers."""
    half = channels // 2
    with net.scope("time"):
        ones = net.parameter("ones", (1, half), init="ones", is_trainable=False)
        count = net.add_layer("count", CumulativeSum(axis=1), ones)
        # From 1 to 1 / 10,000 in equal factors.
        share = math.log(10_000) / (half - 1)
        exponents = net.add_layer("exponents", Multiply(), (
            net.add_layer("from_0", Subtract(), (count, ones)),
            net.parameter("share", (1,), init=repr(-share), is_trainable=False)))
        frequencies = net.add_layer("frequencies", Exp(), exponents)
        angles = net.add_layer("angles", Multiply(), (net.add_layer("number", Cast(to="float"), "time"), frequencies))
        net.concat("waves", of=(net.add_layer("sines", Sin(), angles), net.add_layer("cosines", Cos(), angles)))
        net.dense("dense1", 4 * channels)
        net.add_layer("silu1", Silu())
        net.dense("dense2", 4 * channels)
        return net.add_layer("silu2", Silu())


def _normalised(net: Builder, name: str, groups: int) -> str:
    net.add_layer(f"{name}_norm", GroupNorm(groups=groups, epsilon=1e-6))
    return net.add_layer(f"{name}_silu", Silu())


def _block(net: Builder, before: int, width: int, time: str, groups: int) -> str:
    """A residual block of two convolutions, between which the time is added."""
    entry = net.last
    _normalised(net, "first", groups)
    features = net.conv2d("conv1", width, kernel=3, padding=1)
    net.dense("time", width, of=time)
    net.add("with_time", of=(features, net.reshape("time_image", (width, 1, 1))))
    _normalised(net, "second", groups)
    net.dropout("dropout", 0.1)
    branch = net.conv2d("conv2", width, kernel=3, padding=1)
    if before != width:
        entry = net.conv2d("shortcut", width, kernel=1, of=entry)
    return net.add("add", of=(entry, branch))


def _attention(net: Builder, width: int, pixels: int, groups: int) -> str:
    """Every pixel looks at every other, with one head."""
    entry = net.last
    with net.scope("attention"):
        normal = net.add_layer("norm", GroupNorm(groups=groups, epsilon=1e-6))
        apart = []
        for name in ("query", "key", "value"):
            net.conv2d(name, width, kernel=1, of=normal)
            net.reshape(f"{name}_rows", (1, width, pixels * pixels))
            apart.append(net.transpose(f"{name}_head", (0, 2, 1)))
        net.attention("attention", of=apart)
        net.transpose("rows", (0, 2, 1))
        net.reshape("image", (width, pixels, pixels))
        net.conv2d("out", width, kernel=1)
        return net.add("add", of=(entry, net.last))
