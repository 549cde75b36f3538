"""JAX: BERT and GPT-2 as its examples write them, functions over dicts of arrays with JAX's own attention."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

HEAD = 64


def dense(p, x):
    return x @ p["weight"] + p["bias"]


def norm(p, x, epsilon):
    mean = x.mean(-1, keepdims=True)
    variance = jnp.var(x, -1, keepdims=True)
    return (x - mean) * jax.lax.rsqrt(variance + epsilon) * p["gamma"] + p["beta"]


class Random:
    """Dropout with a new key for each use, or none."""

    def __init__(self, key, rate):
        self.key, self.rate = key, rate

    def dropout(self, x):
        if self.key is None or not self.rate:
            return x
        self.key, key = jax.random.split(self.key)
        return jnp.where(jax.random.bernoulli(key, 1 - self.rate, x.shape), x / (1 - self.rate), 0)


def heads(x):
    return x.reshape(*x.shape[:-1], -1, HEAD)


def gpt2(p, inputs, random):
    tokens = inputs[0]
    table = p["tokens"]["weight"]
    x = random.dropout(table[tokens] + p["context"]["value"][:tokens.shape[1]])
    for b in p["blocks"]:
        query, key, value = jnp.split(dense(b["qkv"], norm(b["norm1"], x, 1e-5)), 3, -1)
        attended = jax.nn.dot_product_attention(heads(query), heads(key), heads(value), is_causal=True)
        x += random.dropout(dense(b["projection"], attended.reshape(x.shape)))
        inner = jax.nn.gelu(dense(b["expand"], norm(b["norm2"], x, 1e-5)), approximate=True)
        x += random.dropout(dense(b["contract"], inner))
    return norm(p["norm"], x, 1e-5) @ table.T


def bert(p, inputs, random):
    tokens, segments, mask = inputs
    seen = mask[:, None, None, :]
    x = p["tokens"]["weight"][tokens] + p["positions"]["value"][:tokens.shape[1]] + p["segments"]["weight"][segments]
    x = random.dropout(norm(p["norm"], x, 1e-12))
    for b in p["blocks"]:
        query, key, value = (heads(dense(b[name], x)) for name in ("query", "key", "value"))
        attended = jax.nn.dot_product_attention(query, key, value, mask=seen)
        x = norm(b["norm1"], x + random.dropout(dense(b["projection"], attended.reshape(x.shape))), 1e-12)
        inner = jax.nn.gelu(dense(b["expand"], x), approximate=False)
        x = norm(b["norm2"], x + random.dropout(dense(b["contract"], inner)), 1e-12)
    x = norm(p["transform_norm"], jax.nn.gelu(dense(p["transform"], x), approximate=False), 1e-12)
    return x @ p["tokens"]["weight"].T + p["scores"]["bias"]


def parameters(weights, blocks) -> dict[str, Any]:
    """Nested by layer, matrices as (in, out), but for the tables."""
    nested: dict[str, Any] = {"blocks": [{} for _ in range(blocks)]}
    for key, array in weights.items():
        name, kind = key.split("/")
        block, _, layer = name.rpartition(".")
        where = nested["blocks"][int(block.removeprefix("block")) - 1] if block else nested
        is_matrix = kind == "weight" and layer not in ("tokens", "segments")
        where.setdefault(layer, {})[kind] = jnp.asarray(array.T if is_matrix else array)
    return nested


def programs(model: str, mode: str, weights, rate: float, x, y, *, blocks: int, dropout: float
             ) -> dict[str, Callable[[], object]]:
    """Each starts from these weights, and gives its output or its loss before the update, by Adam at this rate."""
    network = {"bert": bert, "gpt2": gpt2}[model]
    p = parameters(weights, blocks)
    arrays = x if isinstance(x, tuple) else (x,)
    inputs = tuple(jnp.asarray(each if each.dtype == bool else each.astype(np.int32)) for each in arrays)
    targets = jnp.asarray(y.astype(np.int32))
    if mode == "inference":
        forward = jax.jit(lambda p, inputs: network(p, inputs, Random(None, 0)))
        return {"jit": lambda: forward(p, inputs).block_until_ready()}
    base = jax.random.key(0)

    def loss(p, inputs, y, count):
        output = network(p, inputs, Random(jax.random.fold_in(base, count), dropout))
        # As optax.softmax_cross_entropy_with_integer_labels.
        chosen = jnp.take_along_axis(output, y[..., None], -1)[..., 0]
        return jnp.mean(jax.nn.logsumexp(output, -1) - chosen)

    @partial(jax.jit, donate_argnums=(0, 1, 2))
    def train(p, m, v, inputs, y, count):
        value, g = jax.value_and_grad(loss)(p, inputs, y, count)
        m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, g)
        v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, g)
        a, b = 1 - 0.9 ** (count + 1.0), 1 - 0.999 ** (count + 1.0)
        p = jax.tree.map(lambda w, m, v: w - rate * (m / a) / (jnp.sqrt(v / b) + 1e-8), p, m, v)
        return p, m, v, value

    now = [p, jax.tree.map(jnp.zeros_like, p), jax.tree.map(jnp.zeros_like, p), jnp.float32(0)]
    counter = iter(range(1 << 30))

    def step() -> object:
        now[:] = train(now[0], now[1], now[2], inputs, targets, next(counter))
        jax.block_until_ready(now)
        return now[3]

    return {"jit, donated": step}
