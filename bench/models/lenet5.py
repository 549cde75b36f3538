"""LeNet-5, the convolutional network that read cheques, in the form in which introductions have it.

Source: LeCun, Bottou, Bengio and Haffner 1998, "Gradient-based learning applied to document recognition" (Proceedings
of the IEEE 86, 11), figure 2 and section II.B: convolutions of 5 x 5 to 6, 16 and 120 channels, averages of 2 x 2
between them, 84 units, hyperbolic tangents. 61,706 parameters and 416,520 multiply-adds. As is usual today, the second
convolution reads all channels (the paper's reads some, which makes 60,000 parameters), averages have no parameters of
their own, and scores with a softmax replace distances from drawn digits. The border that makes 28 pixels 32 is padding.
"""

from __future__ import annotations

from rigmark.bench.ir.building import Builder
from rigmark.bench.ir.graph import Graph
from rigmark.bench.ir.training import Sgd


def build(classes: int = 10) -> Graph:
    net = Builder("lenet5", (1, 28, 28), init="glorot_uniform")
    net.conv2d("conv1", 6, kernel=5, padding=2)
    net.tanh("tanh1")
    net.avg_pool("pool2", kernel=2, stride=2)
    net.conv2d("conv3", 16, kernel=5)
    net.tanh("tanh3")
    net.avg_pool("pool4", kernel=2, stride=2)
    net.flatten("flatten")
    net.dense("fc5", 120)                # a convolution of 5 x 5 on 5 x 5 pixels
    net.tanh("tanh5")
    net.dense("fc6", 84)
    net.tanh("tanh6")
    net.dense("classes", classes)
    return net.build(loss="softmax_cross_entropy", optimizer=Sgd(learning_rate=0.01, momentum=0.9))
