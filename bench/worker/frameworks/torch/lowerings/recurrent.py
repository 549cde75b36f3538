"""Layers with a state that goes from step to step."""

from ._modules import modules


def _lstm(nn, layer):
    return modules().Lstm(layer["input_shapes"][0][-1], layer["attributes"]["hidden"])


LOWERINGS = {
    "lstm": _lstm,
}
