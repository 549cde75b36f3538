"""VGG-16: thirteen 3 x 3 convolutions and three dense layers.

Source: Simonyan and Zisserman 2014, "Very deep convolutional networks for large-scale image recognition" (arXiv
1409.1556), table 1, configuration D; layers are named as in the authors' Caffe release. 138,357,544 parameters and
15.47 G multiply-adds at 224. The paper started from a trained shallower network; He initialisation, made for this kind
of network (He et al. 2015, arXiv 1502.01852), needs none.
"""

from __future__ import annotations

from rigmark.bench.ir.building import Builder
from rigmark.bench.ir.graph import Graph
from rigmark.bench.ir.training import Sgd

STAGES = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))       # channels, convolutions


def build(classes: int = 1000, size: int = 224) -> Graph:
    net = Builder("vgg16", (3, size, size))
    for stage, (channels, convolutions) in enumerate(STAGES, start=1):
        for index in range(1, convolutions + 1):
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
