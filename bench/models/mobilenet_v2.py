"""MobileNet v2 at width 1.0: inverted residuals with depthwise convolutions, for 224 x 224 images of 1,000 classes.

Source: Sandler et al. 2018 (arXiv 1801.04381), table 2; 3,504,872 parameters and 300 M multiply-adds, as torchvision's.
ReLU6 behind all convolutions but the last of a block, dropout of 0.2 before the classes as in its implementations, SGD
in place of RMSProp.
"""

from __future__ import annotations

from rigmark.bench.ir.building import Builder
from rigmark.bench.ir.graph import Graph
from rigmark.bench.ir.ops.elementwise import Clip
from rigmark.bench.ir.training import Sgd

STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
"""(expansion, channels, blocks, stride of the first block) of each, table 2's t, c, n, s."""


def build(classes: int = 1000, size: int = 224) -> Graph:
    net = Builder("mobilenet_v2", (3, size, size), init="he_normal")
    _convolution(net, "stem", 32, kernel=3, stride=2)
    channels = 32
    for stage, (expansion, width, blocks, stride) in enumerate(STAGES, 1):
        for block in range(1, blocks + 1):
            with net.scope(f"stage{stage}.block{block}"):
                _inverted_residual(net, channels, width, expansion, stride if block == 1 else 1)
            channels = width
    _convolution(net, "head", 1280, kernel=1)
    net.global_avg_pool("pool")
    net.dropout("dropout", 0.2)
    net.dense("classes", classes)
    return net.build(loss="softmax_cross_entropy", optimizer=Sgd(learning_rate=0.01, momentum=0.9))


def _inverted_residual(net: Builder, channels: int, width: int, expansion: int, stride: int) -> None:
    entry, inside = net.last, channels * expansion
    if expansion != 1:
        _convolution(net, "expand", inside, kernel=1)
    _convolution(net, "depthwise", inside, kernel=3, stride=stride, groups=inside)
    net.conv2d("project", width, kernel=1, bias=False)
    net.batch_norm("project_norm")
    if stride == 1 and channels == width:
        net.add("add", of=(net.last, entry))


def _convolution(net: Builder, name: str, channels: int, *, kernel: int, stride: int = 1, groups: int = 1) -> None:
    net.conv2d(name, channels, kernel=kernel, stride=stride, padding=kernel // 2, groups=groups, bias=False)
    net.batch_norm(f"{name}_norm")
    net.add_layer(f"{name}_relu6", Clip(low=0.0, high=6.0))
