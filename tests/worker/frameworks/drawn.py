"""Graphs of one operation each, whose shapes and settings are drawn: what nobody thought of for the fixed table.

Whatever the rules of an operation refuse is drawn again, so that its shapes are bounded by these rules alone.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable

from rigmark.bench.ir.building import Builder
from rigmark.bench.ir.graph import Graph, Input, tokens
from rigmark.bench.ir.ops import OPS, BadGraph, Op, Shape
from rigmark.bench.ir.training import Sgd

SGD = Sgd(learning_rate=0.01)
TRIES = 1000
POSITIVE = ("log", "sqrt", "power", "reciprocal")        # of numbers that are not near 0


class Draw(random.Random):
    def shape(self, least: int, most: int) -> Shape:
        """Of so many axes."""
        return tuple(self.size() for _ in range(self.randint(least, most)))

    def size(self, least: int = 1) -> int:
        return self.randint(least, 6)

    def pair(self, least: int = 1, most: int = 3) -> tuple[int, int]:
        return self.randint(least, most), self.randint(least, most)

    def is_so(self) -> bool:
        return self.random() < 0.5

    def axis(self, sample: Shape) -> int:
        """One that is not the batch's, from either end."""
        axis = self.randint(1, len(sample))
        return axis if self.is_so() else axis - len(sample) - 1

    def parts(self, total: int) -> Shape:
        """Positive sizes of this product."""
        sizes = []
        while total > 1 and self.random() < 0.8:
            sizes.append(self.choice([each for each in range(1, total + 1) if total % each == 0]))
            total //= sizes[-1]
        return (*sizes, total)


def drawn(kind: str, seed: int) -> Graph:
    """A small graph with an operation of this kind, the same for the same seed."""
    draw = Draw(f"{kind} {seed}")
    for _ in range(TRIES):
        try:
            return GRAPHS.get(kind, _of_one_value)(draw, kind)
        except BadGraph:
            continue
    raise ValueError(f"nothing that was drawn is a graph of {kind}")


def _op(kind: str, **settings: object) -> Op:
    return OPS[kind](**settings)


def _entry(draw: Draw, sample: Shape, name: str = "input") -> tuple[Builder, str]:
    """A layer with weights, whose samples have the drawn shape in all but the axis that it mixes."""
    net = Builder("drawn")
    if len(sample) == 3 and draw.is_so():
        net.add_input(Input(name=name, shape=(2, *sample[1:])))
        return net, net.conv2d("first", sample[0], kernel=1, of=name)
    net.add_input(Input(name=name, shape=(*sample[:-1], 3)))
    return net, net.dense("first", sample[-1], of=name)


def _positive(net: Builder, of: str) -> str:
    """Numbers from a quarter to five quarters."""
    more = net.parameter("more", (1,), init="0.25", is_trainable=False)
    return net.add("positive", of=(net.sigmoid("up_to_1", of=of), more))


def _finished(net: Builder, last: str) -> Graph:
    """With a loss that gives each element a gradient of its own."""
    return net.build(loss="mean_squared_error", optimizer=SGD, outputs=(last,))


# Of one value ----------------------------------------------------------------------------------------------------

SHAPES: dict[str, tuple[int, int]] = {
    **dict.fromkeys((
        "conv2d", "conv_transpose2d", "max_pool", "avg_pool", "global_avg_pool", "local_response_norm", "group_norm",
        "resize",
    ), (3, 3)),
    **dict.fromkeys(("lstm", "gru", "rnn"), (2, 2)), "rotary": (1, 3), "batch_norm": (1, 3), "concat": (1, 3),
}
"""Numbers of axes of a sample, where not from 1 to 4."""


def _axes(draw: Draw, sample: Shape) -> tuple[int, ...]:
    axes = draw.sample(range(1, len(sample) + 1), draw.randint(1, len(sample)))
    return tuple(axis if draw.is_so() else axis - len(sample) - 1 for axis in axes)


