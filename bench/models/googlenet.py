"""GoogLeNet: nine inception modules, each of four branches side by side, and two further classifiers while it trains.

Source: Szegedy et al. 2014, "Going deeper with convolutions" (arXiv 1409.4842), table 1 and section 5, with the local
response normalisation of Caffe's bvlc_googlenet, whose parameters it has: 13,378,280 parameters, of which 6,379,728 are
of the two classifiers. Their losses count 0.3 each, so that the network computes its loss itself, from the class as an
input; inference answers the last scores alone. Poolings that halve are padded at both sides, where Caffe rounds up.
"""

from __future__ import annotations

from rigmark.bench.ir.building import Builder
from rigmark.bench.ir.graph import Graph, Input, tokens
from rigmark.bench.ir.ops.attention import LogSoftmax
from rigmark.bench.ir.ops.elementwise import Multiply, Negative
from rigmark.bench.ir.ops.lookup import GatherElements
from rigmark.bench.ir.training import Objective, Sgd

INCEPTIONS = {
    "3a": (64, 96, 128, 16, 32, 32), "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64), "4b": (160, 112, 224, 24, 64, 64), "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64), "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128), "5b": (384, 192, 384, 48, 128, 128),
}
"""Channels of each module, as the columns of table 1: 1 x 1; reduction and 3 x 3; the same of 5 x 5; behind pooling."""
POOLED = ("3b", "4e")                            # whose image is halved
AUXILIARY = {"4a": "auxiliary1", "4d": "auxiliary2"}
WEIGHT = "0.3"


def build(classes: int = 1000, size: int = 224) -> Graph:
    net = Builder("googlenet")
    net.add_input(tokens((1,), classes, "label"))
    net.add_input(Input(name="image", shape=(3, size, size)))
    _convolution(net, "conv1", 64, kernel=7, stride=2)
    _halve(net, "pool1")
    net.local_response_norm("norm1", size=5, alpha=1e-4, beta=0.75, k=1.0)
    _convolution(net, "conv2_reduce", 64, kernel=1)
    _convolution(net, "conv2", 192, kernel=3)
    net.local_response_norm("norm2", size=5, alpha=1e-4, beta=0.75, k=1.0)
    _halve(net, "pool2")
    losses = []
    for name, channels in INCEPTIONS.items():
        with net.scope(f"inception{name}"):
            image = _inception(net, channels)
        if name in AUXILIARY:
            with net.scope(AUXILIARY[name]):
                losses.append(_weighed(net, _auxiliary(net, classes)))
            net.last = image
        if name in POOLED:
            _halve(net, f"pool{name[0]}")
    net.global_avg_pool("pool5")
    net.dropout("drop5", 0.4)
    scores = net.dense("classes", classes)
    losses.append(_loss(net, scores))
    loss = net.add("loss", of=losses)
    return net.build(
        loss="value", optimizer=Sgd(learning_rate=0.001, momentum=0.9), outputs=(scores,),
        objectives=(Objective(name="classes", output=loss, trains=("",)),),
    )


def _convolution(net: Builder, name: str, channels: int, *, kernel: int, stride: int = 1, of: str | None = None) -> str:
    net.conv2d(name, channels, kernel=kernel, stride=stride, padding=kernel // 2, of=of)
    return net.relu(f"{name}_relu")


def _halve(net: Builder, name: str) -> None:
    net.max_pool(name, kernel=3, stride=2, padding=1)


def _inception(net: Builder, channels: tuple[int, ...]) -> str:
    entry = net.last
    one, reduced_3, three, reduced_5, five, pooled = channels
    branches = [_convolution(net, "1x1", one, kernel=1, of=entry)]
    for kernel, reduced, wide in ((3, reduced_3, three), (5, reduced_5, five)):
        _convolution(net, f"{kernel}x{kernel}_reduce", reduced, kernel=1, of=entry)
        branches.append(_convolution(net, f"{kernel}x{kernel}", wide, kernel=kernel))
    net.max_pool("pool", kernel=3, stride=1, padding=1, of=entry)
    branches.append(_convolution(net, "pool_proj", pooled, kernel=1))
    return net.concat("output", of=branches)


def _auxiliary(net: Builder, classes: int) -> str:
    """Scores of the classes by what is known in the middle."""
    net.avg_pool("pool", kernel=5, stride=3)
    _convolution(net, "conv", 128, kernel=1)
    net.flatten("flatten")
    net.dense("fc", 1024)
    net.relu("relu")
    net.dropout("drop", 0.7)
    return net.dense("classes", classes)


def _loss(net: Builder, scores: str) -> str:
    net.add_layer("log_softmax", LogSoftmax(), of=scores)
    net.add_layer("of_label", GatherElements(axis=1), of=(net.last, "label"))
    return net.add_layer("cross_entropy", Negative())


def _weighed(net: Builder, scores: str) -> str:
    loss = _loss(net, scores)
    weight = net.parameter("weight", (1,), init=WEIGHT, is_trainable=False)
    return net.add_layer("weighed", Multiply(), of=(loss, weight))
