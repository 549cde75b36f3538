"""Weights and inputs: the same for everybody, from streams that know nothing of each other."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest

from rigmark.bench import models
from rigmark.bench.ir.building import Builder
from rigmark.bench.ir.graph import Graph, Input, tokens
from rigmark.bench.ir.ops.comparison import Where
from rigmark.bench.ir.training import Sgd
from rigmark.bench.ir.weights import initial_weights, perturbed, synthetic_batch

SGD = Sgd(learning_rate=0.1)


def network(first: int = 40, init: str = "he_normal") -> Graph:
    net = Builder("net", (30,), init=init)
    net.dense("first", first)
    net.batch_norm("norm")
    net.relu("act")
    net.dense("wide", 400)
    net.dropout("drop", 0.25)
    net.dense("scores", 7)
    return net.build(loss="softmax_cross_entropy", optimizer=SGD)


NETWORK = network()


def test_the_same_seed_gives_the_same_numbers():
    for make in (initial_weights, lambda g, s: perturbed(g, initial_weights(g, s), s)):
        one, same, other = make(NETWORK, 1), make(network(), 1), make(NETWORK, 2)
        assert list(one) == list(NETWORK.parameters)
        assert all(np.array_equal(one[key], same[key]) for key in one)
        assert not np.array_equal(one["first/weight"], other["first/weight"])


def test_weights_are_float32_in_canonical_shapes():
    weights = initial_weights(NETWORK, 1)

    assert {key: w.shape for key, w in weights.items()} == {k: p.shape for k, p in NETWORK.parameters.items()}
    assert {w.dtype for w in weights.values()} == {np.dtype(np.float32)}


def test_a_layer_of_another_size_leaves_the_others_numbers_alone():
    one, other = initial_weights(network(first=40), 1), initial_weights(network(first=50), 1)

    assert np.array_equal(one["scores/weight"], other["scores/weight"])


@pytest.mark.parametrize("name", ["mnist_cnn", "mnist_resnet18", "lstm", "gru", "dqn", "mobilenet_v2"])
def test_no_two_random_arrays_share_a_stream(name: str):
    """Inputs that equal a layer's weights would make its output one large number instead of a sum of random ones."""
    graph = models.build(name)
    weights = initial_weights(graph, 1)
    x, _ = synthetic_batch(graph, 2, 1)
    arrays = {
        **{key: w for key, w in weights.items() if graph.parameters[key].init == "he_normal"},
        **{f"perturbed {k}": w for k, w in perturbed(graph, weights, 1).items()
           if graph.parameters[k].init in ("zeros", "ones")},
        **{f"input {index}": each for index, each in enumerate(x if isinstance(x, tuple) else (x,))},
    }
    heads = {key: np.resize(array.ravel()[:64].astype(np.float64), 64) for key, array in arrays.items()
             if array.size >= 64 and array.dtype != bool}

    worst = max(
        (abs(np.corrcoef(heads[a], heads[b])[0, 1]), a, b) for a, b in combinations(heads, 2)
    )

    assert worst[0] < 0.9, worst


def test_he_normal_keeps_the_variance_of_a_relu_network():
    weight = initial_weights(NETWORK, 1)["wide/weight"]      # 400 x 40

    assert weight.std() == pytest.approx(math.sqrt(2 / 40), rel=0.02)
    assert abs(weight.mean()) < 4 * math.sqrt(2 / 40 / weight.size)


def test_glorot_uniform_is_bounded_and_has_its_variance():
    weight = initial_weights(network(init="glorot_uniform"), 1)["wide/weight"]
    bound = math.sqrt(6 / (40 + 400))

    assert np.abs(weight).max() <= bound
    assert weight.std() == pytest.approx(bound / math.sqrt(3), rel=0.02)


def test_a_convolution_is_initialised_by_the_inputs_of_one_group():
    net = Builder("net", (32, 6, 6))
    net.conv2d("conv", 64, kernel=3, groups=4)
    graph = net.build(loss="mean_squared_error", optimizer=SGD)

    assert initial_weights(graph, 1)["conv/weight"].std() == pytest.approx(math.sqrt(2 / (8 * 9)), rel=0.03)


