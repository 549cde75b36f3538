"""ShuffleNet v2 at width 1.0: half of the channels pass a block as they are, and all are shuffled behind it.

Source: Ma et al. 2018 (arXiv 1807.11164), figure 3 (c) and (d) and table 5; 2,278,604 parameters, as torchvision's, and
146 M multiply-adds. SGD with a momentum of 0.9.
"""

from __future__ import annotations

from rigmark.bench.ir.building import Builder
from rigmark.bench.ir.graph import Graph
from rigmark.bench.ir.training import Sgd

STAGES = ((116, 4), (232, 8), (464, 4))          # channels, blocks


def build(classes: int = 1000, size: int = 224) -> Graph:
    net = Builder("shufflenet_v2", (3, size, size))
    _convolution(net, "stem", 24, kernel=3, stride=2)
    net.max_pool("pool", kernel=3, stride=2, padding=1)
    side = ((size - 1) // 2 + 1 - 1) // 2 + 1        # of the image behind the pooling, rounded up
    entering = 24
    for stage, (channels, blocks) in enumerate(STAGES, 2):
        side = (side - 1) // 2 + 1
        for index in range(1, blocks + 1):
            with net.scope(f"stage{stage}.block{index}"):
                branches = _halving(net, entering, channels) if index == 1 else _kept(net, channels)
                net.concat("concat", of=branches)
                _shuffle(net, channels, side)
        entering = channels
    _convolution(net, "head", 1024, kernel=1)
    net.global_avg_pool("mean")
    net.dense("classes", classes)
    return net.build(loss="softmax_cross_entropy", optimizer=Sgd(learning_rate=0.01, momentum=0.9))


def _halving(net: Builder, entering: int, channels: int) -> tuple[str, str]:
    """The two branches of a block that halves the image and widens it to ``channels``."""
    entry = net.last
    _depthwise(net, "shortcut_depthwise", entering, stride=2)
    shortcut = _convolution(net, "shortcut", channels // 2, kernel=1)
    net.last = entry
    return shortcut, _branch(net, channels // 2, stride=2)


def _kept(net: Builder, channels: int) -> tuple[str, str]:
    """Half of the channels as they are, and what a branch makes of the others."""
    kept, net.last = net.split("split", 2, axis=1)
    return kept, _branch(net, channels // 2, stride=1)


def _branch(net: Builder, channels: int, *, stride: int) -> str:
    _convolution(net, "expand", channels, kernel=1)
    _depthwise(net, "depthwise", channels, stride=stride)
    return _convolution(net, "project", channels, kernel=1)


def _convolution(net: Builder, name: str, channels: int, *, kernel: int, stride: int = 1) -> str:
    net.conv2d(name, channels, kernel=kernel, stride=stride, padding=kernel // 2, bias=False)
    net.batch_norm(f"{name}_norm")
    return net.relu(f"{name}_relu")


def _depthwise(net: Builder, name: str, channels: int, *, stride: int) -> None:
    net.conv2d(name, channels, kernel=3, stride=stride, padding=1, groups=channels, bias=False)
    net.batch_norm(f"{name}_norm")


def _shuffle(net: Builder, channels: int, side: int) -> None:
    """Channels of the two branches in turns."""
    net.reshape("branches", (2, channels // 2, side, side))
    net.transpose("in_turns", (1, 0, 2, 3))
    net.reshape("shuffled", (channels, side, side))
