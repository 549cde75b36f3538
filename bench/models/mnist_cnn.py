"""A deep convolutional network for MNIST digits: pairs of 3 x 3 convolutions, ReLU, dropout, Adam, He initialisation.

Source: the recipe of Simonyan and Zisserman 2014 (arXiv 1409.1556: two 3 x 3 convolutions before each pooling,
doubling the channels) at the size of a digit, with the initialisation of He et al. 2015 (arXiv 1502.01852) and the
dropout of Srivastava et al. 2014. The published teaching networks "Deep MNIST" of 2016-19 follow the same plan.
"""

from __future__ import annotations

from rigmark.bench.ir.building import Builder
from rigmark.bench.ir.graph import Graph
from rigmark.bench.ir.training import Adam


def build(classes: int = 10) -> Graph:
    net = Builder("mnist_cnn", (1, 28, 28), init="he_normal")
    for stage, channels in ((1, 16), (2, 32), (3, 64)):
        with net.scope(f"stage{stage}"):
            net.conv2d("conv1", channels, kernel=3, padding=1)
            net.relu("relu1")
            net.conv2d("conv2", channels, kernel=3, padding=1)
            net.relu("relu2")
            net.max_pool("pool", kernel=2, stride=2)
    net.flatten("flatten")
    net.dense("hidden", 128)
    net.relu("relu")
    net.dropout("dropout", 0.25)
    net.dense("classes", classes)
    return net.build(loss="softmax_cross_entropy", optimizer=Adam(learning_rate=1e-3))
