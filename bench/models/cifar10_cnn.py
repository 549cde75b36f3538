"""A small convolutional network for the 32 x 32 colour pictures of CIFAR-10, as a first lesson has it.

Source: the tutorial "Convolutional Neural Network (CNN)" of TensorFlow, tensorflow.org/tutorials/images/cnn: three
convolutions of 3 x 3 without padding, 32, 64 and 64 channels, two poolings, 64 units, Adam; 122,570 parameters, as its
summary prints. The pictures are those of Krizhevsky 2009, "Learning multiple layers of features from tiny images".
"""

from __future__ import annotations

from rigmark.bench.ir.building import Builder
from rigmark.bench.ir.graph import Graph
from rigmark.bench.ir.training import Adam


def build(classes: int = 10) -> Graph:
    net = Builder("cifar10_cnn", (3, 32, 32), init="glorot_uniform")
    net.conv2d("conv1", 32, kernel=3)
    net.relu("relu1")
    net.max_pool("pool1", kernel=2, stride=2)
    net.conv2d("conv2", 64, kernel=3)
    net.relu("relu2")
    net.max_pool("pool2", kernel=2, stride=2)
    net.conv2d("conv3", 64, kernel=3)
    net.relu("relu3")
    net.flatten("flatten")
    net.dense("hidden", 64)
    net.relu("relu4")
    net.dense("classes", classes)
    return net.build(loss="softmax_cross_entropy", optimizer=Adam(learning_rate=1e-3))
