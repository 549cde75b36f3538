"""Logistic regression: one score, which is the logarithm of the odds of a class, by 30 features.

Source: Cox 1958, "The regression analysis of binary sequences" (Journal of the Royal Statistical Society B 20, 2). The
30 features are those of the breast cancer data of Street, Wolberg and Mangasarian 1993;
31 parameters. Descent in place of Newton's method, as introductions to deep learning have it.
"""

from __future__ import annotations

from rigmark.bench.ir.building import Builder
from rigmark.bench.ir.graph import Graph
from rigmark.bench.ir.training import Sgd


def build(features: int = 30) -> Graph:
    net = Builder("logistic_regression", (features,), init="glorot_uniform")
    net.dense("score", 1)
    return net.build(loss="binary_cross_entropy", optimizer=Sgd(learning_rate=0.1))
