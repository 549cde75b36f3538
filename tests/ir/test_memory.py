"""The memory of a step, against sums by hand."""

from __future__ import annotations

import pytest

from rigmark.bench import models
from rigmark.bench.ir import memory
from rigmark.bench.ir.building import Builder
from rigmark.bench.ir.graph import Graph
from rigmark.bench.ir.memory import Formats, Memory
from rigmark.bench.ir.ops.attention import Attention
from rigmark.bench.ir.training import Adam, Loss, Sgd

MLP = models.build("mlp")                        # 784 -> 800, relu, 800 -> 10; momentum
SGD = Sgd(learning_rate=0.1)
NUMBERS = 784 * 800 + 800 + 800 * 10 + 10


def network(layers: str, loss: Loss = "mean_squared_error", optimizer: Sgd | Adam = SGD) -> Graph:
    """Layers in turn on vectors of 100 numbers; "dense" gives 100 as well."""
    net = Builder("net", (100,))
    for index, kind in enumerate(layers.split()):
        if kind == "dense":
            net.dense(f"dense{index}", 100, bias=False)
        elif kind == "dropout":
            net.dropout(f"dropout{index}", 0.5)
        else:
            getattr(net, kind)(f"{kind}{index}")
    return net.build(loss=loss, optimizer=optimizer)


def values(layers: str, *, training: bool) -> float:
    """Arrays of 100 numbers of one sample at the peak."""
    return max(each.values for each in memory.moments(network(layers), batch=1, training=training)) / 400


@pytest.mark.parametrize(("layers", "arrays"), [
    ("dense", 2),                                # input and output
    ("dense dense dense", 3),                    # input, and what the last two gave
    ("dense relu dense", 3),                     # relu overwrites
    ("dense tanh dense", 3),                     # input, dense, tanh
    ("dense dropout", 2),                        # which does nothing
])
def test_inference_keeps_what_is_still_read_and_the_last_answer(layers: str, arrays: int):
    assert arrays + 1 == values(layers, training=False)


@pytest.mark.parametrize(("layers", "arrays"), [
    ("dense", 3),                                # input; gradient of the output and the difference that it is made of
    ("dense dense", 4),                          # input, first dense, gradients of both; or two arrays of the loss
    ("dense relu dense", 4),                     # input, relu, gradients of relu and what it overwrote
    ("dense tanh dense", 4),                     # as relu, since tanh reads what it gave
    ("dense gelu dense", 5),                     # gelu reads what it took, and the last layer what it gave
    ("dense dropout dense", 5),                  # the mask, what it gave, and two gradients
    ("dense dense dense dense", 6),              # input, three that wait, two gradients
])
def test_training_keeps_what_backward_passes_read(layers: str, arrays: int):
    assert arrays == values(layers, training=True)


def test_many_classes_need_most_while_the_loss_goes_backward():
    net = Builder("net", (100,))
    net.dense("classes", 1000, bias=False)
    graph = net.build(loss="softmax_cross_entropy", optimizer=SGD)

    # Probabilities, their gradient and that of the scores.
    assert 4 * (100 + 3 * 1000) == max(each.values for each in memory.moments(graph, batch=1, training=True))


def test_a_step_of_a_perceptron():
    """Its largest moment for a large batch is the way back through relu."""
    result = memory.peak(MLP, batch=1000, training=True)

    assert result == Memory(
        weights=4 * NUMBERS, optimizer=4 * NUMBERS, gradients=4 * 8010, values=1000 * 4 * (784 + 3 * 800))


def test_a_small_batch_needs_most_when_all_gradients_are_there():
    result = memory.peak(MLP, batch=1, training=True)

    assert result == Memory(weights=4 * NUMBERS, optimizer=4 * NUMBERS, gradients=4 * NUMBERS, values=4 * (784 + 800))
    assert 2 * 4 * 100**2 + 4 * 100**2 == memory.peak(     # both moments, and the roots of the second
        network("dense", optimizer=Adam(learning_rate=1)), batch=1, training=True).optimizer


def test_narrow_formats_keep_copies_of_weights_for_products():
    mixed = Formats(weight=4, value=2, gradient=4, product=2)

    assert memory.peak(MLP, batch=1000, training=False, formats=mixed) == Memory(
        weights=6 * NUMBERS, values=1000 * 2 * (784 + 800 + 10 + 10))


def test_fused_attention_keeps_no_pairs():
    net = Builder("net", (64, 8))
    query, key, value = (net.dense(name, 8, bias=False, of="input") for name in ("query", "key", "value"))
    heads = [net.reshape(f"{name}_heads", (1, 64, 8), of=name) for name in (query, key, value)]
    net.add_layer("attention", Attention(), heads)
    net.reshape("joined", (64 * 8,))
    graph = net.build(loss="mean_squared_error", optimizer=Sgd(learning_rate=0.1))

    # Input, query, key, value and result wait; three gradients of them meet that of the result.
    assert 9 * 4 * 64 * 8 == memory.peak(graph, batch=1, training=True).values


def test_every_model_needs_more_with_a_larger_batch_and_linearly_so():
    for name in models.NAMES:
        graph = models.build(name)
        one, two, three = (
            [each.total for each in memory.moments(graph, batch=batch, training=True)] for batch in (1, 2, 3))
        assert max(three) > max(one)
        assert [2 * b - a for a, b in zip(one, two, strict=True)] == pytest.approx(three)


def heads(*outputs: str) -> Graph:
    net = Builder("net", (64,))
    net.dense("hidden", 32)
    net.relu("relu")
    net.dense("scores", 16)
    if "others" in outputs:
        net.dense("others", 2048, of="relu")
    return net.build(loss="mean_squared_error", optimizer=SGD, outputs=outputs)


def max_values(graph: Graph, *, training: bool) -> float:
    return max(each.values for each in memory.moments(graph, batch=512, training=training))


def test_several_outputs_are_kept_by_inference_and_only_the_first_is_computed_by_training():
    one, two = heads("scores"), heads("scores", "others")
    kept, all_kept = (max_values(graph, training=False) for graph in (one, two))

    assert max_values(one, training=True) == max_values(two, training=True)
    assert all_kept - kept == 2 * 512 * 2048 * 4           # now, and of the step before


def test_an_output_is_not_written_over():
    alone = max_values(heads("scores"), training=False)
    with_hidden = max_values(heads("scores", "hidden"), training=False)

    assert with_hidden - alone == 512 * 32 * 4 * 2       # beside what the relu gives, and of the step before
