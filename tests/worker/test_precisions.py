"""What a precision stores in how many bytes stands in one table, and all that counts bytes agrees with it."""

from __future__ import annotations

import math

import pytest

from rigmark.bench import models
from rigmark.bench.enums import Precision
from rigmark.bench.ir.graph import Graph
from rigmark.bench.trials.kinds.layers import Work
from rigmark.bench.worker import microbenchmarks, precisions

LSTM = models.build("lstm")
CNN = models.build("mnist_cnn")
BATCH = 8


def test_every_precision_has_its_facts():
    assert set(precisions.POLICIES) == set(Precision)
    formats = {name for policy in precisions.POLICIES.values() for name in policy.values() if isinstance(name, str)}
    assert formats <= set(precisions.FORMAT_BYTES)


@pytest.mark.parametrize(("precision", "activations", "weights", "gradient"), [
    ("fp32", 4, 4, 4), ("tf32", 4, 4, 4), ("fp64", 8, 8, 8), ("bf16", 2, 2, 4), ("fp16_pure", 2, 2, 2),
    ("int8", 4, 1, 1),
])
def test_numbers_are_as_wide_as_their_formats(precision: str, activations: int, weights: int, gradient: int):
    assert activations == precisions.activation_bytes(precision)
    assert weights == precisions.weight_bytes(precision, "dense")
    assert gradient == precisions.gradient_bytes(precision)


def test_int8_quantises_the_weights_of_dense_and_recurrent_layers_and_nothing_else():
    of_weights = {op: precisions.weight_bytes("int8", op) for op in ("dense", "lstm", "conv2d", "batch_norm")}

    assert {"dense": 1, "lstm": 1, "conv2d": 4, "batch_norm": 4} == of_weights


@pytest.mark.parametrize(("precision", "graph", "kind", "of_weight"), [
    (Precision.INT8, LSTM, "lstm", 1), (Precision.INT8, CNN, "dense", 1), (Precision.INT8, CNN, "conv2d", 4),
    (Precision.BF16, CNN, "conv2d", 2), (Precision.FP32, CNN, "dense", 4),
])
def test_the_roofline_counts_what_a_layer_reads_and_writes(
    precision: Precision, graph: Graph, kind: str, of_weight: int,
):
    """In int8, activations move in fp32: a byte per element would claim a quarter of their traffic."""
    layer = next(layer for layer in graph.layers if layer.op.kind == kind)
    elements = sum(value.elements(BATCH) for value in (*layer.input_tensors, *layer.outputs))
    weights = sum(math.prod(parameter.shape) for parameter in layer.parameters)

    work = Work(graph, batch=BATCH, precision=precision, training=False).of([layer.name], "forward")

    assert work is not None
    assert work.bytes_moved == precisions.activation_bytes(precision) * elements + of_weight * weights


def test_arrays_of_micro_benchmarks_have_elements_of_their_format():
    sizes = {name: microbenchmarks.item_bytes(name) for name in microbenchmarks.TOLERANCES}

    assert sizes == {name: precisions.FORMAT_BYTES[name] for name in microbenchmarks.TOLERANCES}
    assert 4 == microbenchmarks.item_bytes("int8")