def test_scales_begin_at_one_and_shifts_at_zero():
    weights = initial_weights(NETWORK, 1)

    assert all(np.all(weights[key] == 1) for key in ("norm/gamma", "norm/variance"))
    assert all(np.all(weights[key] == 0) for key in ("norm/beta", "norm/mean", "first/bias"))


def test_perturbed_weights_have_no_scale_of_one_and_no_shift_of_zero():
    weights = initial_weights(NETWORK, 1)
    changed = perturbed(NETWORK, weights, 1)

    for key, parameter in NETWORK.parameters.items():
        if parameter.init == "ones":
            assert np.all(changed[key] != 1)
            assert changed[key].min() >= 0.5
            assert changed[key].max() <= 1.5
        elif parameter.init == "zeros":
            assert np.all(changed[key] != 0)
        else:
            assert np.array_equal(changed[key], weights[key])


def test_a_constant_is_not_perturbed_since_an_epsilon_would_fall_below_0():
    net = Builder("net", (3,))
    net.add("sum", of=(net.dense("first", 3), net.parameter("epsilon", (3,), init="zeros", is_trainable=False)))
    graph = net.build(loss="softmax_cross_entropy", optimizer=SGD)
    weights = initial_weights(graph, 1)
    changed = perturbed(graph, weights, 1)

    assert np.all(changed["first/bias"] != weights["first/bias"])
    assert np.array_equal(changed["epsilon/value"], weights["epsilon/value"])


def test_inputs_are_drawn_as_they_say():
    net = Builder("net")
    for given in (
        tokens((6,), 9), Input(name="seen", shape=(6,), draw="lengths"), Input(name="more", shape=(6,)),
        Input(name="place", shape=(6,), draw="positions"), Input(name="all", shape=(6,), dtype="bool", draw="ones"),
    ):
        net.add_input(given)
    net.add_layer("chosen", Where(), of=("all", net.add("sum", of=("more", "place")), "seen"))
    net.embedding("words", 1, of="input")
    net.flatten("flat")
    net.add("output", of=("flat", "chosen"))
    graph = net.build(loss="mean_squared_error", optimizer=SGD)

    (words, seen, more, place, every), y = synthetic_batch(graph, 200, 1)

    assert set(words.ravel().tolist()) == set(range(9))
    assert set(seen.sum(axis=1).tolist()) == set(range(1, 7))
    assert np.array_equal(seen, -np.sort(-seen, axis=1))
    assert (place == np.arange(6)).all()
    assert every.all()
    assert [array.dtype.name for array in (words, seen, more, place, every)] == [
        "int64", "float32", "float32", "float32", "bool"]
    assert y.shape == (200, 6)


def test_a_synthetic_batch_fits_the_graph_and_its_loss():
    x, y = synthetic_batch(NETWORK, 500, 1)

    assert (x.shape, x.dtype) == ((500, 30), np.float32)
    assert (y.shape, y.dtype) == ((500,), np.int64)
    assert set(y) == set(range(7))
    assert x.std() == pytest.approx(1, rel=0.05)


def test_targets_of_a_regression_have_the_outputs_shape():
    net = Builder("net", (3, 6, 5))
    net.conv2d("conv", 2, kernel=1)
    graph = net.build(loss="mean_squared_error", optimizer=SGD)

    assert synthetic_batch(graph, 4, 1)[1].shape == (4, 2, 6, 5)


def test_sequences_have_a_target_for_each_step_and_tokens_stay_below_the_vocabulary():
    net = Builder("net", (6, 8))
    net.dense("scores", 5)
    assert synthetic_batch(net.build(loss="softmax_cross_entropy", optimizer=SGD), 4, 1)[1].shape == (4, 6)

    net = Builder("net", (6,), vocabulary=11)
    net.embedding("embedding", 3)
    net.dense("scores", 5)
    x, _ = synthetic_batch(net.build(loss="softmax_cross_entropy", optimizer=SGD), 100, 1)
    assert x.dtype == np.int64
    assert (x.min(), x.max()) == (0, 10)
