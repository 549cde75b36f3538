"""Style transfer: a picture is changed until it has the content of one picture and the style of another.

Source: Gatys, Ecker and Bethge 2016 (doi 10.1109/CVPR.2016.265), section 2: VGG-19 (arXiv 1409.1556) up to conv5_1 with
average pooling; its features at conv4_2 are to be those of the content, the Gram matrices at conv1_1 to conv5_1 those
of the style, each with a weight of 1/5, content with 1/1000 of the style's. What is sought was computed before and is
an input. Nothing is trained but the change of a picture, which at a batch of 1 is the method of the paper started
from that picture; of a larger batch all pictures are changed alike. Adam in place of L-BFGS; sums are means, which
changes the weights; the weights of VGG-19 are random.
"""

from __future__ import annotations

from rigmark.bench.ir.building import Builder
from rigmark.bench.ir.graph import Graph, Input
from rigmark.bench.ir.ops.elementwise import Multiply, Subtract
from rigmark.bench.ir.ops.products import Matmul
from rigmark.bench.ir.ops.reduction import ReduceMean
from rigmark.bench.ir.training import Adam

BLOCKS = ((1, 2), (2, 2), (4, 4), (8, 4), (8, 1))        # (times the first channels, convolutions)
CONTENT, CONTENT_WEIGHT, STYLE_WEIGHT = "conv4_2", 1e-3, 1 / 5


def build(size: int = 224, channels: int = 64) -> Graph:
    net = Builder("style", (3, size, size), init="he_normal")
    net.add("picture", of=("input", net.parameter("change", (1, 3, size, size), init="zeros")))
    losses = []
    for block, (times, convolutions) in enumerate(BLOCKS, start=1):
        side, width = size >> (block - 1), channels * times
        if block > 1:
            net.avg_pool(f"pool{block - 1}", kernel=2, stride=2)
        for index in range(1, convolutions + 1):
            name = f"conv{block}_{index}"
            net.conv2d(name, width, kernel=3, padding=1)
            features = net.relu(f"relu{block}_{index}")
            if name == CONTENT:
                wanted = net.add_input(Input(name="content", shape=(width, side, side)))
                losses.append(_distance(net, "content", features, wanted, CONTENT_WEIGHT))
            if index == 1:
                gram = _gram(net, f"style{block}", features, width, side)
                wanted = net.add_input(Input(name=f"gram{block}", shape=(width, width)))
                losses.append(_distance(net, f"style{block}", gram, wanted, STYLE_WEIGHT))
            net.last = features
    net.add("loss", of=losses)
    return net.build(loss="value", optimizer=Adam(learning_rate=0.02), trains=("change",))


def _gram(net: Builder, name: str, features: str, width: int, side: int) -> str:
    """The layer of the products of all pairs of channels, as means over the pixels."""
    with net.scope(name):
        rows = net.reshape("rows", (width, side * side), of=features)
        turned = net.transpose("turned", (1, 0), of=rows)
        products = net.add_layer("products", Matmul(), (rows, turned))
        pixels = net.parameter("pixels", (1,), init=repr(1 / side**2), is_trainable=False)
        return net.add_layer("gram", Multiply(), (products, pixels))


def _distance(net: Builder, name: str, given: str, wanted: str, weight: float) -> str:
    """The layer of the weighted mean of squared differences: a number per sample."""
    axes = (1, 2, 3) if name == "content" else (1, 2)
    with net.scope(name):
        difference = net.add_layer("difference", Subtract(), (given, wanted))
        squares = net.add_layer("squares", Multiply(), (difference, difference))
        mean = net.add_layer("mean", ReduceMean(axes=axes, keep=False), squares)
        share = net.parameter("weight", (1,), init=repr(weight), is_trainable=False)
        return net.add_layer("weighted", Multiply(), (mean, share))