def _slice(draw: Draw, sample: Shape) -> dict[str, object]:
    axis = draw.axis(sample)
    size = sample[axis - 1 if axis > 0 else axis]
    start = draw.randrange(size)
    return {"axis": axis, "start": start, "stop": draw.randint(start + 1, size),
            "step": draw.choice([None, draw.size()])}


def _split(draw: Draw, sample: Shape) -> dict[str, object]:
    axis, sizes = draw.axis(sample), tuple(draw.randint(1, 3) for _ in range(draw.randint(1, 3)))
    if draw.is_so():
        return {"axis": axis, "parts": len(sizes)}
    return {"axis": axis, "parts": len(sizes), "sizes": sizes}


def _gather(draw: Draw, sample: Shape) -> dict[str, object]:
    axis = draw.axis(sample)
    size = sample[axis - 1 if axis > 0 else axis]
    return {"axis": axis, "indices": tuple(draw.randrange(size) for _ in range(draw.size()))}


def _pad(draw: Draw, sample: Shape) -> dict[str, object]:
    before, after = ((0, *(draw.randint(0, 3) for _ in sample)) for _ in range(2))
    return {"before": before, "after": after, "mode": draw.choice(["constant", "edge", "reflect"]),
            "value": draw.uniform(-1, 1)}


def _transposed(draw: Draw, _: Shape) -> dict[str, object]:
    return {"out_channels": draw.size(), "kernel": draw.pair(), "stride": draw.pair(), "padding": draw.pair(0, 2),
            "output_padding": draw.pair(0, 2), "dilation": draw.pair(), "groups": draw.randint(1, 3),
            "bias": draw.is_so()}


def _recurrent(draw: Draw, _: Shape) -> dict[str, object]:
    return {"hidden": draw.size(), "directions": draw.choice([None, 1, 2]), "final": draw.choice([None, True])}


def _reduction(draw: Draw, sample: Shape) -> dict[str, object]:
    return {"axes": _axes(draw, sample), "keep": draw.is_so()}


SETTINGS: dict[str, Callable[[Draw, Shape], dict[str, object]]] = {
    "clip": lambda draw, _: {"low": draw.choice([None, draw.uniform(-1, 0)]),
                             "high": draw.choice([None, draw.uniform(0, 1)])},
    "gelu": lambda draw, _: {"tanh": draw.is_so()},
    "leaky_relu": lambda draw, _: {"slope": draw.uniform(0, 1)},
    "prelu": lambda draw, _: {"is_shared": draw.is_so()},
    "elu": lambda draw, _: {"alpha": draw.uniform(0.1, 2)},
    "hard_sigmoid": lambda draw, _: {"alpha": draw.uniform(0.1, 0.5), "beta": draw.uniform(0.2, 0.8)},
    "power": lambda draw, _: {"exponent": draw.choice([2.0, 3.0, 0.5, -1.0, draw.uniform(-2, 3)])},
    "dropout": lambda draw, _: {"rate": draw.uniform(0, 0.7)},
    "dense": lambda draw, _: {"out_features": draw.size(), "bias": draw.is_so()},
    "conv2d": lambda draw, _: {
        "out_channels": draw.size(), "kernel": draw.pair(1, 4), "stride": draw.pair(), "padding": draw.pair(0, 3),
        "dilation": draw.pair(), "groups": draw.randint(1, 3), "bias": draw.is_so()},
    "conv_transpose2d": _transposed,
    "max_pool": lambda draw, _: {"kernel": draw.pair(), "stride": draw.pair(), "padding": draw.pair(0, 1)},
    "avg_pool": lambda draw, _: {"kernel": draw.pair(), "stride": draw.pair(), "padding": draw.pair(0, 1),
                                 "count_include_pad": draw.is_so()},
    "batch_norm": lambda draw, _: {"epsilon": draw.uniform(0.01, 0.1), "momentum": draw.random()},
    "local_response_norm": lambda draw, _: {"size": draw.choice([1, 3, 5, 7]), "alpha": draw.uniform(0.1, 1),
                                            "beta": draw.uniform(0.5, 1), "k": draw.uniform(1, 2)},
    "layer_norm": lambda draw, _: {"epsilon": draw.uniform(0.01, 0.1)},
    "rms_norm": lambda draw, _: {"epsilon": draw.uniform(0.01, 0.1)},
    "group_norm": lambda draw, _: {"groups": draw.randint(1, 3), "epsilon": draw.uniform(0.01, 0.1)},
    "resize": lambda draw, _: {
        "size": (draw.size(), draw.size()), "mode": draw.choice(["nearest", "bilinear", "bicubic"]),
        "coordinates": draw.choice(["half_pixel", "align_corners", "asymmetric"])},
    **dict.fromkeys(("reduce_sum", "reduce_mean", "reduce_max", "reduce_min"), _reduction),
    "cumulative_sum": lambda draw, sample: {"axis": draw.axis(sample)},
    "top_k": lambda draw, sample: {"axis": draw.axis(sample), "count": draw.randint(1, 3)},
    "reshape": lambda draw, sample: {"shape": draw.parts(math.prod(sample))},
    "transpose": lambda draw, sample: {"axes": tuple(draw.sample(range(len(sample)), len(sample)))},
    "slice": _slice, "split": _split, "gather": _gather, "pad": _pad,
    "tile": lambda draw, sample: {"times": (1, *(draw.randint(1, 3) for _ in sample))},
    "rotary": lambda draw, _: {"base": draw.uniform(2, 100), "interleaved": draw.is_so()},
    "lstm": _recurrent,
    "gru": lambda draw, sample: {**_recurrent(draw, sample), "reset_after": draw.is_so()},
    "rnn": lambda draw, sample: {**_recurrent(draw, sample), "relu": draw.is_so()},
}


