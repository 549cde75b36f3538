"""Linear regression by gradient descent: one value as a weighted sum of ten features.

Source: Legendre 1805, "Nouvelles methodes pour la determination des orbites des cometes", appendix on least squares.
The ten features are those of the diabetes data of Efron, Hastie, Johnstone and Tibshirani 2004, "Least angle
regression"; 11 parameters.
"""

from __future__ import annotations

from rigmark.bench.ir.building import Builder
from rigmark.bench.ir.graph import Graph
from rigmark.bench.ir.training import Sgd


def build(features: int = 10) -> Graph:
    net = Builder("linear_regression", (features,), init="glorot_uniform")
    net.dense("value", 1)
    return net.build(loss="mean_squared_error", optimizer=Sgd(learning_rate=0.01))
