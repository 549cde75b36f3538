"""TensorFlow: BERT and GPT-2 by tf operations on variables inside a tf.function, with both usual ways of attention."""

import os
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tensorflow as tf

HEAD = 64


class Raw:
    """Layers on variables that are given by name."""

    def __init__(self, weights, dropout, training, attend):
        self.variables = {}
        for key, array in weights.items():
            is_table = key.split("/")[0] in ("tokens", "segments")
            self.variables[key] = tf.Variable(array.T if key.endswith("/weight") and not is_table else array)
        self.rate, self.training, self.attend = dropout, training, attend

    def dense(self, name, x):
        weight = self.variables[f"{name}/weight"]
        y = tf.matmul(tf.reshape(x, [-1, x.shape[-1]]), weight)
        y = tf.nn.bias_add(y, self.variables[f"{name}/bias"])
        return tf.reshape(y, [*x.shape[:-1], weight.shape[1]])

    def by_table(self, x):
        table = self.variables["tokens/weight"]
        y = tf.matmul(tf.reshape(x, [-1, x.shape[-1]]), table, transpose_b=True)
        return tf.reshape(y, [*x.shape[:-1], table.shape[0]])

    def norm(self, name, x, epsilon):
        mean, variance = tf.nn.moments(x, [-1], keepdims=True)
        gamma, beta = self.variables[f"{name}/gamma"], self.variables[f"{name}/beta"]
        return tf.nn.batch_normalization(x, mean, variance, beta, gamma, epsilon)

    def dropout(self, x):
        return tf.nn.dropout(x, self.rate) if self.training and self.rate else x


def by_matmul(query, key, value, mask):
    query, key, value = (
        tf.transpose(tf.reshape(x, [*x.shape[:2], -1, HEAD]), [0, 2, 1, 3]) for x in (query, key, value)
    )
    scores = tf.matmul(query * HEAD ** -0.5, key, transpose_b=True)
    attended = tf.matmul(tf.nn.softmax(tf.where(mask, scores, scores.dtype.min)), value)
    joined = tf.transpose(attended, [0, 2, 1, 3])
    return tf.reshape(joined, [*joined.shape[:2], -1])


def by_einsum(query, key, value, mask):
    query, key, value = (tf.reshape(x, [*x.shape[:2], -1, HEAD]) for x in (query, key, value))
    scores = tf.einsum("bqhd,bkhd->bhqk", query * HEAD ** -0.5, key)
    scores = tf.nn.softmax(scores + (1 - tf.cast(mask, scores.dtype)) * -1e9)
    joined = tf.einsum("bhqk,bkhd->bqhd", scores, value)
    return tf.reshape(joined, [*joined.shape[:2], -1])


def gpt2(net, inputs, blocks):
    tokens = inputs[0]
    steps = tokens.shape[1]
    seen = tf.linalg.band_part(tf.ones([steps, steps], tf.bool), -1, 0)
    x = tf.gather(net.variables["tokens/weight"], tokens) + net.variables["context/value"][:steps]
    x = net.dropout(x)
    for block in range(1, blocks + 1):
        name = f"block{block}"
        query, key, value = tf.split(net.dense(f"{name}.qkv", net.norm(f"{name}.norm1", x, 1e-5)), 3, -1)
        x += net.dropout(net.dense(f"{name}.projection", net.attend(query, key, value, seen)))
        inner = tf.nn.gelu(net.dense(f"{name}.expand", net.norm(f"{name}.norm2", x, 1e-5)), approximate=True)
        x += net.dropout(net.dense(f"{name}.contract", inner))
    return net.by_table(net.norm("norm", x, 1e-5))


def bert(net, inputs, blocks):
    tokens, segments, mask = inputs
    seen = mask[:, None, None, :]
    of = net.variables
    x = tf.gather(of["tokens/weight"], tokens) + of["positions/value"][:tokens.shape[1]]
    x = net.dropout(net.norm("norm", x + tf.gather(of["segments/weight"], segments), 1e-12))
    for block in range(1, blocks + 1):
        name = f"block{block}"
        query, key, value = (net.dense(f"{name}.{each}", x) for each in ("query", "key", "value"))
        attended = net.dense(f"{name}.projection", net.attend(query, key, value, seen))
        x = net.norm(f"{name}.norm1", x + net.dropout(attended), 1e-12)
        inner = tf.nn.gelu(net.dense(f"{name}.expand", x), approximate=False)
        x = net.norm(f"{name}.norm2", x + net.dropout(net.dense(f"{name}.contract", inner)), 1e-12)
    x = net.norm("transform_norm", tf.nn.gelu(net.dense("transform", x), approximate=False), 1e-12)
    return net.by_table(x) + of["scores/bias"]


ATTENTION: dict[str, Any] = {"matmul": by_matmul, "einsum": by_einsum}


def programs(model: str, mode: str, weights, rate: float, x, y, *, blocks: int, dropout: float
             ) -> dict[str, Callable[[], object]]:
    """Each starts from these weights, and gives its output or its loss before the update, by Adam at this rate."""
    return {
        f"tf.function, attention by {name}": program(model, mode, weights, rate, x, y, blocks, dropout, attend)
        for name, attend in ATTENTION.items()
    }


def program(model, mode, weights, rate, x, y, blocks, dropout, attend) -> Callable[[], object]:
    network = {"bert": bert, "gpt2": gpt2}[model]
    net = Raw(weights, dropout, mode == "training", attend)
    arrays = x if isinstance(x, tuple) else (x,)
    inputs = tuple(tf.constant(each if each.dtype == bool else each.astype("i4")) for each in arrays)
    targets = tf.constant(y)
    if mode == "inference":
        by_hand = tf.function(lambda *inputs: network(net, inputs, blocks), autograph=False)
        return lambda: by_hand(*inputs).numpy()
    variables = list(net.variables.values())
    moments = [(tf.Variable(tf.zeros_like(v)), tf.Variable(tf.zeros_like(v))) for v in variables]
    count = tf.Variable(0.0)

    def train(t, *inputs):
        with tf.GradientTape() as tape:
            output = network(net, inputs, blocks)
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(t, output))
        gradients = tape.gradient(loss, variables)
        count.assign_add(1.0)
        for w, (m, v), g in zip(variables, moments, map(tf.convert_to_tensor, gradients), strict=True):
            # Its epsilon stands before the correction of the bias.
            tf.raw_ops.ResourceApplyAdam(
                var=w.handle, m=m.handle, v=v.handle, beta1_power=0.9**count, beta2_power=0.999**count, lr=rate,
                beta1=0.9, beta2=0.999, epsilon=1e-8 * tf.sqrt(1 - 0.999**count), grad=g,
            )
        return loss

    compiled = tf.function(train, autograph=False)
    return lambda: float(compiled(targets, *inputs))
