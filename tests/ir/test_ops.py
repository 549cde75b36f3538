"""Shapes and costs of operations against counting by hand, one multiplication at a time."""

from __future__ import annotations

import dataclasses
import json
import math
from itertools import product
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from rigmark.bench.ir.building import Builder
from rigmark.bench.ir.ops import (
    OPS,
    BadGraph,
    Op,
    Pair,
    Shape,
    Tensor,
    arrangement,
    attention,
    comparison,
    elementwise,
    lookup,
    normalisation,
    of_sample,
    parameters,
    pooling,
    products,
    recurrent,
    reduction,
    resampling,
)
from rigmark.bench.ir.ops.convolution import Conv2d, ConvTranspose2d
from rigmark.bench.ir.training import Sgd
from rigmark.bench.ir.weights import INITIALISERS

IMAGE, VECTOR, SEQUENCE = (4, 6, 5), (12,), (7, 12)

HEADS = (1, 2, 5, 3)             # of a batch of one: heads, steps, features
BATCH_OF_ONE = (1, *SEQUENCE)
EXAMPLES: dict[str, tuple[Op, tuple[Shape, ...]]] = {
    "conv2d": (Conv2d(out_channels=6, kernel=(3, 3), groups=2), (IMAGE,)),
    "dense": (products.Dense(out_features=5), (VECTOR,)),
    "max_pool": (pooling.MaxPool(kernel=(2, 2), stride=(2, 2)), (IMAGE,)),
    "avg_pool": (pooling.AvgPool(kernel=(3, 2), stride=(1, 1)), (IMAGE,)),
    "global_avg_pool": (pooling.GlobalAvgPool(), (IMAGE,)),
    "batch_norm": (normalisation.BatchNorm(), (IMAGE,)),
    "relu": (elementwise.Relu(), (IMAGE,)),
    "tanh": (elementwise.Tanh(), (IMAGE,)),
    "sigmoid": (elementwise.Sigmoid(), (IMAGE,)),
    "softmax": (attention.Softmax(), (VECTOR,)),
    "dropout": (elementwise.Dropout(rate=0.5), (IMAGE,)),
    "local_response_norm": (normalisation.LocalResponseNorm(size=5, alpha=1e-4, beta=0.75, k=2.0), (IMAGE,)),
    "add": (elementwise.Add(), (IMAGE, IMAGE)),
    "concat": (arrangement.Concat(), (IMAGE, IMAGE)),
    "flatten": (arrangement.Flatten(), (IMAGE,)),
    "embedding": (lookup.Embedding(vocabulary=11, features=4), ((7,),)),
    "lstm": (recurrent.Lstm(hidden=5), (SEQUENCE,)),
    "reshape": (arrangement.Reshape(shape=(math.prod(IMAGE),)), (IMAGE,)),
    "transpose": (arrangement.Transpose(axes=(1, 0)), (SEQUENCE,)),
    "slice": (arrangement.Slice(axis=1, start=2, stop=6), (BATCH_OF_ONE,)),
    "split": (arrangement.Split(axis=-1, parts=3), (BATCH_OF_ONE,)),
    "expand": (arrangement.Expand(), ((7, 12), BATCH_OF_ONE)),
    "gather": (lookup.Gather(axis=1, indices=(0, 3, 3)), (BATCH_OF_ONE,)),
    "parameter": (parameters.ParameterValue(shape=(7, 12), init="zeros"), ()),
    "matmul": (products.Matmul(), (HEADS, (1, 2, 3, 4))),
    "attention": (attention.Attention(), (HEADS, (1, 2, 7, 3), (1, 2, 7, 4))),
    "layer_norm": (normalisation.LayerNorm(), (BATCH_OF_ONE,)),
    "rms_norm": (normalisation.RmsNorm(), (BATCH_OF_ONE,)),
    "group_norm": (normalisation.GroupNorm(groups=2), (IMAGE,)),
    "clip": (elementwise.Clip(low=0.0, high=6.0), (BATCH_OF_ONE,)),
    "gelu": (elementwise.Gelu(), (BATCH_OF_ONE,)),
    "silu": (elementwise.Silu(), (BATCH_OF_ONE,)),
    "exp": (elementwise.Exp(), (BATCH_OF_ONE,)),
    "log": (elementwise.Log(), (BATCH_OF_ONE,)),
    "sqrt": (elementwise.Sqrt(), (BATCH_OF_ONE,)),
    "abs": (elementwise.Abs(), (BATCH_OF_ONE,)),
    "negative": (elementwise.Negative(), (BATCH_OF_ONE,)),
    "sin": (elementwise.Sin(), (BATCH_OF_ONE,)),
    "cos": (elementwise.Cos(), (BATCH_OF_ONE,)),
    "subtract": (elementwise.Subtract(), (BATCH_OF_ONE, (12,))),
    "multiply": (elementwise.Multiply(), (BATCH_OF_ONE, (12,))),
    "divide": (elementwise.Divide(), (BATCH_OF_ONE, BATCH_OF_ONE)),
    "maximum": (elementwise.Maximum(), (BATCH_OF_ONE, BATCH_OF_ONE)),
    "minimum": (elementwise.Minimum(), (BATCH_OF_ONE, BATCH_OF_ONE)),
    "reduce_sum": (reduction.ReduceSum(axes=(1,)), (BATCH_OF_ONE,)),
    "reduce_mean": (reduction.ReduceMean(axes=(1, 2)), (BATCH_OF_ONE,)),
    "reduce_max": (reduction.ReduceMax(axes=(2,)), (BATCH_OF_ONE,)),
    "greater": (comparison.Greater(), (BATCH_OF_ONE, BATCH_OF_ONE)),
    "less": (comparison.Less(), (BATCH_OF_ONE, BATCH_OF_ONE)),
    "equal": (comparison.Equal(), (BATCH_OF_ONE, BATCH_OF_ONE)),
    "where": (comparison.Where(), (BATCH_OF_ONE, BATCH_OF_ONE, BATCH_OF_ONE)),
    "greater_equal": (comparison.GreaterEqual(), (BATCH_OF_ONE, BATCH_OF_ONE)),
    "less_equal": (comparison.LessEqual(), (BATCH_OF_ONE, BATCH_OF_ONE)),
    "and": (comparison.And(), (BATCH_OF_ONE, BATCH_OF_ONE)),
    "or": (comparison.Or(), (BATCH_OF_ONE, BATCH_OF_ONE)),
    "not": (comparison.Not(), (BATCH_OF_ONE,)),
    "cast": (comparison.Cast(to="int64"), (BATCH_OF_ONE,)),
    "leaky_relu": (elementwise.LeakyRelu(), (BATCH_OF_ONE,)),
    "prelu": (elementwise.PRelu(), (IMAGE,)),
    "elu": (elementwise.Elu(), (BATCH_OF_ONE,)),
    "selu": (elementwise.Selu(), (BATCH_OF_ONE,)),
    "softplus": (elementwise.Softplus(), (BATCH_OF_ONE,)),
    "hard_sigmoid": (elementwise.HardSigmoid(), (BATCH_OF_ONE,)),
    "hard_swish": (elementwise.HardSwish(), (BATCH_OF_ONE,)),
    "power": (elementwise.Power(exponent=2.0), (BATCH_OF_ONE,)),
    "reciprocal": (elementwise.Reciprocal(), (BATCH_OF_ONE,)),
    "erf": (elementwise.Erf(), (BATCH_OF_ONE,)),
    "reduce_min": (reduction.ReduceMin(axes=(2,)), (BATCH_OF_ONE,)),
    "cumulative_sum": (reduction.CumulativeSum(axis=2), (BATCH_OF_ONE,)),
    "argmax": (reduction.ArgMax(axis=2), (BATCH_OF_ONE,)),
    "top_k": (reduction.TopK(axis=2, count=2), (BATCH_OF_ONE,)),
    "log_softmax": (attention.LogSoftmax(), (VECTOR,)),
    "one_hot": (lookup.OneHot(depth=3), ((1, 7),)),
    "gather_elements": (lookup.GatherElements(axis=1), (BATCH_OF_ONE, (1, 2, 12))),
    "join": (arrangement.Join(axis=2), (BATCH_OF_ONE, BATCH_OF_ONE)),
    "permute": (arrangement.Permute(axes=(1, 0, 2)), (BATCH_OF_ONE,)),
    "regroup": (arrangement.Regroup(shape=(7, 1, 12), batch=1), ((7, 1, 12),)),
    "tile": (arrangement.Tile(times=(1, 2, 3)), (BATCH_OF_ONE,)),
    "rotary": (attention.Rotary(), ((1, 5, 4),)),
    "embedding_bag": (lookup.EmbeddingBag(vocabulary=11, features=4, mean=True), ((7,),)),
    "scatter_add": (lookup.ScatterAdd(axis=1), (BATCH_OF_ONE, (1, 2, 12), (1, 2, 12))),
    "max_unpool": (pooling.MaxUnpool(size=(12, 10)), (IMAGE, IMAGE)),
    "conv_transpose2d": (ConvTranspose2d(out_channels=6, kernel=(3, 2), stride=(2, 1), groups=2), (IMAGE,)),
    "resize": (resampling.Resize(size=(3, 7), mode="bilinear"), (IMAGE,)),
    "roi_align": (resampling.RoiAlign(size=(3, 2), samples=2), (IMAGE, (5, 4))),
    "gru": (recurrent.Gru(hidden=5, directions=2), (SEQUENCE,)),
    "rnn": (recurrent.Rnn(hidden=5, final=True), (SEQUENCE, (1, 5))),
    "pad": (arrangement.Pad(before=(0, 1, 0), after=(0, 2, 3)), (BATCH_OF_ONE,)),
}

