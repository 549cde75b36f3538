"""Graphs of which one layer has nearly all of the work: where their time goes is known without measuring."""

from __future__ import annotations

from collections.abc import Mapping

from rigmark.bench.ir.building import Builder
from rigmark.bench.ir.graph import Graph
from rigmark.bench.ir.training import Sgd


def dominated() -> dict[str, Graph]:
    """By kind of operation: a graph whose layer "heavy" has nearly all of the work, whatever else a machine does.

    A pooling has it in the forward pass: where which value is the largest is kept, the backward one has little left.
    """
    conv = Builder("heavy_conv", (3, 24, 24))
    conv.conv2d("first", 32, kernel=3, padding=1)
    conv.relu("before")
    conv.conv2d("heavy", 256, kernel=5, padding=2)
    conv.relu("after")
    conv.global_avg_pool("mean")
    conv.dense("scores", 3)

    dense = Builder("heavy_dense", (48,))
    dense.dense("first", 2048)
    dense.relu("before")
    dense.dense("heavy", 2048)
    dense.relu("after")
    dense.dense("scores", 3)

    pool = Builder("heavy_pool", (3, 48, 48))
    pool.conv2d("first", 16, kernel=1)
    pool.relu("before")
    pool.max_pool("heavy", kernel=9, stride=1, padding=4)
    pool.global_avg_pool("mean")
    pool.dense("scores", 3)
    return {
        kind: net.build(loss="softmax_cross_entropy", optimizer=Sgd(learning_rate=0.01))
        for kind, net in (("conv", conv), ("dense", dense), ("pool", pool))
    }


def assert_heavy_has_most(rows: Mapping[tuple[str, str], float], *directions: str) -> None:
    """Of the (layer, direction) rows of such a graph: "heavy" has the most time in each of these directions.

    It has several times that of all others together, so that nothing but wrong booking turns the order round.
    """
    for direction in directions:
        of_direction = {layer: time_s for (layer, of), time_s in rows.items() if of == direction}
        assert max(of_direction, key=lambda layer: of_direction[layer]) == "heavy", of_direction