def _of_one_value(draw: Draw, kind: str) -> Graph:
    sample = draw.shape(*SHAPES.get(kind, (1, 4)))
    net, entry = _entry(draw, sample)
    if kind in POSITIVE:
        entry = _positive(net, entry)
    settings = SETTINGS[kind](draw, sample) if kind in SETTINGS else {}
    net.add_layer("op", _op(kind, **settings), of=entry)
    number = draw.randrange(settings["parts"] if kind == "split" else 2 if settings.get("final") else 1)
    return _finished(net, f"op:{number}" if number else "op")


# Of several values -----------------------------------------------------------------------------------------------


def _beside(draw: Draw, net: Builder, sample: Shape) -> str:
    """A value that broadcasts to the samples: one that all share, or a part of what each has."""
    if draw.is_so():
        shape = tuple(draw.choice([1, size]) for size in (1, *sample))
        return net.parameter("beside", shape[draw.randint(0, len(sample)):], init="standard_normal")
    value = net.dense("wide", sample[-1], of="first") if draw.is_so() else net.sigmoid("bent", of="first")
    for axis, size in enumerate(sample, 1):
        if size > 1 and draw.random() < 0.3:
            start = draw.randrange(size)
            value = net.slice(f"part{axis}", axis=axis, start=start, stop=start + 1, of=value)
    return value


def _of_two_values(draw: Draw, kind: str) -> Graph:
    sample = draw.shape(1, 4)
    net, entry = _entry(draw, sample)
    other = _beside(draw, net, sample)
    if kind == "divide":
        other = _positive(net, other)
    net.add_layer("op", _op(kind), of=(entry, other) if kind == "divide" or draw.is_so() else (other, entry))
    return _finished(net, "op")


def _of_conditions(draw: Draw, kind: str) -> Graph:
    sample = draw.shape(1, 4)
    net, entry = _entry(draw, sample)
    other = _beside(draw, net, sample)
    condition = net.add_layer("less", _op("less" if kind in ("and", "or", "not", "where", "cast") else kind),
                              of=(entry, other))
    if kind == "not":
        condition = net.add_layer("op", _op(kind), of=condition)
    elif kind in ("and", "or"):
        zero = net.parameter("zero", (1,), init="zeros", is_trainable=False)
        positive = net.add_layer("greater", _op("greater"), of=(entry, zero))
        condition = net.add_layer("op", _op(kind), of=(condition, positive))
    if kind == "cast":
        whole = net.add_layer("whole", _op(kind, to=draw.choice(["int64", "bool"])), of=other)
        numbers = [net.add_layer(f"float_of_{of}", _op(kind, to="float"), of=of) for of in (condition, whole)]
        return _finished(net, net.add("sum", of=(entry, *numbers)))
    return _finished(net, net.add_layer("chosen", _op("where"), of=(
        (condition, entry, other) if draw.is_so() else (condition, other, entry))))