PIXELS = math.prod(IMAGE)
FLOPS = {
    "conv2d": 2 * 6 * 4 * 3 * (2 * 9) + 6 * 4 * 3,   # 6 x 4 x 3 outputs of 2 channels x 3 x 3 products, and a bias
    "dense": 2 * 12 * 5 + 5,
    "max_pool": 4 * 3 * 2 * 4,
    "avg_pool": 4 * 4 * 4 * 6,
    "global_avg_pool": PIXELS,
    "batch_norm": 2 * PIXELS,                        # one scale, one shift
    "relu": PIXELS,
    "tanh": PIXELS,
    "sigmoid": PIXELS,
    "softmax": 3 * 12,
    "dropout": 0,
    "local_response_norm": 10 * PIXELS,
    "add": PIXELS,
    "concat": 0,
    "flatten": 0,
    "embedding": 0,
    "lstm": 7 * (2 * 4 * 5 * (12 + 5) + 17 * 5),     # four gates of 5 from 12 + 5 numbers, 17 sums and functions
    "reshape": 0,
    "transpose": 0,
    "slice": 0,
    "split": 0,
    "expand": 0,
    "gather": 0,
    "parameter": 0,
    "matmul": 2 * 2 * 5 * 3 * 4,                     # 2 heads of (5, 3) x (3, 4)
    "attention": 2 * 2 * 5 * 7 * (3 + 4) + 4 * 2 * 5 * 7,    # 2 x 5 x 7 pairs: both products, and 4 for the softmax
    "layer_norm": 6 * 84,
    "rms_norm": 3 * 84,
    "group_norm": 6 * PIXELS,
    "clip": 2 * 84,
    "gelu": 5 * 84,
    "silu": 2 * 84,
    **dict.fromkeys(("exp", "log", "sqrt", "abs", "negative", "sin", "cos", "power", "reciprocal", "erf"), 84),
    "leaky_relu": 2 * 84,
    "prelu": 2 * PIXELS,
    "elu": 3 * 84,
    "selu": 4 * 84,
    "softplus": 3 * 84,
    "hard_sigmoid": 4 * 84,
    "hard_swish": 5 * 84,
    "log_softmax": 3 * 12,
    **dict.fromkeys(("reduce_min", "cumulative_sum", "argmax", "greater_equal", "less_equal", "and", "or", "not"), 84),
    "top_k": 84,
    "rotary": 3 * 5 * 4,
    "embedding_bag": 7 * 4 + 4,
    "scatter_add": 2 * 12,
    "max_unpool": 0,
    "conv_transpose2d": 2 * 6 * 5 * 4 * 3 * 3 * 2 + 6 * 13 * 6,   # each pixel of 4 to 3 channels x 3 x 2, and a bias
    "resize": 7 * 4 * 3 * 7,                                          # 4 products and 3 sums
    "roi_align": 8 * 2**2 * 5 * 4 * 3 * 2,                            # of each sample, and a sum over the samples
    "gru": 2 * 7 * (2 * 3 * 5 * (12 + 5) + 17 * 5),
    "rnn": 7 * (2 * 5 * (12 + 5) + 3 * 5),
    **dict.fromkeys(("cast", "one_hot", "gather_elements", "join", "permute", "regroup", "tile", "pad"), 0),
    **dict.fromkeys(("subtract", "multiply", "divide", "maximum", "minimum"), 84),
    **dict.fromkeys(("reduce_sum", "reduce_mean", "reduce_max"), 84),
    **dict.fromkeys(("greater", "less", "equal"), 84),
    "where": 0,
}
"""FLOPs of the examples, worked out by hand."""

