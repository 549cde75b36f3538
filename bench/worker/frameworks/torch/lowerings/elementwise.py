"""Functions of each element, and of elements that broadcasting brings together."""

import math

from ._modules import modules


def _relu(nn, layer):
    return nn.ReLU(inplace=layer["in_place"])


def _tanh(nn, layer):
    return nn.Tanh()


def _sigmoid(nn, layer):
    return nn.Sigmoid()


def _dropout(nn, layer):
    return modules().Dropout(layer["attributes"]["rate"])


def _sum(first, *others):
    for other in others:
        first = first + other
    return first


def _sum_in_place(first, *others):
    for other in others:
        first += other
    return first


def _add(nn, layer):
    return modules().Apply(_sum_in_place if layer["in_place"] else _sum)


def _clip(nn, layer):
    low, high = (layer["attributes"].get(bound) for bound in ("low", "high"))
    if low is None and high is None:
        low, high = -math.inf, math.inf          # which clamp refuses to be told
    if low is not None and high is not None:
        return nn.Hardtanh(low, high)
    return modules().Apply(lambda x: x.clamp(low, high))


def _leaky_relu(nn, layer):
    return nn.LeakyReLU(layer["attributes"]["slope"])


def _prelu(nn, layer):
    return nn.PReLU(layer["parameters"][0]["shape"][0])


def _elu(nn, layer):
    return nn.ELU(layer["attributes"]["alpha"])


def _selu(nn, layer):
    return nn.SELU()


def _softplus(nn, layer):
    return nn.Softplus(threshold=40)             # from there on it is x in fp64 too


def _hard_sigmoid(nn, layer):
    a = layer["attributes"]
    if (a["alpha"], a["beta"]) == (1 / 6, 0.5):
        return nn.Hardsigmoid()
    return modules().Apply(lambda x: (x * a["alpha"] + a["beta"]).clamp(0, 1))


def _hard_swish(nn, layer):
    return nn.Hardswish()


def _power(nn, layer):
    exponent = layer["attributes"]["exponent"]
    return modules().Apply(lambda x: x.pow(exponent))


def _gelu(nn, layer):
    return nn.GELU(approximate="tanh") if layer["attributes"]["tanh"] else nn.GELU()


def _silu(nn, layer):
    return nn.SiLU()


def named(function):
    """The lowering that is torch's function of this name."""
    def lower(nn, layer):
        import torch

        return modules().Apply(getattr(torch, function))

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
    "selu": _selu,
    "softplus": _softplus,
    "hard_sigmoid": _hard_sigmoid,
    "hard_swish": _hard_swish,
    "power": _power,
    "reciprocal": named("reciprocal"),
    "erf": named("erf"),
    "exp": named("exp"),
    "log": named("log"),
    "sqrt": named("sqrt"),
    "abs": named("abs"),
    "negative": named("neg"),
    "sin": named("sin"),
    "cos": named("cos"),
    "subtract": named("sub"),
    "multiply": named("mul"),
    "divide": named("div"),
    "maximum": named("maximum"),
    "minimum": named("minimum"),
}
