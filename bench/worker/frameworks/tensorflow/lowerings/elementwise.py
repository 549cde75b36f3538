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
        low, high = (tf.constant(a.get(bound, default), x.dtype)
                     for bound, default in (("low", -math.inf), ("high", math.inf)))
        inside = tf.logical_and(x > low, x < high)
        return tf.where(inside, x, tf.stop_gradient(tf.clip_by_value(x, low, high)))

    return forward


def _leaky_relu(tf, layer):
    slope = layer["attributes"]["slope"]
    if layer["is_fp64"]:                         # the operation keeps its slope in fp32
        return lambda run, x: tf.where(x > 0, x, slope * x)
    return lambda run, x: tf.nn.leaky_relu(x, slope)


def _prelu(tf, layer):
    rank = len(layer["outputs"][0]["shape"])
    behind = [1] * (0 if layer["is_image"] else rank - 2)        # axes behind that of the channels

    def forward(run, x, slope):
        return tf.nn.relu(x) - tf.reshape(slope, [-1, *behind]) * tf.nn.relu(-x)

    return forward


def _elu(tf, layer):
    alpha = layer["attributes"]["alpha"]
    if alpha == 1:
        return lambda run, x: tf.nn.elu(x)
    return lambda run, x: tf.where(x > 0, x, alpha * tf.math.expm1(tf.minimum(x, 0)))


def _hard_sigmoid(tf, layer):
    a = layer["attributes"]
    if (a["alpha"], a["beta"]) == (1 / 6, 0.5):
        return lambda run, x: tf.nn.relu6(x + 3) * tf.constant(1 / 6, x.dtype)
    return lambda run, x: tf.clip_by_value(x * tf.constant(a["alpha"], x.dtype) + a["beta"], 0, 1)


def _hard_swish(tf, layer):
    return lambda run, x: x * tf.nn.relu6(x + 3) * tf.constant(1 / 6, x.dtype)


def _power(tf, layer):
    exponent = layer["attributes"]["exponent"]
    return lambda run, x: tf.pow(x, tf.constant(exponent, x.dtype))


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
    "leaky_relu": _leaky_relu,
    "prelu": _prelu,
    "elu": _elu,
    "selu": named("nn.selu"),
    "softplus": named("math.softplus"),
    "hard_sigmoid": _hard_sigmoid,
    "hard_swish": _hard_swish,
    "power": _power,
    "reciprocal": named("math.reciprocal"),
    "erf": named("math.erf"),
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
