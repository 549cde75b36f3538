"""VGG-16: thirteen 3 x 3 convolutions and three dense layers.

Source: Simonyan and Zisserman 2014, "Very deep convolutional networks for large-scale image recognition" (arXiv
1409.1556), table 1, configuration D; layers are named as in the authors' Caffe release. 138,357,544 parameters and
15.47 G multiply-adds at 224. The paper started from a trained shallower network; He initialisation, made for this kind
of network (He et al. 2015, arXiv 1502.01852), needs none.
"""

from __future__ import annotations

from collections.abc import Sequence

from rigmark.bench.ir.building import Builder
from rigmark.bench.ir.graph import Graph
from rigmark.bench.ir.training import Sgd

CHANNELS = (64, 128, 256, 512, 512)      # of each stage
CONVOLUTIONS = (2, 2, 3, 3, 3)
STAGES = tuple(zip(CHANNELS, CONVOLUTIONS, strict=True))


def build(classes: int = 1000, size: int = 224) -> Graph:
    return network("vgg16", CONVOLUTIONS, classes=classes, size=size)


def network(name: str, convolutions: Sequence[int], *, classes: int, size: int) -> Graph:
    """The network of a column of table 1, which has so many convolutions in each stage."""
    net = Builder(name, (3, size, size))
    for stage, (channels, count) in enumerate(zip(CHANNELS, convolutions, strict=True), start=1):
        for index in range(1, count + 1):
            net.conv2d(f"conv{stage}_{index}", channels, kernel=3, padding=1)
            net.relu(f"relu{stage}_{index}")
        net.max_pool(f"pool{stage}", kernel=2, stride=2)
    net.flatten("flatten")
    for index in (6, 7):
        net.dense(f"fc{index}", 4096)
        net.relu(f"relu{index}")
        net.dropout(f"drop{index}", 0.5)
    net.dense("fc8", classes)
    # A few samples are memorised in four steps; with 0.01, which the paper uses for a batch of 256, in one step.
    return net.build(loss="softmax_cross_entropy", optimizer=Sgd(learning_rate=1e-5, momentum=0.9))
