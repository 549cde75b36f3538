"""Rows chosen by their index."""

from ._modules import modules


def _embedding(nn, layer):
    a = layer["attributes"]
    return nn.Embedding(a["vocabulary"], a["features"])


def _gather(nn, layer):
    return modules().Gather(layer["attributes"]["axis"], layer["attributes"]["indices"])


LOWERINGS = {
    "embedding": _embedding,
    "gather": _gather,
}
