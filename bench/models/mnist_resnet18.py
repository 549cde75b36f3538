"""ResNet-18 for digits: the network of resnet18.py for one grey channel of 28 x 28, which shows that it learns.

Source: as in resnet18.py. Its last stage has only one position; otherwise only the input and the classes differ.
"""

from __future__ import annotations

from rigmark.bench.ir.graph import Graph
from rigmark.bench.models.resnet18 import basic_block, residual_network


def build(classes: int = 10) -> Graph:
    return residual_network(
        "mnist_resnet18", basic_block, (2, 2, 2, 2), expansion=1, classes=classes, size=28, input_channels=1,
        learning_rate=0.01,
    )
