"""ViT-B/16, a transformer that sees a 224 x 224 image as 196 patches of 16 x 16 pixels, for 1,000 classes.

Source: Dosovitskiy et al. 2020 (arXiv 2010.11929): BERT-base's width and depth, normalised before each part with an
epsilon of 1e-6, a class token whose result is scored; 86,567,656 parameters, as torchvision's. No dropout, as when it
is tuned to a task. Adam with the paper's momenta and a rate of its range.
"""

from __future__ import annotations

from rigmark.bench.ir.building import Builder
from rigmark.bench.ir.graph import Graph
from rigmark.bench.ir.ops.arrangement import Expand
from rigmark.bench.ir.training import Adam
from rigmark.bench.models._transformer import INIT, attention, feed_forward

EPSILON = 1e-6


def build(
    classes: int = 1000, size: int = 224, patch: int = 16, features: int = 768, heads: int = 12, blocks: int = 12
) -> Graph:
    net = Builder("vit_b_16", (3, size, size), init=INIT)
    side = size // patch
    net.conv2d("patches", features, kernel=patch, stride=patch)
    net.reshape("columns", (features, side * side))
    patches = net.transpose("rows", (1, 0))
    token = net.add_layer("tokens", Expand(), of=(net.parameter("token", (1, features), init="zeros"), patches))
    net.concat("sequence", of=(token, patches))
    steps = side * side + 1
    trunk = net.add("embedding", of=("sequence", net.parameter("positions", (steps, features), init=INIT)))
    for block in range(1, blocks + 1):
        with net.scope(f"block{block}"):
            net.layer_norm("norm1", epsilon=EPSILON)
            query, key, value = net.split("split", 3, axis=2, of=net.dense("qkv", 3 * features))
            attention(net, query, key, value, steps=steps, features=features, heads=heads)
            trunk = net.add("add1", of=(net.dense("projection", features), trunk))
            net.layer_norm("norm2", epsilon=EPSILON)
            feed_forward(net, features, tanh=False, of=net.last)
            trunk = net.add("add2", of=(net.last, trunk))
    net.layer_norm("norm", epsilon=EPSILON)
    net.slice("class", axis=1, start=0, stop=1)
    net.flatten("vector")
    net.dense("scores", classes)
    return net.build(loss="softmax_cross_entropy", optimizer=Adam(learning_rate=1e-4))