small = st.integers(1, 3)
pairs = st.tuples(small, small)
paddings = st.tuples(st.integers(0, 2), st.integers(0, 2))
sizes = st.tuples(st.integers(1, 7), st.integers(1, 7))


def positions(size: int, kernel: int, stride: int, padding: int, dilation: int = 1) -> list[int]:
    """Where a window may begin, so that all of it lies within the padded size."""
    last_cell = dilation * (kernel - 1)
    return [start for start in range(-padding, size + padding, stride) if start + last_cell < size + padding]


@given(
    size=sizes, kernel=pairs, stride=pairs, padding=paddings, dilation=pairs, groups=small, group_in=small,
    group_out=small, bias=st.booleans(),
)
@settings(derandomize=True, max_examples=150)
def test_a_convolution_costs_what_counting_each_product_gives(
    size: Pair, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, groups: int, group_in: int, group_out: int,
    bias: bool,
):
    image = (groups * group_in, *size)
    op = Conv2d(
        out_channels=groups * group_out, kernel=kernel, stride=stride, padding=padding, dilation=dilation,
        groups=groups, bias=bias,
    )
    rows, columns = (positions(size[i], kernel[i], stride[i], padding[i], dilation[i]) for i in (0, 1))
    assume(rows and columns)
    products = [
        (group * group_out + out, row, column)       # the output that a product is added to
        for group, out in product(range(groups), range(group_out))
        for row, column in product(rows, columns)
        for _ in product(range(group_in), range(kernel[0]), range(kernel[1]))
    ]
    outputs = set(products)

    assert op.output_shape(image) == (groups * group_out, len(rows), len(columns))
    assert op.multiply_adds(image) == len(products)
    assert op.flops(image) == 2 * len(products) + (len(outputs) if bias else 0)
    weight = op.parameters(image)[0]
    assert weight.fan_in == len(products) / len(outputs)
    assert math.prod(weight.shape) == groups * group_out * group_in * math.prod(kernel)
    assert op.backward_flops(image, needs_input_gradient=True) == 4 * len(products) + (len(outputs) if bias else 0)
    assert op.backward_flops(image, needs_input_gradient=False) == op.flops(image)


