"""ResNet-18: residual blocks of two 3 x 3 convolutions.

Source: He et al. 2015, "Deep residual learning for image recognition" (arXiv 1512.03385), table 1, 18-layer column,
projection shortcuts where the shape changes (option B). 11,689,512 parameters and about 1.8 G multiply-adds at 224.
"""

from __future__ import annotations

from bench.ir.graph import Builder, Graph
from bench.ir.training import Sgd


def basic_block(net: Builder, channels: int, stride: int) -> None:
    """Two 3 x 3 convolutions beside a shortcut, which is a 1 x 1 convolution where the shape changes."""
    entry, changes = net.last, stride != 1
    net.conv2d("conv1", channels, kernel=3, stride=stride, padding=1, bias=False)
    net.batch_norm("norm1")
    net.relu("relu1")
    net.conv2d("conv2", channels, kernel=3, padding=1, bias=False)
    branch = net.batch_norm("norm2")
    if changes:
        net.conv2d("shortcut", channels, kernel=1, stride=stride, bias=False, of=entry)
        entry = net.batch_norm("shortcut_norm")
    net.add("add", of=(branch, entry))
    net.relu("relu2")


def build(classes: int = 1000, size: int = 224) -> Graph:
    net = Builder("resnet18", (3, size, size))
    net.conv2d("conv1", 64, kernel=7, stride=2, padding=3, bias=False)
    net.batch_norm("norm1")
    net.relu("relu1")
    net.max_pool("pool1", kernel=3, stride=2, padding=1)
    for stage in range(1, 5):
        for block in (1, 2):
            with net.scope(f"stage{stage}.block{block}"):
                basic_block(net, 32 << stage, stride=2 if stage > 1 and block == 1 else 1)
    net.global_avg_pool("pool2")
    net.dense("classes", classes)
    return net.build(loss="softmax_cross_entropy", optimizer=Sgd(learning_rate=0.01, momentum=0.9))
