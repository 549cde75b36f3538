"""Softmax regression, or multinomial logistic regression: scores of ten digits that are sums over the pixels.

Source: "MNIST for ML beginners", the first tutorial that TensorFlow had, tensorflow.org 2015: 784 x 10 weights and 10
biases, trained by descent with a rate of 0.5; 7,850 parameters. The method is older: Cox 1966, "Some procedures
connected with the logistic qualitative response curve". Pixels with a mean of 0 (--data digits) need a lower rate.
"""

from __future__ import annotations

from rigmark.bench.ir.building import Builder
from rigmark.bench.ir.graph import Graph
from rigmark.bench.ir.training import Sgd


def build(classes: int = 10) -> Graph:
    net = Builder("softmax_regression", (1, 28, 28), init="glorot_uniform")
    net.flatten("flatten")
    net.dense("classes", classes)
    return net.build(loss="softmax_cross_entropy", optimizer=Sgd(learning_rate=0.01))