@given(size=sizes, kernel=pairs, stride=pairs, padding=paddings, pool=st.sampled_from([
    pooling.MaxPool, pooling.AvgPool,
]))
@settings(derandomize=True, max_examples=100)
def test_a_pool_has_an_output_for_each_whole_window(
    size: Pair, kernel: Pair, stride: Pair, padding: Pair, pool: type[pooling.MaxPool | pooling.AvgPool]
):
    assume(all(2 * p <= k for p, k in zip(padding, kernel, strict=True)))
    rows, columns = (positions(size[i], kernel[i], stride[i], padding[i]) for i in (0, 1))
    assume(rows and columns)
    op = pool(kernel=kernel, stride=stride, padding=padding)

    assert op.output_shape((2, *size)) == (2, len(rows), len(columns))
    assert op.flops((2, *size)) == 2 * len(rows) * len(columns) * math.prod(kernel)


def test_a_window_that_does_not_fit_whole_is_left_out():
    assert pooling.MaxPool(kernel=(3, 3), stride=(2, 2)).output_shape((1, 112, 112)) == (1, 55, 55)


@given(features=st.integers(1, 40), outputs=st.integers(1, 40), bias=st.booleans())
@settings(derandomize=True, max_examples=50)
def test_a_dense_layer_is_a_convolution_of_one_pixel(features: int, outputs: int, bias: bool):
    dense = products.Dense(out_features=outputs, bias=bias)
    conv = Conv2d(out_channels=outputs, kernel=(1, 1), bias=bias)

    assert dense.flops((features,)) == conv.flops((features, 1, 1))
    assert dense.multiply_adds((features,)) == conv.multiply_adds((features, 1, 1))