def _joined(draw: Draw, kind: str) -> Graph:
    sample = draw.shape(1, 3)
    axis = 1 if kind == "concat" else draw.axis(sample)
    net, entry = _entry(draw, sample)
    values = [entry]
    for index in range(draw.randint(1, 2)):
        value = net.tanh(f"bent{index}", of=entry)
        size = sample[axis - 1 if axis > 0 else axis]
        values.append(net.slice(f"part{index}", axis=axis, start=0, stop=draw.randint(1, size), of=value))
    draw.shuffle(values)
    settings = {} if kind == "concat" else {"axis": axis}
    return _finished(net, net.add_layer("op", _op(kind, **settings), of=values))


def _of_a_parameter(draw: Draw, kind: str) -> Graph:
    sample = draw.shape(1, 4)
    net, entry = _entry(draw, sample)
    value = net.parameter("value", sample, init="standard_normal")
    value = net.add_layer("op", _op("expand"), of=(value, entry)) if kind == "expand" else value
    return _finished(net, net.add("sum", of=(entry, value)))


def _moved(draw: Draw, kind: str) -> Graph:
    """There and back, with a product by the last axis, wherever the batch is."""
    sample = draw.shape(1, 3)
    net, entry = _entry(draw, sample)
    if kind == "permute":
        axes = tuple(draw.sample(range(len(sample) + 1), len(sample) + 1))
        there, back = _op(kind, axes=axes), _op(kind, axes=tuple(axes.index(axis) for axis in range(len(axes))))
        net.add_layer("there", there, of=entry)
        net.add_layer("bent", _op("cumulative_sum", axis=draw.randrange(len(axes))))
    else:
        there = _op(kind, shape=draw.parts(math.prod(sample)), batch=0)
        back = _op(kind, shape=(1, *sample), batch=0)
        net.add_layer("there", there, of=entry)
        net.dense("mixed", there.shape[-1])              # type: ignore[attr-defined]
    return _finished(net, net.add_layer("back", back))


def _matmul(draw: Draw, kind: str) -> Graph:
    *outer, _, columns = sample = draw.shape(2, 4)
    net, entry = _entry(draw, sample)
    if draw.is_so():
        axes = (*range(len(outer)), len(outer) + 1, len(outer))
        return _finished(net, net.add_layer("op", _op(kind), of=(entry, net.transpose("turned", axes))))
    shape = tuple(draw.choice([1, size]) for size in (1, *outer))
    other = net.parameter("other", (*shape[draw.randint(0, len(shape)):], columns, draw.size()), init="standard_normal")
    return _finished(net, net.add_layer("op", _op(kind), of=(entry, other)))


