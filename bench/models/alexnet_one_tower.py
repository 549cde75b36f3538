"""AlexNet in one tower: 64, 192, 384, 256 and 256 channels, no groups, no local response normalisation.

Source: Krizhevsky 2014, "One weird trick for parallelizing convolutional neural networks" (arXiv 1404.5997), in the
form of torchvision's ``alexnet``: dropout before the first two dense layers. 61,100,840 parameters and 0.71 G
multiply-adds at 224. He initialisation (He et al. 2015).
"""

from __future__ import annotations

from rigmark.bench.ir.building import Builder
from rigmark.bench.ir.graph import Graph
from rigmark.bench.ir.training import Sgd


def build(classes: int = 1000, size: int = 224) -> Graph:
    net = Builder("alexnet_one_tower", (3, size, size))
    net.conv2d("conv1", 64, kernel=11, stride=4, padding=2)
    net.relu("relu1")
    net.max_pool("pool1", kernel=3, stride=2)
    net.conv2d("conv2", 192, kernel=5, padding=2)
    net.relu("relu2")
    net.max_pool("pool2", kernel=3, stride=2)
    net.conv2d("conv3", 384, kernel=3, padding=1)
    net.relu("relu3")
    net.conv2d("conv4", 256, kernel=3, padding=1)
    net.relu("relu4")
    net.conv2d("conv5", 256, kernel=3, padding=1)
    net.relu("relu5")
    net.max_pool("pool5", kernel=3, stride=2)
    net.flatten("flatten")
    for index in (6, 7):
        net.dropout(f"drop{index}", 0.5)
        net.dense(f"fc{index}", 4096)
        net.relu(f"relu{index}")
    net.dense("fc8", classes)
    # A batch of 4 is memorised in four steps; with 0.01, which is usual for a batch of 128, in one step.
    return net.build(loss="softmax_cross_entropy", optimizer=Sgd(learning_rate=3e-5, momentum=0.9))