def test_a_dense_layer_works_on_each_step_of_a_sequence():
    dense = products.Dense(out_features=5)

    assert dense.output_shape(SEQUENCE) == (7, 5)
    assert dense.flops(SEQUENCE) == 7 * dense.flops(VECTOR)
    assert dense.parameters(SEQUENCE) == dense.parameters(VECTOR)


def test_the_examples_meet_every_operation():
    assert set(EXAMPLES) == set(FLOPS) == set(OPS)
    assert all(OPS[kind] is type(op) for kind, (op, _) in EXAMPLES.items())


@pytest.mark.parametrize("kind", EXAMPLES)
def test_flops_are_those_counted_by_hand(kind: str):
    op, shapes = EXAMPLES[kind]

    assert op.flops(*shapes) == FLOPS[kind]


@pytest.mark.parametrize("kind", EXAMPLES)
def test_attributes_are_every_field_as_json(kind: str):
    op, _ = EXAMPLES[kind]
    fields = {field.name: getattr(op, field.name) for field in dataclasses.fields(op)}

    attributes = json.loads(json.dumps(op.attributes()))

    given = {name: value for name, value in fields.items() if value is not None}
    assert attributes == {name: list(v) if isinstance(v, tuple) else v for name, v in given.items()}


@pytest.mark.parametrize("kind", EXAMPLES)
def test_every_parameter_has_a_known_initialiser(kind: str):
    op, shapes = EXAMPLES[kind]

    assert all(parameter.init in INITIALISERS for parameter in op.parameters(*shapes))


@pytest.mark.parametrize(
    ("op", "shapes", "sentence"),
    [
        (Conv2d(out_channels=8, kernel=(3, 3)), (VECTOR,), "conv2d takes one image .* not \\(12,\\)"),
        (Conv2d(out_channels=8, kernel=(7, 3)), (IMAGE,), "kernel \\(7, 3\\).* not fit an image of \\(6, 5\\)"),
        (Conv2d(out_channels=8, kernel=(3, 3), groups=3), (IMAGE,), "cannot split 4 to 8 channels into 3 groups"),
        (Conv2d(out_channels=8, kernel=(3, 3), groups=0), (IMAGE,), "at least 1 channel and 1 group, not 8 and 0"),
        (Conv2d(out_channels=0, kernel=(3, 3)), (IMAGE,), "at least 1 channel and 1 group, not 0 and 1"),
        (Conv2d(out_channels=8, kernel=(3, 3), stride=(0, 1)), (IMAGE,), "conv2d needs kernel, stride"),
        (Conv2d(out_channels=8, kernel=(3, 3), padding=(0, -1)), (IMAGE,), "padding of at least 0"),
        (products.Dense(out_features=5), ((),), "dense takes samples with features"),
        (attention.Softmax(), ((),), "softmax takes samples with features"),
        (pooling.MaxPool(kernel=(2, 2), stride=(2, 2), padding=(2, 0)), (IMAGE,), "exceeds half of the kernel"),
        (pooling.AvgPool(kernel=(2, 2), stride=(2, 2)), (IMAGE, IMAGE), "avg_pool takes one image"),
        (pooling.GlobalAvgPool(), (VECTOR,), "global_avg_pool takes one image"),
        (normalisation.BatchNorm(), (SEQUENCE,), "batch_norm takes an image or a vector, not \\(7, 12\\)"),
        (elementwise.Relu(), (IMAGE, IMAGE), "relu takes one input, not 2"),
        (elementwise.Dropout(rate=1.0), (IMAGE,), "rate from 0 to below 1, not 1.0"),
        (normalisation.LocalResponseNorm(size=4, alpha=1.0, beta=1.0, k=1.0), (IMAGE,), "odd size, not 4"),
        (elementwise.Add(), (IMAGE,), "add takes two or more inputs, not 1"),
        (elementwise.Add(), (IMAGE, VECTOR), "not \\(4, 6, 5\\), \\(12,\\)"),
        (arrangement.Concat(), (IMAGE, (4, 6, 4)), "of one height and width"),
        (arrangement.Concat(), (SEQUENCE, (7, 11)), "sequences of as many features"),
    ],
)
def test_inputs_that_do_not_fit_are_refused_in_a_sentence(op: Op, shapes: tuple[Shape, ...], sentence: str):
    with pytest.raises(BadGraph, match=sentence):
        op.outputs(*map(of_sample, shapes))


