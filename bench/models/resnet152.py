"""ResNet-152 v1.5: the residual bottleneck blocks of resnet50, 50 of them.

Source: He et al. 2015, "Deep residual learning for image recognition" (arXiv 1512.03385), table 1, 152-layer column,
with the stride in the 3 x 3 convolution as in resnet50. 60,192,808 parameters and 11.51 G multiply-adds at 224.
"""

from __future__ import annotations

from rigmark.bench.ir.graph import Graph
from rigmark.bench.models.resnet18 import residual_network
from rigmark.bench.models.resnet50 import EXPANSION, bottleneck


def build(classes: int = 1000, size: int = 224) -> Graph:
    return residual_network(
        "resnet152", bottleneck, (3, 8, 36, 3), expansion=EXPANSION, classes=classes, size=size, learning_rate=0.001
    )
