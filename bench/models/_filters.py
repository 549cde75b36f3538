"""Networks that differ in the filters alone: so many convolutions of so many pixels in a row, at one width."""

from __future__ import annotations

from rigmark.bench.ir.building import Builder
from rigmark.bench.ir.graph import Graph
from rigmark.bench.ir.training import Sgd

CHANNELS, SIZE = 64, 56


def network(name: str, *, kernel: int, count: int, channels: int = CHANNELS, size: int = SIZE) -> Graph:
    """``count`` convolutions of ``kernel`` x ``kernel`` with ReLU, from and to ``channels``, then ten classes."""
    net = Builder(name, (channels, size, size))
    for index in range(1, count + 1):
        net.conv2d(f"conv{index}", channels, kernel=kernel, padding=kernel // 2)
        net.relu(f"relu{index}")
    net.global_avg_pool("mean")
    net.dense("classes", 10)
    return net.build(loss="softmax_cross_entropy", optimizer=Sgd(learning_rate=0.01, momentum=0.9))
