"""Functions of each element, and of elements that broadcasting brings together."""

import math
import operator


def _relu(tf, layer):
    return lambda run, x: tf.nn.relu(x)


def _tanh(tf, layer):
    return lambda run, x: tf.tanh(x)


def _sigmoid(tf, layer):
    return lambda run, x: tf.sigmoid(x)


def _dropout(tf, layer):
    name, rate = layer["name"], layer["attributes"]["rate"]

    def forward(run, x):
        if not run.is_training:
            return x
        # XLA ignores the seed.
        return x * tf.cast(run.masks[name], x.dtype) if run.masks else tf.nn.dropout(x, rate)

    return forward


def _add(tf, layer):
    def forward(run, first, *others):
        for other in others:
            first = first + other
        return first

    return forward


def _clip(tf, layer):
    a = layer["attributes"]

    def forward(run, x):
        # The gradient at the bounds is 0, where that of tf.clip_by_value is 1.
        inside = tf.logical_and(x > a["low"], x < a["high"])
        return tf.where(inside, x, tf.stop_gradient(tf.clip_by_value(x, a["low"], a["high"])))

    return forward


def _gelu(tf, layer):
    def by_erf(run, x):
        # As tf.nn.gelu, which rounds the root of 2 to fp32 in fp64 too.
        return 0.5 * x * (1.0 + tf.math.erf(x / tf.constant(math.sqrt(2), x.dtype)))

    def by_tanh(run, x):
        root = tf.constant(math.sqrt(2 / math.pi), x.dtype)
        return 0.5 * x * (1.0 + tf.tanh(root * (x + 0.044715 * tf.pow(x, 3))))

    return by_tanh if layer["attributes"]["tanh"] else by_erf


def _silu(tf, layer):
    return lambda run, x: tf.nn.silu(x)


def named(function):
    """The lowering that is TensorFlow's function of this name, "math.log"."""
    def lower(tf, layer):
        apply = operator.attrgetter(function)(tf)
        return lambda run, *inputs: apply(*inputs)

    return lower


LOWERINGS = {
    "relu": _relu,
    "tanh": _tanh,
    "sigmoid": _sigmoid,
    "dropout": _dropout,
    "add": _add,
    "clip": _clip,
    "gelu": _gelu,
    "silu": _silu,
    "exp": named("exp"),
    "log": named("math.log"),
    "sqrt": named("sqrt"),
    "abs": named("abs"),
    "negative": named("negative"),
    "sin": named("sin"),
    "cos": named("cos"),
    "subtract": named("subtract"),
    "multiply": named("multiply"),
    "divide": named("divide"),
    "maximum": named("maximum"),
    "minimum": named("minimum"),
}
