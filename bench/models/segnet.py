"""SegNet, which names the class of each pixel: what was pooled is put back to the places where it was found.

Source: Badrinarayanan, Kendall and Cipolla 2017 (arXiv 1511.00561), figure 2: the thirteen convolutions of VGG-16, and
as many in the opposite order behind unpooling by the indices of each maximum; batch normalisation and ReLU follow every
convolution but the last, which scores the 11 classes of CamVid. 29,449,355 parameters, of which the encoder's weights
and biases are the 14.7 M that the paper counts. Momentum is the paper's. Images have 128 x 128 pixels, where the
paper's have 360 x 480, so that the oracle answers in minutes; classes are not weighted by how often they appear.
"""

from __future__ import annotations

from rigmark.bench.ir.building import Builder
from rigmark.bench.ir.graph import Graph
from rigmark.bench.ir.ops.pooling import MaxPool, MaxUnpool
from rigmark.bench.ir.training import Sgd
from rigmark.bench.models.vgg16 import STAGES


def build(size: int = 128, classes: int = 11, narrower: int = 1) -> Graph:
    net = Builder("segnet", (3, size, size))
    for stage, (channels, convolutions) in enumerate(STAGES, start=1):
        with net.scope(f"encoder{stage}"):
            for index in range(1, convolutions + 1):
                _convolution(net, index, channels // narrower)
            net.add_layer("pool", MaxPool(kernel=(2, 2), stride=(2, 2), indices=True))
    for stage, (channels, convolutions) in reversed(tuple(enumerate(STAGES, start=1))):
        side = size >> (stage - 1)
        following = STAGES[max(0, stage - 2)][0]                 # what the next stage unpools has as many channels
        with net.scope(f"decoder{stage}"):
            net.add_layer("unpool", MaxUnpool(size=(side, side)), (net.last, f"encoder{stage}.pool:1"))
            for index in reversed(range(1, convolutions + 1)):
                if (stage, index) != (1, 1):
                    _convolution(net, index, (following if index == 1 else channels) // narrower)
    net.conv2d("classes", classes, kernel=3, padding=1)
    net.transpose("classes_last", (1, 2, 0))
    net.reshape("pixels", (size * size, classes))
    return net.build(loss="softmax_cross_entropy", optimizer=Sgd(learning_rate=0.01, momentum=0.9))


def _convolution(net: Builder, index: int, channels: int) -> None:
    net.conv2d(f"conv{index}", channels, kernel=3, padding=1)
    net.batch_norm(f"norm{index}")
    net.relu(f"relu{index}")
