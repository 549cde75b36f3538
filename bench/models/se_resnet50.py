"""SE-ResNet-50: resnet50 in which each block weighs its channels by what the whole image shows.

Source: Hu, Shen and Sun 2018, "Squeeze-and-excitation networks" (arXiv 1709.01507), figure 3 and section 6.4: means of
the channels, two dense layers with a reduction of 16, a sigmoid that multiplies the branch before the shortcut is
added. 28,088,024 parameters, as timm's seresnet50, which has the stride in the 3 x 3 convolution as ours.
"""

from __future__ import annotations

from rigmark.bench.ir.building import Builder
from rigmark.bench.ir.graph import Graph
from rigmark.bench.ir.ops.elementwise import Multiply
from rigmark.bench.models.resnet18 import residual_network
from rigmark.bench.models.resnet50 import EXPANSION, branch, join

REDUCTION = 16


def block(net: Builder, channels: int, *, stride: int, projects: bool) -> None:
    entry = net.last
    weighed = excitation(net, branch(net, channels, stride=stride), EXPANSION * channels)
    join(net, weighed, entry, channels, stride=stride, projects=projects)


def excitation(net: Builder, image: str, channels: int) -> str:
    """The image with each channel multiplied by a weight between 0 and 1."""
    net.global_avg_pool("squeeze", of=image)
    net.dense("reduce", channels // REDUCTION)
    net.relu("reduce_relu")
    net.dense("restore", channels)
    net.sigmoid("weights")
    net.reshape("excitation", (channels, 1, 1))
    return net.add_layer("weighed", Multiply(), of=(image, net.last))


def build(classes: int = 1000, size: int = 224) -> Graph:
    return residual_network(
        "se_resnet50", block, (3, 4, 6, 3), expansion=EXPANSION, classes=classes, size=size, learning_rate=0.003
    )
