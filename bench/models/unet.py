"""U-Net, which names the class of each pixel: images shrink level by level, and grow again beside what they were.

Source: Ronneberger, Fischer and Brox 2015 (arXiv 1505.04597), figure 1: five levels of 64 to 1,024 channels, enlarged
by transposed convolutions of 2 x 2, two classes; 31,030,658 parameters. Convolutions are padded, as most later ones
are, so that every pixel gets a class. Dropout of 0.5 ends the contracting path; momentum is the paper's. Images have
128 x 128 pixels, where the paper's tiles have 572 x 572, so that the oracle answers in minutes.
"""

from __future__ import annotations

from rigmark.bench.ir.building import Builder
from rigmark.bench.ir.graph import Graph
from rigmark.bench.ir.training import Sgd

LEVELS = 5


def build(size: int = 128, channels: int = 64, classes: int = 2) -> Graph:
    net = Builder("unet", (1, size, size), init="he_normal")
    beside = []
    for level in range(1, LEVELS + 1):
        if level > 1:
            net.max_pool(f"pool{level - 1}", kernel=2, stride=2)
        with net.scope(f"down{level}"):
            _convolutions(net, channels << (level - 1))
            if level > LEVELS - 2:
                net.dropout("dropout", 0.5)
        beside.append(net.last)
    for level in reversed(range(1, LEVELS)):
        with net.scope(f"up{level}"):
            net.conv_transpose2d("enlarge", channels << (level - 1), kernel=2, stride=2)
            net.concat("concat", of=(beside[level - 1], net.last))
            _convolutions(net, channels << (level - 1))
    net.conv2d("classes", classes, kernel=1)
    net.transpose("classes_last", (1, 2, 0))
    net.reshape("pixels", (size * size, classes))
    return net.build(loss="softmax_cross_entropy", optimizer=Sgd(learning_rate=1e-3, momentum=0.99))


def _convolutions(net: Builder, channels: int) -> None:
    for index in (1, 2):
        net.conv2d(f"conv{index}", channels, kernel=3, padding=1)
        net.relu(f"relu{index}")
