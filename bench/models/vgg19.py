"""VGG-19: sixteen 3 x 3 convolutions and three dense layers.

Source: Simonyan and Zisserman 2014, "Very deep convolutional networks for large-scale image recognition" (arXiv
1409.1556), table 1, configuration E. 143,667,240 parameters and 19.63 G multiply-adds at 224. All else is as in vgg16.
"""

from __future__ import annotations

from rigmark.bench.ir.graph import Graph
from rigmark.bench.models.vgg16 import network


def build(classes: int = 1000, size: int = 224) -> Graph:
    return network("vgg19", (2, 2, 4, 4, 4), classes=classes, size=size)
