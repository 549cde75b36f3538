"""Functions of each element, and of elements that broadcasting brings together."""

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
    return nn.Hardtanh(layer["attributes"]["low"], layer["attributes"]["high"])


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
