"""A multi-layer perceptron for 28 x 28 digits.

Source: Simard, Steinkraus and Platt, "Best practices for convolutional neural networks applied to visual document
analysis", ICDAR 2003, section 5: two layers, 800 hidden units. ReLU and He initialisation replace the sigmoids of
that time.
"""

from __future__ import annotations

from rigmark.bench.ir.building import Builder
from rigmark.bench.ir.graph import Graph
from rigmark.bench.ir.training import Sgd


def build(hidden: int = 800, classes: int = 10) -> Graph:
    net = Builder("mlp", (1, 28, 28))
    net.flatten("flatten")
    net.dense("hidden", hidden)
    net.relu("relu")
    net.dense("classes", classes)
    return net.build(loss="softmax_cross_entropy", optimizer=Sgd(learning_rate=0.01, momentum=0.9))