FOR_ALL = Tensor(shape=(7, 12), batch=None)
OF_TOKENS = of_sample((7,), "int64")
QUERY = Tensor(shape=HEADS)
WINDOWS = Tensor(shape=(4, 7, 12))       # four of each sample


@pytest.mark.parametrize(
    ("op", "inputs", "sentence"),
    [
        (products.Dense(out_features=5), (FOR_ALL,), "dense takes values with the batch as their first axis.*for all"),
        (products.Dense(out_features=5), (OF_TOKENS,), "dense takes float values, all of one kind, not int64"),
        (lookup.Embedding(vocabulary=3, features=2), (of_sample((7,)),), "embedding takes int64 values"),
        (elementwise.Multiply(), (of_sample(SEQUENCE), Tensor(shape=(2, 7, 12), batch=None)), "that broadcast"),
        (elementwise.Multiply(), (of_sample(SEQUENCE),) * 3, "multiply takes 2 inputs of float"),
        (elementwise.Relu(), (OF_TOKENS,), "relu takes inputs of float, not \\(7,\\) of int64"),
        (arrangement.Slice(axis=0, start=0, stop=1), (of_sample(SEQUENCE),), "axis 0 of \\(1, 7, 12\\): that is the b"),
        (arrangement.Slice(axis=1, start=3, stop=8), (of_sample(SEQUENCE),), "3 to 8 does not lie in axis 1"),
        (arrangement.Split(axis=2, parts=5), (of_sample(SEQUENCE),), "cannot make 5 equal parts of axis 2"),
        (arrangement.Expand(), (of_sample(SEQUENCE),) * 2, "expand takes a value for all samples"),
        (lookup.Gather(axis=1, indices=(7,)), (of_sample(SEQUENCE),), "has no entries \\(7,\\)"),
        (reduction.ReduceSum(axes=(1, -2)), (of_sample(SEQUENCE),), "different axes, not \\(1, -2\\)"),
        (products.Matmul(), (QUERY, QUERY), "matmul takes matrices"),
        (normalisation.GroupNorm(groups=3), (of_sample(IMAGE),), "cannot split 4 channels into 3 groups"),
        (arrangement.Join(axis=1), (of_sample(SEQUENCE), of_sample((7, 11))), "join along axis 1 takes values"),
        (arrangement.Join(axis=0), (of_sample(SEQUENCE),) * 2, "axis 0 of \\(1, 7, 12\\): that is the batch"),
        (arrangement.Permute(axes=(0, 1)), (of_sample(SEQUENCE),), "permute by \\(0, 1\\) does not fit"),
        (arrangement.Regroup(shape=(12, 1, 7), batch=1), (of_sample(SEQUENCE),), "samples would be torn apart"),
        (arrangement.Regroup(shape=(84,), batch=None), (of_sample(SEQUENCE),), "a batch neither comes nor goes"),
        (arrangement.Tile(times=(2, 1, 1)), (of_sample(SEQUENCE),), "the batch is not repeated"),
        (arrangement.Pad(before=(0, 7, 0), after=(0,) * 3, mode="reflect"), (of_sample(SEQUENCE),), "than the mirror"),
        (arrangement.Pad(before=(1, 0, 0), after=(0,) * 3), (of_sample(SEQUENCE),), "axis 0 .* that is the batch"),
        (arrangement.Split(axis=2, parts=2, sizes=(5, 6)), (of_sample(SEQUENCE),), "2 parts of \\(5, 6\\)"),
        (arrangement.Slice(axis=1, start=0, stop=7, step=0), (of_sample(SEQUENCE),), "a step of at least 1, not 0"),
        (elementwise.Dropout(rate=0.5), (WINDOWS,), "draws a mask for each sample"),
        (elementwise.Add(), (WINDOWS, of_sample((9,))), "in 4 rows for each sample"),
        (comparison.Cast(to="float"), (of_sample(SEQUENCE),), "not float of float"),
        (lookup.GatherElements(axis=1), (of_sample(SEQUENCE),) * 2, "takes a float or int64 value, and an int64 one"),
        (attention.Rotary(), (of_sample((5, 3)),), "an even number of features"),
        (lookup.ScatterAdd(axis=1), (of_sample(SEQUENCE), of_sample(SEQUENCE, "int64"), of_sample((7,))), "as many"),
        (pooling.MaxUnpool(size=(2, 2)), (of_sample(IMAGE), of_sample(IMAGE, "int64")), "cannot spread \\(6, 5\\)"),
        (pooling.MaxUnpool(size=(9, 9)), (of_sample(IMAGE),) * 2, "as many indices of int64"),
        (ConvTranspose2d(out_channels=2, kernel=(2, 2), padding=(4, 0)), (of_sample(IMAGE),), "leaves nothing of"),
        (ConvTranspose2d(out_channels=2, kernel=(2, 2), output_padding=(1, 0)), (of_sample(IMAGE),), "below stride"),
        (ConvTranspose2d(out_channels=2, kernel=(2, 2), groups=3), (of_sample(IMAGE),), "4 to 2 channels into 3"),
        (resampling.Resize(size=(0, 1)), (of_sample(IMAGE),), "a size of at least 1, not \\(0, 1\\)"),
        (resampling.RoiAlign(size=(1, 1), samples=0), (of_sample(IMAGE), of_sample((5, 4))), "samples of at least 1"),
        (resampling.RoiAlign(size=(1, 1), samples=1), (of_sample(IMAGE), of_sample((4, 5))), "of \\(regions, 4\\)"),
        (resampling.Resize(size=(1, 1), mode="area"), (of_sample(IMAGE),), "not area and half_pixel"),
        (recurrent.Gru(hidden=5, directions=3), (of_sample(SEQUENCE),), "1 or 2 directions"),
        (recurrent.Lstm(hidden=5), (of_sample(SEQUENCE), of_sample((1, 5))), "takes 2 states of \\(1, 5\\) or none"),
        (attention.Attention(), (QUERY, QUERY), "not 2 inputs"),
        (attention.Attention(), (QUERY, *[Tensor(shape=(1, 3, 5, 3))] * 2), "a multiple of them in query"),
        (attention.Attention(), (QUERY, Tensor(shape=(1, 2, 5, 4)), QUERY), "as many features in query and key"),
        (attention.Attention(causal=True), (QUERY, *[Tensor(shape=(1, 2, 6, 3))] * 2), "as many queries as keys"),
        (attention.Attention(), (*[QUERY] * 3, Tensor(shape=(4, 5), batch=None)), "broadcast"),
        (attention.Attention(causal=True), (*[QUERY] * 3, Tensor(shape=(5, 5), batch=None)), "not both"),
        (comparison.Where(), (of_sample(SEQUENCE),) * 3, "where takes a bool"),
        (parameters.ParameterValue(shape=(), init="zeros"), (), "has a shape"),
    ],
)
def test_values_that_do_not_fit_are_refused_in_a_sentence(op: Op, inputs: tuple[Tensor, ...], sentence: str):
    with pytest.raises(BadGraph, match=sentence):
        op.outputs(*inputs)


