"""ResNet-18: residual blocks of two 3 x 3 convolutions.

Source: He et al. 2015, "Deep residual learning for image recognition" (arXiv 1512.03385), table 1, 18-layer column,
projection shortcuts where the shape changes (option B). 11,689,512 parameters and about 1.8 G multiply-adds at 224.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from rigmark.bench.ir.building import Builder
from rigmark.bench.ir.graph import Graph
from rigmark.bench.ir.training import Sgd


class Block(Protocol):
    """A function that adds a residual block to a network; with ``projects`` its shortcut changes the shape."""

    def __call__(self, net: Builder, channels: int, *, stride: int, projects: bool) -> None: ...


def projection(net: Builder, entry: str, channels: int, stride: int) -> str:
    """A shortcut that changes the shape: a 1 x 1 convolution (option B)."""
    net.conv2d("shortcut", channels, kernel=1, stride=stride, bias=False, of=entry)
    return net.batch_norm("shortcut_norm")


def basic_block(net: Builder, channels: int, *, stride: int, projects: bool) -> None:
    """Adds two 3 x 3 convolutions with a shortcut."""
    entry = net.last
    net.conv2d("conv1", channels, kernel=3, stride=stride, padding=1, bias=False)
    net.batch_norm("norm1")
    net.relu("relu1")
    net.conv2d("conv2", channels, kernel=3, padding=1, bias=False)
    branch = net.batch_norm("norm2")
    if projects:
        entry = projection(net, entry, channels, stride)
    net.add("add", of=(branch, entry))
    net.relu("relu2")


def residual_network(
    name: str, block: Block, blocks: Sequence[int], *, expansion: int, classes: int, size: int, learning_rate: float,
    input_channels: int = 3,
) -> Graph:
    """The network of a column of table 1: ``blocks`` per stage; outputs have ``expansion`` times a block's channels."""
    net = Builder(name, (input_channels, size, size))
    trunk(net, block, blocks, expansion=expansion)
    net.dense("classes", classes)
    return net.build(loss="softmax_cross_entropy", optimizer=Sgd(learning_rate=learning_rate, momentum=0.9))


def trunk(net: Builder, block: Block, blocks: Sequence[int], *, expansion: int) -> str:
    """The layers from an image, the last value, to the mean of each channel over it."""
    net.conv2d("conv1", 64, kernel=7, stride=2, padding=3, bias=False)
    net.batch_norm("norm1")
    net.relu("relu1")
    net.max_pool("pool1", kernel=3, stride=2, padding=1)
    width = 64
    for stage, count in enumerate(blocks, start=1):
        channels = 32 << stage
        for index in range(1, count + 1):
            stride = 2 if stage > 1 and index == 1 else 1
            with net.scope(f"stage{stage}.block{index}"):
                block(net, channels, stride=stride, projects=stride > 1 or width != expansion * channels)
            width = expansion * channels
    return net.global_avg_pool("pool2")


def build(classes: int = 1000, size: int = 224) -> Graph:
    return residual_network(
        "resnet18", basic_block, (2, 2, 2, 2), expansion=1, classes=classes, size=size, learning_rate=0.01
    )
