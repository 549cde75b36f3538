"""ResNet-50 v1.5: residual bottleneck blocks of a 1 x 1, a 3 x 3 and another 1 x 1 convolution.

Source: He et al. 2015, "Deep residual learning for image recognition" (arXiv 1512.03385), table 1, 50-layer column,
projection shortcuts where the shape changes (option B). The stride is in the 3 x 3 convolution, the variant called v1.5
that torchvision, MLPerf and NVIDIA measure; the paper has it in the first 1 x 1 (v1, 3.9 G multiply-adds).
25,557,032 parameters and 4.09 G multiply-adds at 224.
"""

from __future__ import annotations

from rigmark.bench.ir.building import Builder
from rigmark.bench.ir.graph import Graph
from rigmark.bench.models.resnet18 import projection, residual_network

EXPANSION = 4


def bottleneck(net: Builder, channels: int, *, stride: int, projects: bool) -> None:
    """Adds a 3 x 3 convolution between two 1 x 1 ones, which reduce and restore the channels, with a shortcut."""
    entry = net.last
    join(net, branch(net, channels, stride=stride), entry, channels, stride=stride, projects=projects)


def branch(net: Builder, channels: int, *, stride: int) -> str:
    """The three convolutions; the layer behind them."""
    net.conv2d("conv1", channels, kernel=1, bias=False)
    net.batch_norm("norm1")
    net.relu("relu1")
    net.conv2d("conv2", channels, kernel=3, stride=stride, padding=1, bias=False)
    net.batch_norm("norm2")
    net.relu("relu2")
    net.conv2d("conv3", EXPANSION * channels, kernel=1, bias=False)
    return net.batch_norm("norm3")


def join(net: Builder, branch: str, entry: str, channels: int, *, stride: int, projects: bool) -> None:
    """Adds the shortcut to what the branch gives."""
    if projects:
        entry = projection(net, entry, EXPANSION * channels, stride)
    net.add("add", of=(branch, entry))
    net.relu("relu3")


def build(classes: int = 1000, size: int = 224) -> Graph:
    # At 0.01 the loss of a batch of 4 rises again after two steps.
    return residual_network(
        "resnet50", bottleneck, (3, 4, 6, 3), expansion=EXPANSION, classes=classes, size=size, learning_rate=0.003
    )
