"""DenseNet-121: every layer of a block reads all before it, for 224 x 224 images of 1,000 classes.

Source: Huang et al. 2017 (arXiv 1608.06993), table 1, with bottleneck and compression (DenseNet-BC, growth 32);
7,978,856 parameters, as torchvision's. SGD with the paper's momentum.
"""

from __future__ import annotations

from rigmark.bench.ir.building import Builder
from rigmark.bench.ir.graph import Graph
from rigmark.bench.ir.training import Sgd

BLOCKS = (6, 12, 24, 16)
GROWTH = 32


def build(classes: int = 1000, size: int = 224) -> Graph:
    net = Builder("densenet121", (3, size, size), init="he_normal")
    net.conv2d("stem", 64, kernel=7, stride=2, padding=3, bias=False)
    net.batch_norm("stem_norm")
    net.relu("stem_relu")
    net.max_pool("stem_pool", kernel=3, stride=2, padding=1)
    channels = 64
    for index, layers in enumerate(BLOCKS, 1):
        with net.scope(f"block{index}"):
            for layer in range(1, layers + 1):
                with net.scope(f"layer{layer}"):
                    _dense_layer(net)
            channels += layers * GROWTH
        if index < len(BLOCKS):
            channels //= 2
            with net.scope(f"transition{index}"):
                net.batch_norm("norm")
                net.relu("relu")
                net.conv2d("conv", channels, kernel=1, bias=False)
                net.avg_pool("pool", kernel=2, stride=2)
    net.batch_norm("norm")
    net.relu("relu")
    net.global_avg_pool("pool")
    net.dense("classes", classes)
    return net.build(loss="softmax_cross_entropy", optimizer=Sgd(learning_rate=0.01, momentum=0.9))


def _dense_layer(net: Builder) -> None:
    entry = net.last
    net.batch_norm("norm1")
    net.relu("relu1")
    net.conv2d("conv1", 4 * GROWTH, kernel=1, bias=False)
    net.batch_norm("norm2")
    net.relu("relu2")
    net.conv2d("conv2", GROWTH, kernel=3, padding=1, bias=False)
    net.concat("concat", of=(entry, net.last))
