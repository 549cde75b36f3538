"""Shapes and costs of operations against counting by hand, one multiplication at a time."""

from __future__ import annotations

import dataclasses
import json
import math
from itertools import product

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from rigmark.bench.ir import ops
from rigmark.bench.ir.ops import OPS, BadGraph, Op, Pair, Shape
from rigmark.bench.ir.weights import INITIALISERS

IMAGE, VECTOR, SEQUENCE = (4, 6, 5), (12,), (7, 12)

EXAMPLES: dict[str, tuple[Op, tuple[Shape, ...]]] = {
    "conv2d": (ops.Conv2d(out_channels=6, kernel=(3, 3), groups=2), (IMAGE,)),
    "dense": (ops.Dense(out_features=5), (VECTOR,)),
    "max_pool": (ops.MaxPool(kernel=(2, 2), stride=(2, 2)), (IMAGE,)),
    "avg_pool": (ops.AvgPool(kernel=(3, 2), stride=(1, 1)), (IMAGE,)),
    "global_avg_pool": (ops.GlobalAvgPool(), (IMAGE,)),
    "batch_norm": (ops.BatchNorm(), (IMAGE,)),
    "relu": (ops.Relu(), (IMAGE,)),
    "tanh": (ops.Tanh(), (IMAGE,)),
    "sigmoid": (ops.Sigmoid(), (IMAGE,)),
    "softmax": (ops.Softmax(), (VECTOR,)),
    "dropout": (ops.Dropout(rate=0.5), (IMAGE,)),
    "local_response_norm": (ops.LocalResponseNorm(size=5, alpha=1e-4, beta=0.75, k=2.0), (IMAGE,)),
    "add": (ops.Add(), (IMAGE, IMAGE)),
    "concat": (ops.Concat(), (IMAGE, IMAGE)),
    "flatten": (ops.Flatten(), (IMAGE,)),
    "embedding": (ops.Embedding(vocabulary=11, features=4), ((7,),)),
    "lstm": (ops.Lstm(hidden=5), (SEQUENCE,)),
    "reshape": (ops.Reshape(shape=(math.prod(IMAGE),)), (IMAGE,)),
    "transpose": (ops.Transpose(axes=(1, 0)), (SEQUENCE,)),
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
    op = ops.Conv2d(
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


@given(size=sizes, kernel=pairs, stride=pairs, padding=paddings, pool=st.sampled_from([ops.MaxPool, ops.AvgPool]))
@settings(derandomize=True, max_examples=100)
def test_a_pool_has_an_output_for_each_whole_window(
    size: Pair, kernel: Pair, stride: Pair, padding: Pair, pool: type[ops.MaxPool | ops.AvgPool]
):
    assume(all(2 * p <= k for p, k in zip(padding, kernel, strict=True)))
    rows, columns = (positions(size[i], kernel[i], stride[i], padding[i]) for i in (0, 1))
    assume(rows and columns)
    op = pool(kernel=kernel, stride=stride, padding=padding)

    assert op.output_shape((2, *size)) == (2, len(rows), len(columns))
    assert op.flops((2, *size)) == 2 * len(rows) * len(columns) * math.prod(kernel)


def test_a_window_that_does_not_fit_whole_is_left_out():
    assert ops.MaxPool(kernel=(3, 3), stride=(2, 2)).output_shape((1, 112, 112)) == (1, 55, 55)


@given(features=st.integers(1, 40), outputs=st.integers(1, 40), bias=st.booleans())
@settings(derandomize=True, max_examples=50)
def test_a_dense_layer_is_a_convolution_of_one_pixel(features: int, outputs: int, bias: bool):
    dense = ops.Dense(out_features=outputs, bias=bias)
    conv = ops.Conv2d(out_channels=outputs, kernel=(1, 1), bias=bias)

    assert dense.flops((features,)) == conv.flops((features, 1, 1))
    assert dense.multiply_adds((features,)) == conv.multiply_adds((features, 1, 1))


def test_a_dense_layer_works_on_each_step_of_a_sequence():
    dense = ops.Dense(out_features=5)

    assert dense.output_shape(SEQUENCE) == (7, 5)
    assert dense.flops(SEQUENCE) == 7 * dense.flops(VECTOR)
    assert dense.parameters(SEQUENCE) == dense.parameters(VECTOR)


def test_every_public_class_of_an_operation_is_found_by_its_kind():
    classes = {op for name, op in vars(ops).items() if isinstance(op, type) and issubclass(op, Op) and name[0] != "_"}

    assert classes - {Op} == set(OPS.values())
    assert all(kind == op.kind for kind, op in OPS.items())


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

    assert attributes == {name: list(v) if isinstance(v, tuple) else v for name, v in fields.items()}


@pytest.mark.parametrize("kind", EXAMPLES)
def test_every_parameter_has_a_known_initialiser(kind: str):
    op, shapes = EXAMPLES[kind]

    assert all(parameter.init in INITIALISERS for parameter in op.parameters(*shapes))


@pytest.mark.parametrize(
    ("op", "shapes", "sentence"),
    [
        (ops.Conv2d(out_channels=8, kernel=(3, 3)), (VECTOR,), "conv2d takes one image .* not \\(12,\\)"),
        (ops.Conv2d(out_channels=8, kernel=(7, 3)), (IMAGE,), "kernel \\(7, 3\\).* not fit an image of \\(6, 5\\)"),
        (ops.Conv2d(out_channels=8, kernel=(3, 3), groups=3), (IMAGE,), "cannot split 4 to 8 channels into 3 groups"),
        (ops.Conv2d(out_channels=8, kernel=(3, 3), groups=0), (IMAGE,), "at least 1 channel and 1 group, not 8 and 0"),
        (ops.Conv2d(out_channels=0, kernel=(3, 3)), (IMAGE,), "at least 1 channel and 1 group, not 0 and 1"),
        (ops.Conv2d(out_channels=8, kernel=(3, 3), stride=(0, 1)), (IMAGE,), "conv2d needs kernel, stride"),
        (ops.Conv2d(out_channels=8, kernel=(3, 3), padding=(0, -1)), (IMAGE,), "padding of at least 0"),
        (ops.Dense(out_features=5), (IMAGE,), "flatten it first"),
        (ops.Softmax(), (IMAGE,), "flatten it first"),
        (ops.MaxPool(kernel=(2, 2), stride=(2, 2), padding=(2, 0)), (IMAGE,), "exceeds half of the kernel"),
        (ops.AvgPool(kernel=(2, 2), stride=(2, 2)), (IMAGE, IMAGE), "avg_pool takes one image"),
        (ops.GlobalAvgPool(), (VECTOR,), "global_avg_pool takes one image"),
        (ops.BatchNorm(), (SEQUENCE,), "batch_norm takes an image or a vector, not \\(7, 12\\)"),
        (ops.Relu(), (IMAGE, IMAGE), "relu takes one input, not 2"),
        (ops.Dropout(rate=1.0), (IMAGE,), "rate from 0 to below 1, not 1.0"),
        (ops.LocalResponseNorm(size=4, alpha=1.0, beta=1.0, k=1.0), (IMAGE,), "odd size, not 4"),
        (ops.Add(), (IMAGE,), "add takes two or more inputs of one shape"),
        (ops.Add(), (IMAGE, VECTOR), "not \\(4, 6, 5\\), \\(12,\\)"),
        (ops.Concat(), (IMAGE, (4, 6, 4)), "of one height and width"),
        (ops.Concat(), (SEQUENCE, SEQUENCE), "concat takes two or more"),
    ],
)
def test_inputs_that_do_not_fit_are_refused_in_a_sentence(op: Op, shapes: tuple[Shape, ...], sentence: str):
    with pytest.raises(BadGraph, match=sentence):
        op.output_shape(*shapes)


def test_only_layers_that_add_or_move_have_no_backward_work_of_their_own():
    free = {kind for kind, (op, shapes) in EXAMPLES.items() if op.backward_flops(*shapes) == 0}

    assert free == {"add", "concat", "flatten", "embedding", "reshape", "transpose"}