def _attention(draw: Draw, kind: str) -> Graph:
    heads, steps, features = draw.randint(1, 4), draw.size(), draw.size()
    net, entry = _entry(draw, (heads, steps, features))
    causal, of_keys = draw.is_so(), draw.randint(1, steps)
    keys = net.tanh("of_keys", of=entry)
    if not causal:
        keys = net.slice("seen", axis=2, start=0, stop=of_keys)
    if heads % 2 == 0 and draw.is_so():                  # each of them for two heads of the query
        keys = net.slice("heads", axis=1, start=0, stop=heads // 2, of=keys)
    query = net.dense("query", features, of=entry)
    value = net.dense("value", draw.size(), of=keys)
    masks = []
    if not causal and draw.is_so():
        shape = tuple(draw.choice([1, size]) for size in (heads, steps, of_keys))
        masks = [net.parameter("mask", shape, init="standard_normal")]
    settings = {"causal": causal, "scale": draw.choice([None, draw.uniform(0.1, 1)])}
    return _finished(net, net.add_layer("op", _op(kind, **settings), of=(query, keys, value, *masks)))


def _regions(draw: Draw, kind: str) -> Graph:
    net, entry = _entry(draw, draw.shape(3, 3))
    net.add_input(Input(name="boxes", shape=(draw.size(), 4)))
    settings = {"size": draw.pair(), "samples": draw.randint(1, 3), "scale": draw.uniform(0.5, 4),
                "aligned": draw.is_so()}
    return _finished(net, net.add_layer("op", _op(kind, **settings), of=(entry, "boxes")))


def _embedded(draw: Draw, kind: str) -> Graph:
    net, vocabulary = Builder("drawn"), draw.size()
    net.add_input(tokens(draw.shape(1, 3), vocabulary))
    settings = {"mean": draw.is_so()} if kind == "embedding_bag" else {}
    net.add_layer("op", _op(kind, vocabulary=vocabulary, features=draw.size(), **settings), of="input")
    return _finished(net, "op")


def _one_hot(draw: Draw, kind: str) -> Graph:
    net, depth = Builder("drawn"), draw.size()
    net.add_input(tokens(draw.shape(1, 3), depth))
    net.add_layer("op", _op(kind, depth=depth), of="input")
    return _finished(net, net.dense("row", draw.size()))


def _by_places(draw: Draw, kind: str) -> Graph:
    sample = draw.shape(1, 3)
    net, entry = _entry(draw, sample, "values")
    axis = draw.axis(sample)
    from_front = axis if axis > 0 else axis + len(sample) + 1
    size = sample[from_front - 1]
    shape = tuple(draw.size() if index == from_front else each for index, each in enumerate(sample, 1))
    net.add_input(tokens(shape, size, "places"))
    chosen = net.add_layer("op", _op("gather_elements", axis=axis), of=(entry, "places"))
    if kind == "scatter_add":
        chosen = net.add_layer("added", _op(kind, axis=axis), of=(entry, "places", net.tanh("more", of=chosen)))
    return _finished(net, chosen)


def _argmax(draw: Draw, kind: str) -> Graph:
    sample = draw.shape(1, 3)
    net, entry = _entry(draw, sample)
    net.add_layer("op", _op(kind, axis=draw.axis(sample), keep=True), of=entry)
    return _finished(net, net.add("sum", of=(entry, net.add_layer("number", _op("cast", to="float"), of="op"))))


def _unpooled(draw: Draw, kind: str) -> Graph:
    _, rows, columns = sample = draw.shape(3, 3)
    net, entry = _entry(draw, sample)
    kernel = draw.pair()
    stride = tuple(each + draw.randint(0, 1) for each in kernel)
    pool = _op("max_pool", kernel=kernel, stride=stride, padding=draw.pair(0, 1), indices=True)
    net.add_layer("pool", pool, of=entry)
    size = rows + draw.randint(0, 2), columns + draw.randint(0, 2)
    net.add_layer("op", _op(kind, size=size), of=("pool", "pool:1"))
    return _finished(net, "op")


GRAPHS: dict[str, Callable[[Draw, str], Graph]] = {
    **dict.fromkeys(("add", "subtract", "multiply", "divide", "maximum", "minimum"), _of_two_values),
    **dict.fromkeys((
        "greater", "less", "greater_equal", "less_equal", "equal", "and", "or", "not", "where", "cast",
    ), _of_conditions),
    **dict.fromkeys(("concat", "join"), _joined), **dict.fromkeys(("expand", "parameter"), _of_a_parameter),
    **dict.fromkeys(("permute", "regroup"), _moved), **dict.fromkeys(("embedding", "embedding_bag"), _embedded),
    **dict.fromkeys(("gather_elements", "scatter_add"), _by_places),
    "matmul": _matmul, "attention": _attention, "one_hot": _one_hot, "argmax": _argmax, "max_unpool": _unpooled,
    "roi_align": _regions,
}