@pytest.mark.parametrize(
    ("op", "inputs", "outputs"),
    [
        (elementwise.Add(), (of_sample(SEQUENCE), FOR_ALL), [of_sample(SEQUENCE)]),
        (elementwise.Add(), (FOR_ALL, FOR_ALL), [FOR_ALL]),
        (elementwise.Multiply(), (Tensor(shape=(12,), batch=None), of_sample(SEQUENCE)), [of_sample(SEQUENCE)]),
        (arrangement.Split(axis=-1, parts=3), (of_sample(SEQUENCE),), [of_sample((7, 4))] * 3),
        (arrangement.Expand(), (FOR_ALL, of_sample((3,))), [of_sample((7, 12))]),
        (arrangement.Concat(), (of_sample((2, 12)), of_sample(SEQUENCE)), [of_sample((9, 12))]),
        (arrangement.Slice(axis=0, start=1, stop=3), (FOR_ALL,), [Tensor(shape=(2, 12), batch=None)]),
        (arrangement.Reshape(shape=(7, 3, 2, 2)), (of_sample(SEQUENCE),), [of_sample((7, 3, 2, 2))]),
        (arrangement.Flatten(), (of_sample((2, 3), "int64"),), [of_sample((6,), "int64")]),
        (reduction.ReduceSum(axes=(1,)), (of_sample(SEQUENCE),), [of_sample((12,))]),
        (reduction.ReduceMax(axes=(0,)), (Tensor(shape=(3, 1, 4), batch=1),), [Tensor(shape=(1, 4), batch=0)]),
        (reduction.ReduceMean(axes=(2,), keep=True), (of_sample(SEQUENCE),), [of_sample((7, 1))]),
        (comparison.Less(), (of_sample(SEQUENCE), FOR_ALL), [of_sample(SEQUENCE, "bool")]),
        (products.Matmul(), (QUERY, Tensor(shape=(3, 4), batch=None)), [Tensor(shape=(1, 2, 5, 4))]),
        (attention.Attention(), (QUERY,) * 3, [QUERY]),
    ],
)
def test_outputs_keep_the_batch_and_the_kind_of_their_inputs(op: Op, inputs: Any, outputs: list[Tensor]):
    assert list(op.outputs(*inputs)) == outputs


