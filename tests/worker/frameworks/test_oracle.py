"""The oracle against mathematics: difference quotients, SciPy, and formulas worked out by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.ndimage
import scipy.signal
import scipy.special

from rigmark.bench.ir.building import Builder
from rigmark.bench.ir.graph import Graph
from rigmark.bench.ir.ops import OPS
from rigmark.bench.ir.training import Adam, AdamW, Optimizer, Sgd
from rigmark.bench.ir.weights import initial_weights, perturbed, synthetic_batch
from rigmark.bench.worker.frameworks import Unsupported
from rigmark.bench.worker.frameworks.numpy import adapter as oracle
from rigmark.bench.worker.frameworks.numpy.lowerings import convolution
from rigmark.bench.worker.proof import dropout_masks
from tests.worker.frameworks.cases import cases, covered_ops

SETTINGS = {
    "mode": "training", "precision": "fp64", "compile_mode": "eager", "layout": "nchw", "device": "cpu", "threads": 1,
    "seed": 0,
}
CASES = cases()
RNG = np.random.default_rng(7)


def weights_of(graph: Graph) -> dict[str, Any]:
    """Weights in which nothing is 0 or 1 by default, in float64 so that they can be moved by little."""
    weights = perturbed(graph, initial_weights(graph, seed=1), seed=1)
    return {key: value.astype(np.float64) for key, value in weights.items()}


def prepared(graph: Graph, weights: dict[str, Any] | None = None, **settings: Any) -> Any:
    return oracle.prepare(graph.plain(), weights or weights_of(graph), {**SETTINGS, **settings})


def run(kind: str, *inputs: Any, weights: dict[str, Any] | None = None, **attributes: Any) -> Any:
    """One operation's forward pass in inference."""
    return oracle.LOWERINGS[kind](attributes, weights or {}).forward(*inputs)


def test_every_operation_is_lowered_and_met_by_the_table():
    assert set(oracle.LOWERINGS) == set(OPS)
    assert covered_ops() == set(OPS)


# Gradients -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CASES)
def test_gradients_are_the_slopes_of_the_loss(name):
    """Along a random direction for each parameter: central differences in float64."""
    graph, step = CASES[name], 1e-5
    weights = weights_of(graph)
    x, y = synthetic_batch(graph, 3, seed=2)
    masks = dropout_masks(graph.plain(), 3, seed=3)

    def loss(key: str, change: Any) -> float:
        losses = prepared(graph, {**weights, key: weights[key] + change}).gradients(x, y, masks)[0]
        return float(np.ravel(losses)[trained[key]])

    _, gradients = prepared(graph, weights).gradients(x, y, masks)
    trained = {                                      # by which objective, where there are several
        key: index for index, update in enumerate(graph.updates)
        for layer in update.layers if update.needs_gradient(layer.name) for key in update.trainable(layer)
    }

    assert set(gradients) == set(trained)
    for key, gradient in gradients.items():
        direction = np.random.default_rng(5).standard_normal(gradient.shape)
        slope = (loss(key, step * direction) - loss(key, -step * direction)) / (2 * step)
        # A bias before batch_norm has no slope at all: the floor is the rounding of the difference quotient.
        floor = 1e-6 * np.linalg.norm(gradient) + 1e-9
        assert slope == pytest.approx(np.sum(gradient * direction), rel=1e-6, abs=floor)


def test_equal_values_of_a_window_give_the_gradient_to_the_first():
    pool = oracle.LOWERINGS["max_pool"]({"kernel": [2, 2], "stride": [2, 2], "padding": [0, 0]}, {}, training=True)
    pool.forward(np.ones((1, 1, 2, 2)))

    (gradient,) = pool.backward(np.full((1, 1, 1, 1), 3.0))

    assert gradient.tolist() == [[[[3, 0], [0, 0]]]]


def test_relu_has_no_slope_at_zero():
    relu = oracle.LOWERINGS["relu"]({}, {}, training=True)
    relu.forward(np.array([[-1.0, 0.0, 2.0]]))

    assert relu.backward(np.ones((1, 3)))[0].tolist() == [[0, 0, 1]]


