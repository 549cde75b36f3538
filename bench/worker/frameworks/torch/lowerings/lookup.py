"""Rows chosen by their index."""

from ._modules import modules


def _embedding(nn, layer):
    a = layer["attributes"]
    return nn.Embedding(a["vocabulary"], a["features"])


def _gather(nn, layer):
    return modules().Gather(layer["attributes"]["axis"], layer["attributes"]["indices"])


def _one_hot(nn, layer):
    depth = layer["attributes"]["depth"]
    return modules().AsFloat(lambda x: nn.functional.one_hot(x, depth))


def _gather_elements(nn, layer):
    axis = layer["attributes"]["axis"]
    return modules().Apply(lambda x, indices: x.gather(axis, indices))


LOWERINGS = {
    "embedding": _embedding,
    "gather": _gather,
    "one_hot": _one_hot,
    "gather_elements": _gather_elements,
}
