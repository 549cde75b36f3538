"""Functions of each element, and of elements that broadcasting brings together."""

import numpy as np


def _relu(run, layer, weights, x):
    return run.nn.relu(x)                # not maximum, whose gradient at 0 is 1/2


def _tanh(run, layer, weights, x):
    return run.np.tanh(x)


def _sigmoid(run, layer, weights, x):
    return run.nn.sigmoid(x)


def _dropout(run, layer, weights, x):
    if not run.is_training:
        return x
    if run.masks is not None:
        return x * run.masks[layer["name"]].astype(x.dtype)
    kept = 1 - layer["attributes"]["rate"]
    return run.np.where(run.draw(x.shape, kept), x / kept, 0)


def _add(run, layer, weights, *inputs):
    return sum(inputs[1:], inputs[0])


def _clip(run, layer, weights, x):
    low, high = (layer["attributes"].get(bound, default) for bound, default in (("low", -np.inf), ("high", np.inf)))
    inside = (x > low) & (x < high)                              # clip's own gradient at the bounds is 1/2
    return run.np.where(inside, x, run.np.where(x > low, high, low).astype(x.dtype))


def _leaky_relu(run, layer, weights, x):
    return run.nn.leaky_relu(x, layer["attributes"]["slope"])


def _prelu(run, layer, weights, x):
    behind = x.ndim - 2 if not layer["is_image"] else 0          # axes behind that of the channels
    slope = weights["slope"].reshape(-1, *[1] * behind)
    return run.np.where(x > 0, x, slope * x)


def _elu(run, layer, weights, x):
    return run.nn.elu(x, layer["attributes"]["alpha"])


def _hard_sigmoid(run, layer, weights, x):
    a = layer["attributes"]
    if (a["alpha"], a["beta"]) == (1 / 6, 0.5):
        return run.nn.hard_sigmoid(x)
    return run.np.clip(a["alpha"] * x + a["beta"], 0, 1)


def _power(run, layer, weights, x):
    exponent = layer["attributes"]["exponent"]
    return x ** (int(exponent) if exponent == int(exponent) else exponent)


def _erf(run, layer, weights, x):
    return run.lax.erf(x)


def of_nn(function):
    """The lowering that is jax.nn's function of this name."""
    return lambda run, layer, weights, x: getattr(run.nn, function)(x)


def _gelu(run, layer, weights, x):
    return run.nn.gelu(x, approximate=layer["attributes"]["tanh"])


def _silu(run, layer, weights, x):
    return run.nn.silu(x)


def named(function):
    """The lowering that is jax.numpy's function of this name."""
    return lambda run, layer, weights, *inputs: getattr(run.np, function)(*inputs)


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
    "selu": of_nn("selu"),
    "softplus": of_nn("softplus"),
    "hard_sigmoid": _hard_sigmoid,
    "hard_swish": of_nn("hard_swish"),
    "power": _power,
    "reciprocal": named("reciprocal"),
    "erf": _erf,
    "exp": named("exp"),
    "log": named("log"),
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