def test_causal_attention_counts_the_pairs_that_are_seen():
    whole, causal = (attention.Attention(causal=causal).multiply_adds(HEADS, HEADS, HEADS) for causal in (False, True))

    assert whole == 2 * 5 * 5 * 6
    assert causal == 2 * (1 + 2 + 3 + 4 + 5) * 6


def test_a_value_that_all_samples_share_is_saved_once():
    assert elementwise.Multiply().saved(8, of_sample(SEQUENCE), FOR_ALL) == 8 * 84 + 84


def test_only_layers_that_add_or_move_have_no_backward_work_of_their_own():
    free = {kind for kind, (op, shapes) in EXAMPLES.items() if op.backward_flops(*shapes) == 0}

    assert free == {
        "add", "concat", "flatten", "embedding", "reshape", "transpose", "slice", "split", "parameter", "reduce_sum",
        "greater", "less", "equal", "where", "greater_equal", "less_equal", "and", "or", "not", "cast", "argmax",
        "one_hot", "join", "permute", "regroup", "pad", "scatter_add", "max_unpool", "top_k",
    }


def test_rows_of_a_sample_each_cost_what_a_sample_does():
    net = Builder("windows", (4, 8, 3))
    net.add_layer("windows", arrangement.Regroup(shape=(4, 8, 3), batch=0))
    net.dense("dense", 5)
    net.add_layer("joined", arrangement.Regroup(shape=(1, 4 * 8 * 5), batch=0))
    graph = net.build(loss="mean_squared_error", optimizer=Sgd(learning_rate=0.1))

    assert graph["dense"].outputs == (Tensor(shape=(4, 8, 5)),)
    assert graph.multiply_adds == 4 * 8 * 3 * 5
    cost = graph.cost(graph["dense"], batch=2, itemsize=4, training=True, backward=True)
    assert cost.flops == 2 * (2 * 4 * 8 * 3 * 5 + 4 * 8 * 5)                  # no gradient of the input
    assert cost.bytes_moved == 4 * (2 * 4 * 8 * 5 + 2 * 4 * 8 * 3 + 3 * 5 + 5)
