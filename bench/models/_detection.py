"""What networks that find things have in common: scores and boxes of anchors, and losses of what is matched to them.

Which anchor or region is which thing's, and which of them count, is an input of the graph. Libraries match them to the
boxes of each picture, and draw some at random: that depends on data, so it is no part of a network that is to be the
same in every framework.
"""

from __future__ import annotations

from collections.abc import Sequence

from rigmark.bench.ir.building import Builder
from rigmark.bench.ir.ops.arrangement import Join
from rigmark.bench.ir.ops.attention import LogSoftmax
from rigmark.bench.ir.ops.elementwise import Abs, Clip, Divide, Multiply, Negative, Softplus, Subtract
from rigmark.bench.ir.ops.lookup import GatherElements
from rigmark.bench.ir.ops.reduction import ReduceMean, ReduceSum


def constant(net: Builder, name: str, number: float) -> str:
    return net.parameter(name, (1,), init=repr(number), is_trainable=False)


def rows(net: Builder, name: str, of: str, *, anchors: int, side: int, values: int) -> str:
    """(anchors * values, side, side) of a convolution as (places * anchors, values), place by place."""
    net.transpose(f"{name}_last", (1, 2, 0), of=of)
    return net.reshape(f"{name}_rows", (side * side * anchors, values))


def joined(net: Builder, name: str, of: Sequence[str]) -> str:
    """Rows of several maps, one after another."""
    return net.add_layer(name, Join(axis=1), of)


def cross_entropy(net: Builder, name: str, scores: str, classes: str) -> str:
    """-log softmax(scores)[class] of each row: (rows, 1)."""
    with net.scope(name):
        logs = net.add_layer("logs", LogSoftmax(), scores)
        chosen = net.add_layer("chosen", GatherElements(axis=2), (logs, classes))
        return net.add_layer("each", Negative(), chosen)


def binary_cross_entropy(net: Builder, name: str, scores: str, truths: str) -> str:
    """log(1 + exp(score)) - truth * score of each score."""
    with net.scope(name):
        chosen = net.add_layer("chosen", Multiply(), (truths, scores))
        return net.add_layer("each", Subtract(), (net.add_layer("soft", Softplus(), scores), chosen))


def smooth_l1(net: Builder, name: str, given: str, wanted: str, *, beta: float) -> str:
    """Of each row of four numbers, (rows, 1): the sum of d**2 / (2 * beta) where d is below beta, else d - beta / 2."""
    with net.scope(name):
        difference = net.add_layer("difference", Subtract(), (given, wanted))
        size = net.add_layer("size", Abs(), difference)
        # c * (d - c / 2) / beta, of d and of c that does not exceed beta, is both.
        near = net.add_layer("near", Clip(high=beta), size)
        half = net.add_layer("half", Multiply(), (near, constant(net, "one_half", 0.5)))
        far = net.add_layer("far", Subtract(), (size, half))
        product = net.add_layer("product", Multiply(), (near, far))
        each = net.add_layer("each", Multiply(), (product, constant(net, "share", 1 / beta)))
        return net.add_layer("of_box", ReduceSum(axes=(2,), keep=True), each)


def mean_of_counted(net: Builder, name: str, losses: str, counted: str) -> str:
    """The mean of the losses (rows, 1) that are counted, of a sample: (1, 1); 0 where none is."""
    with net.scope(name):
        kept = net.add_layer("kept", Multiply(), (losses, counted))
        total = net.add_layer("total", ReduceSum(axes=(1,), keep=True), kept)
        count = net.add_layer("count", ReduceSum(axes=(1,), keep=True), counted)
        at_least_one = net.add_layer("at_least_one", Clip(low=1.0), count)
        return net.add_layer("mean", Divide(), (total, at_least_one))


def mean(net: Builder, name: str, losses: str) -> str:
    """The mean of losses (rows, 1) of a sample: (1, 1)."""
    return net.add_layer(name, ReduceMean(axes=(1,), keep=True), losses)
