"""JAX, as its examples write it: plain functions over a dict of arrays, lax convolutions in NHWC, jit with donation."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

Parameters = dict[str, Any]


def conv(x, w, stride=1, padding=0):
    return lax.conv_general_dilated(
        x, w, (stride, stride), [(padding, padding)] * 2, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def max_pool(x, padding=0):
    pads = ((0, 0), (padding, padding), (padding, padding), (0, 0))
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, 3, 3, 1), (1, 2, 2, 1), pads)


def batch_norm(x, p, s, training):
    if training:
        mean = jnp.mean(x, (0, 1, 2))
        variance = jnp.mean(jnp.square(x), (0, 1, 2)) - jnp.square(mean)
        count = x.size // x.shape[-1]
        unbiased = variance * count / (count - 1)
        s = {"mean": 0.9 * s["mean"] + 0.1 * mean, "variance": 0.9 * s["variance"] + 0.1 * unbiased}
    else:
        mean, variance = s["mean"], s["variance"]
    scale = p["gamma"] * lax.rsqrt(variance + 1e-5)
    return x * scale + (p["beta"] - mean * scale), s


def dropout(x, key, training, rate=0.5):
    return jnp.where(jax.random.bernoulli(key, 1 - rate, x.shape), x / (1 - rate), 0) if training else x


class Init:
    """Makes parameters while the network runs for the first time."""

    def __init__(self):
        self.rng = np.random.default_rng(0)

    def normal(self, *shape):
        fan_in = int(np.prod(shape[:-1]))
        return jnp.asarray(self.rng.standard_normal(shape) * np.sqrt(2 / fan_in), jnp.float32)


def alexnet_parameters() -> tuple[Parameters, Parameters]:
    init = Init()
    shapes = {"c1": (11, 11, 3, 64), "c2": (5, 5, 64, 192), "c3": (3, 3, 192, 384), "c4": (3, 3, 384, 256),
              "c5": (3, 3, 256, 256), "f6": (9216, 4096), "f7": (4096, 4096), "f8": (4096, 1000)}
    return {k: {"w": init.normal(*s), "b": jnp.zeros(s[-1])} for k, s in shapes.items()}, {}


def alexnet(p, s, x, key, training):
    k1, k2 = jax.random.split(key)
    x = max_pool(jax.nn.relu(conv(x, p["c1"]["w"], 4, 2) + p["c1"]["b"]))
    x = max_pool(jax.nn.relu(conv(x, p["c2"]["w"], 1, 2) + p["c2"]["b"]))
    x = jax.nn.relu(conv(x, p["c3"]["w"], 1, 1) + p["c3"]["b"])
    x = jax.nn.relu(conv(x, p["c4"]["w"], 1, 1) + p["c4"]["b"])
    x = max_pool(jax.nn.relu(conv(x, p["c5"]["w"], 1, 1) + p["c5"]["b"]))
    x = dropout(x.reshape(x.shape[0], -1), k1, training)
    x = jax.nn.relu(x @ p["f6"]["w"] + p["f6"]["b"])
    x = jax.nn.relu(dropout(x, k2, training) @ p["f7"]["w"] + p["f7"]["b"])
    return x @ p["f8"]["w"] + p["f8"]["b"], s


def mnist_cnn_parameters() -> tuple[Parameters, Parameters]:
    init = Init()
    channels = (1, 16, 16, 32, 32, 64, 64)
    shapes = {f"c{i}": (3, 3, channels[i], channels[i + 1]) for i in range(6)} | {"f1": (576, 128), "f2": (128, 10)}
    return {k: {"w": init.normal(*s), "b": jnp.zeros(s[-1])} for k, s in shapes.items()}, {}


def mnist_cnn(p, s, x, key, training):
    for i in range(6):
        x = jax.nn.relu(conv(x, p[f"c{i}"]["w"], 1, 1) + p[f"c{i}"]["b"])
        if i % 2:
            x = lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
    x = jax.nn.relu(x.reshape(x.shape[0], -1) @ p["f1"]["w"] + p["f1"]["b"])
    return dropout(x, key, training, 0.25) @ p["f2"]["w"] + p["f2"]["b"], s


def resnet_blocks(depths, bottleneck):
    """(name, input channels, width, output channels, stride) of each residual block."""
    channels = 64
    for stage, count in enumerate(depths):
        for block in range(count):
            width = 64 << stage
            outputs = width * (4 if bottleneck else 1)
            yield f"b{stage}{block}", channels, width, outputs, 2 if stage and not block else 1
            channels = outputs


def resnet_parameters(depths, bottleneck) -> tuple[Parameters, Parameters]:
    init, p, s = Init(), {}, {}

    def conv_norm(name, kernel, inputs, outputs):
        p[name] = {"w": init.normal(kernel, kernel, inputs, outputs), "gamma": jnp.ones(outputs),
                   "beta": jnp.zeros(outputs)}
        s[name] = {"mean": jnp.zeros(outputs), "variance": jnp.ones(outputs)}

    conv_norm("stem", 7, 3, 64)
    outputs = 64
    for name, inputs, width, outputs, stride in resnet_blocks(depths, bottleneck):
        kernels = ((1, inputs, width), (3, width, width), (1, width, outputs)) if bottleneck else (
            (3, inputs, width), (3, width, outputs))
        for index, (kernel, before, after) in enumerate(kernels):
            conv_norm(f"{name}c{index}", kernel, before, after)
        if stride != 1 or inputs != outputs:
            conv_norm(f"{name}s", 1, inputs, outputs)
    p["fc"] = {"w": init.normal(outputs, 1000), "b": jnp.zeros(1000)}
    return p, s


def resnet(depths, bottleneck, p, s, x, key, training):
    new = {}

    def conv_norm(name, x, stride=1):
        x = conv(x, p[name]["w"], stride, p[name]["w"].shape[0] // 2)
        x, new[name] = batch_norm(x, p[name], s[name], training)
        return x

    x = max_pool(jax.nn.relu(conv_norm("stem", x, 2)), 1)
    for name, inputs, _, outputs, stride in resnet_blocks(depths, bottleneck):
        strides = (1, stride, 1) if bottleneck else (stride, 1)
        branch = x
        for index, by in enumerate(strides):
            branch = conv_norm(f"{name}c{index}", branch, by)
            if index < len(strides) - 1:
                branch = jax.nn.relu(branch)
        x = conv_norm(f"{name}s", x, stride) if stride != 1 or inputs != outputs else x
        x = jax.nn.relu(branch + x)
    return jnp.mean(x, (1, 2)) @ p["fc"]["w"] + p["fc"]["b"], new


def lstm_parameters(vocabulary=128, features=128, hidden=512) -> tuple[Parameters, Parameters]:
    init = Init()
    p = {"embedding": init.normal(vocabulary, features)}
    p |= {"w": init.normal(hidden, vocabulary), "b": jnp.zeros(vocabulary)}
    for name, inputs in (("l1", features), ("l2", hidden)):
        p[name] = {"wx": init.normal(inputs, 4 * hidden), "wh": init.normal(hidden, 4 * hidden),
                   "b": jnp.zeros(4 * hidden)}
    return p, {}


def lstm_layer(p, x):
    gates = jnp.swapaxes(x @ p["wx"] + p["b"], 0, 1)

    def cell(carry, gate):
        h, c = carry
        i, f, g, o = jnp.split(gate + h @ p["wh"], 4, -1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
        return (h, c), h

    zeros = jnp.zeros((x.shape[0], p["wh"].shape[0]))
    return jnp.swapaxes(lax.scan(cell, (zeros, zeros), gates)[1], 0, 1)


def lstm(p, s, x, key, training):
    k1, k2 = jax.random.split(key)
    x = dropout(lstm_layer(p["l1"], p["embedding"][x]), k1, training)
    x = dropout(lstm_layer(p["l2"], x), k2, training)
    return x @ p["w"] + p["b"], s


NETWORKS = {
    "mnist_cnn": (mnist_cnn_parameters, mnist_cnn),
    "alexnet_one_tower": (alexnet_parameters, alexnet),
    "resnet18": (partial(resnet_parameters, (2, 2, 2, 2), False), partial(resnet, (2, 2, 2, 2), False)),
    "resnet50": (partial(resnet_parameters, (3, 4, 6, 3), True), partial(resnet, (3, 4, 6, 3), True)),
    "lstm": (lstm_parameters, lstm),
}


ADAM = ("lstm", "mnist_cnn")


def programs(model: str, mode: str, x, y) -> dict[str, Callable[[], object]]:
    make, network = NETWORKS[model]
    p, s = make()
    inputs = jnp.asarray(x.transpose(0, 2, 3, 1) if x.ndim == 4 else x.astype(np.int32))
    targets = jnp.asarray(y.astype(np.int32))
    key = jax.random.key(0)
    if mode == "inference":
        forward = jax.jit(lambda p, s, x: network(p, s, x, key, False)[0])
        return {"jit, NHWC": lambda: forward(p, s, inputs).block_until_ready()}

    def loss(p, s, x, y, key):
        output, s = network(p, s, x, key, True)
        scores = jax.nn.log_softmax(output)
        return -jnp.mean(jnp.take_along_axis(scores, y[..., None], -1)), s

    def sgd(w, v, g):
        v = 0.9 * v + g
        return w - 1e-3 * v, v

    @partial(jax.jit, donate_argnums=(0, 1, 2))
    def train(p, s, state, x, y, count):
        (value, s), g = jax.value_and_grad(loss, has_aux=True)(p, s, x, y, jax.random.fold_in(key, count))
        if model in ADAM:
            m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, state[0], g)
            v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, state[1], g)
            a, b = 1 - 0.9 ** (count + 1.0), 1 - 0.999 ** (count + 1.0)
            p = jax.tree.map(lambda w, m, v: w - 2e-3 * (m / a) / (jnp.sqrt(v / b) + 1e-8), p, m, v)
            return p, s, (m, v), value
        pairs = jax.tree.map(sgd, p, state[0], g)
        is_pair = lambda node: isinstance(node, tuple)  # noqa: E731
        new, velocity = (jax.tree.map(lambda pair, i=i: pair[i], pairs, is_leaf=is_pair) for i in (0, 1))
        return new, s, (velocity, state[1]), value

    zeros = jax.tree.map(jnp.zeros_like, p)
    now = [p, s, (zeros, jax.tree.map(jnp.zeros_like, p) if model in ADAM else None), jnp.float32(0)]
    counter = iter(range(1 << 30))

    def step() -> None:
        now[:] = train(now[0], now[1], now[2], inputs, targets, next(counter))
        jax.block_until_ready(now)

    return {"jit, NHWC, donated": step}