# Forward ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stride", "padding", "dilation"),
    [((1, 1), (0, 0), (1, 1)), ((2, 3), (1, 2), (1, 1)), ((1, 2), (3, 1), (2, 3))],
)
@pytest.mark.parametrize("groups", [1, 2])
def test_convolution_is_scipys_correlation(stride, padding, dilation, groups):
    x, weight = RNG.standard_normal((2, 4, 9, 8)), RNG.standard_normal((6, 4 // groups, 2, 3))
    bias = RNG.standard_normal(6)
    spread = np.zeros((6, 4 // groups, dilation[0] + 1, 2 * dilation[1] + 1))
    spread[:, :, :: dilation[0], :: dilation[1]] = weight
    x_padded = np.pad(x, ((0, 0), (0, 0), (padding[0],) * 2, (padding[1],) * 2))
    first_channel = [out // (6 // groups) * (4 // groups) for out in range(6)]
    expected = [
        [
            sum(
                scipy.signal.correlate2d(image[first_channel[out] + c], spread[out, c], mode="valid")
                for c in range(4 // groups)
            )[:: stride[0], :: stride[1]] + bias[out]
            for out in range(6)
        ]
        for image in x_padded
    ]

    got = run("conv2d", x, weights={"weight": weight, "bias": bias}, out_channels=6, kernel=[2, 3], stride=stride,
              padding=padding, dilation=dilation, groups=groups, bias=True)

    np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-12)


def test_a_convolution_in_many_chunks_is_the_same(monkeypatch):
    graph = CASES["conv_of_everything"]
    x, y = synthetic_batch(graph, 5, seed=2)
    whole = prepared(graph).gradients(x, y, {})[1]
    monkeypatch.setattr(convolution, "COLUMNS_BYTES", 1)
    sample_by_sample = prepared(graph).gradients(x, y, {})[1]

    for key in whole:
        np.testing.assert_allclose(sample_by_sample[key], whole[key], rtol=1e-10, atol=1e-12)


def test_max_pool_is_scipys_maximum_filter():
    x = RNG.standard_normal((2, 3, 7, 9)) - 5                    # all negative: padding of zero would win
    filtered = scipy.ndimage.maximum_filter(x, size=(1, 1, 3, 3), mode="constant", cval=-np.inf)

    got = run("max_pool", x, kernel=[3, 3], stride=[2, 2], padding=[1, 1])

    np.testing.assert_array_equal(got, filtered[:, :, ::2, ::2])


@pytest.mark.parametrize("count_include_pad", [True, False])
def test_avg_pool_is_scipys_uniform_filter(count_include_pad):
    x = RNG.standard_normal((2, 3, 7, 9))

    def mean(values: Any) -> Any:
        return scipy.ndimage.uniform_filter(values, size=(1, 1, 3, 3), mode="constant", cval=0.0)[:, :, ::2, ::2]

    got = run("avg_pool", x, kernel=[3, 3], stride=[2, 2], padding=[1, 1], count_include_pad=count_include_pad)

    np.testing.assert_allclose(got, mean(x) if count_include_pad else mean(x) / mean(np.ones_like(x)), atol=1e-12)


def test_local_response_norm_divides_alpha_by_the_size():
    x = RNG.standard_normal((2, 6, 2, 3))
    squares = scipy.ndimage.convolve1d(x ** 2, np.ones(5), axis=1, mode="constant", cval=0.0)

    got = run("local_response_norm", x, size=5, alpha=0.3, beta=0.75, k=2.0)

    np.testing.assert_allclose(got, x / (2.0 + 0.3 / 5 * squares) ** 0.75, rtol=1e-12)


def test_element_wise_functions_are_scipys():
    x = np.concatenate([RNG.standard_normal((3, 5)), [[-800.0, -40.0, 0.0, 40.0, 800.0]]])

    with np.errstate(over="raise"):
        np.testing.assert_allclose(run("sigmoid", x), scipy.special.expit(x), rtol=1e-12, atol=1e-15)
        np.testing.assert_allclose(run("softmax", x), scipy.special.softmax(x, axis=-1), rtol=1e-12)
    np.testing.assert_allclose(run("tanh", x), np.tanh(x))
    np.testing.assert_array_equal(run("relu", x), np.where(x > 0, x, 0))


FAR = np.linspace(-87.0, 87.0, 2001)


@pytest.mark.parametrize(("kind", "x", "exactly"), [
    ("sigmoid", FAR, scipy.special.expit),
    ("softmax", np.stack([np.zeros_like(FAR), FAR + 1e4], axis=1), lambda x: scipy.special.softmax(x, axis=-1)),
    ("tanh", FAR * 1e-6, np.tanh),
])
def test_functions_keep_their_tails_in_fp32(kind, x, exactly):
    """Relative to each value, however small: an estimate of rounding, which tolerances rest on, is made of them."""
    narrow = x.astype(np.float32)

    np.testing.assert_allclose(run(kind, narrow), exactly(narrow.astype(np.float64)), rtol=2e-6, atol=1e-37)


def test_gates_of_an_lstm_keep_their_tails_in_fp32():
    """With all else open, one step's state is tanh(i * tanh(g)), and i is the sigmoid of its bias."""
    bias = np.array([-15.0, 0.0, 50.0, 50.0], np.float32)          # i, f, g, o
    weights = {name: np.zeros((4, 1), np.float32) for name in ("weight_input", "weight_hidden")} | {"bias": bias}

    state = run("lstm", np.zeros((1, 1, 1), np.float32), weights=weights, hidden=1)

    np.testing.assert_allclose(state.ravel(), np.tanh(scipy.special.expit(-15.0)), rtol=1e-6)


def test_losses_and_statistics_do_not_cancel_in_fp32():
    scores = np.array([[1e4, 1e4 + 20.0, 1e4 - 80.0]], np.float32)
    log_probabilities = scipy.special.log_softmax(scores.astype(np.float64), axis=-1)[0]
    for chosen in range(3):
        loss, _ = oracle.loss_and_gradient("softmax_cross_entropy", scores, np.array([chosen]))
        assert loss == pytest.approx(-log_probabilities[chosen], rel=1e-6, abs=1e-7)
    x = (1e3 + np.random.default_rng(3).standard_normal((4096, 1))).astype(np.float32)
    weights = {name: np.ones(1, np.float32) for name in ("gamma", "beta", "mean", "variance")}
    norm = oracle.LOWERINGS["batch_norm"]({"epsilon": 0.0, "momentum": 1.0}, weights, training=True)

    norm.forward(x)

    assert norm.statistics["variance"][0] == pytest.approx(x.astype(np.float64).var(ddof=1), rel=1e-4)


def test_global_avg_pool_concat_add_and_flatten():
    a, b = RNG.standard_normal((2, 3, 4, 5)), RNG.standard_normal((2, 1, 4, 5))

    np.testing.assert_allclose(run("global_avg_pool", a), a.reshape(2, 3, 20).mean(axis=2))
    np.testing.assert_array_equal(run("concat", a, b)[:, 3], b[:, 0])
    np.testing.assert_array_equal(run("add", a, a, a), a + a + a)
    np.testing.assert_array_equal(run("flatten", a)[1], a[1].ravel())


# Batch normalisation -----------------------------------------------------------------------------------------------


def test_training_normalises_by_the_biased_variance_and_keeps_the_unbiased_one():
    net = Builder("norm", (2, 3, 2))
    net.batch_norm("norm", epsilon=0.01, momentum=0.25)
    graph = net.build(loss="mean_squared_error", optimizer=Sgd(learning_rate=0.0))
    x = RNG.standard_normal((4, 2, 3, 2))                        # 24 values a channel
    weights = weights_of(graph)
    gamma, beta = weights["norm/gamma"], weights["norm/beta"]
    values = x.swapaxes(1, 3).reshape(-1, 2)
    normal = (values - values.mean(0)) / np.sqrt(values.var(0) + 0.01) * gamma + beta
    network = prepared(graph, weights)

    loss = network.train(x, np.zeros_like(x), {})

    assert loss == pytest.approx(np.mean(normal ** 2))
    after = network.weights()
    np.testing.assert_allclose(after["norm/mean"], 0.75 * weights["norm/mean"] + 0.25 * values.mean(0))
    np.testing.assert_allclose(after["norm/variance"], 0.75 * weights["norm/variance"] + 0.25 * values.var(0, ddof=1))
    scale = gamma / np.sqrt(after["norm/variance"] + 0.01)
    expected = (values - after["norm/mean"]) * scale + beta      # inference: the running statistics
    np.testing.assert_allclose(network.forward(x).swapaxes(1, 3).reshape(-1, 2), expected)


# Losses and optimisers -----------------------------------------------------------------------------------------------


def test_cross_entropy_is_the_mean_over_samples_and_steps():
    output, target = 100 * RNG.standard_normal((2, 3, 4)), RNG.integers(0, 4, (2, 3))
    log_softmax = scipy.special.log_softmax(output, axis=-1)

    loss, gradient = oracle.loss_and_gradient("softmax_cross_entropy", output, target)

    assert loss == pytest.approx(-np.mean([log_softmax[i, t, target[i, t]] for i in range(2) for t in range(3)]))
    np.testing.assert_allclose(gradient, (np.exp(log_softmax) - np.eye(4)[target]) / 6, atol=1e-12)


def test_mean_squared_error_is_the_mean_over_elements():
    loss, gradient = oracle.loss_and_gradient("mean_squared_error", np.array([[1.0, 4.0]]), np.array([[0.0, 2.0]]))

    assert loss == 2.5
    assert gradient.tolist() == [[1, 2]]


def line(optimizer: Optimizer) -> Any:
    """A network y = w x with w = 1, whose loss w ** 2 for x = 1, y = 0 has the slope 2 w."""
    net = Builder("line", (1,))
    net.dense("dense", 1, bias=False)
    graph = net.build(loss="mean_squared_error", optimizer=optimizer)
    return prepared(graph, {"dense/weight": np.ones((1, 1))})


def weights_after_two_steps(network: Any) -> list[float]:
    result = []
    for _ in range(2):
        network.train(np.ones((1, 1)), np.zeros((1, 1)), {})
        result.append(network.weights()["dense/weight"].item())
    return result


def test_sgd_with_momentum():
    w1 = 1 - 0.1 * 2.0
    w2 = w1 - 0.1 * (0.9 * 2.0 + 2 * w1)

    assert weights_after_two_steps(line(Sgd(learning_rate=0.1, momentum=0.9))) == pytest.approx([w1, w2], rel=1e-14)


def test_adam():
    g1 = 2.0
    w1 = 1 - 0.1 * g1 / (g1 + 0.5)                               # both corrections cancel the betas in the first step
    g2 = 2 * w1
    m = (0.8 * 0.2 * g1 + 0.2 * g2) / (1 - 0.8 ** 2)
    v = (0.6 * 0.4 * g1 ** 2 + 0.4 * g2 ** 2) / (1 - 0.6 ** 2)
    w2 = w1 - 0.1 * m / (v ** 0.5 + 0.5)
    optimizer = Adam(learning_rate=0.1, beta1=0.8, beta2=0.6, epsilon=0.5)

    assert weights_after_two_steps(line(optimizer)) == pytest.approx([w1, w2], rel=1e-14)


def test_adamw_decays_weights_by_the_rate_before_an_update_as_adams():
    g1 = 2.0
    w1 = 1 * (1 - 0.1 * 0.3) - 0.1 * g1 / (g1 + 0.5)
    g2 = 2 * w1
    m = (0.8 * 0.2 * g1 + 0.2 * g2) / (1 - 0.8 ** 2)
    v = (0.6 * 0.4 * g1 ** 2 + 0.4 * g2 ** 2) / (1 - 0.6 ** 2)
    w2 = w1 * (1 - 0.1 * 0.3) - 0.1 * m / (v ** 0.5 + 0.5)
    optimizer = AdamW(learning_rate=0.1, weight_decay=0.3, beta1=0.8, beta2=0.6, epsilon=0.5)

    assert weights_after_two_steps(line(optimizer)) == pytest.approx([w1, w2], rel=1e-14)


# The adapter -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "value"),
    [("precision", "bf16"), ("device", "cuda:0"), ("compile_mode", "xla"), ("layout", "channels_last")],
)
def test_what_numpy_cannot_do_is_stated_with_its_value(setting, value):
    with pytest.raises(Unsupported, match=value):
        prepared(CASES["adam"], **{setting: value})


def test_weights_handed_out_do_not_change_with_training():
    graph = CASES["adam"]
    network = prepared(graph)
    before = network.weights()
    kept = {key: value.copy() for key, value in before.items()}

    network.train(*synthetic_batch(graph, 3, seed=2), {})

    for key, value in kept.items():
        np.testing.assert_array_equal(before[key], value)


def test_in_training_mode_normalisation_amplifies_what_rounding_leaves_in_the_output():
    """Why a first loss in training may be off by more than an output in inference mode."""
    net = Builder("deep", (8, 6, 6))
    for index in range(12):
        entry = net.conv2d(f"conv{index}", 8, kernel=3, padding=1, bias=False)
        net.batch_norm(f"norm{index}", of=entry)
        net.relu(f"relu{index}")
    net.global_avg_pool("pool")
    net.dense("scores", 4)
    graph = net.build(loss="softmax_cross_entropy", optimizer=Sgd(learning_rate=0.01))
    x = synthetic_batch(graph, 2, seed=1)[0]

    def error(is_training: bool) -> float:
        exact, rounded = (prepared(graph, precision=p).output(x, is_training) for p in ("fp64", "fp32"))
        return float(np.linalg.norm(rounded - exact) / np.linalg.norm(exact))

    assert 0 < error(False) < error(True)
