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


def _embedding_bag(nn, layer):
    a = layer["attributes"]
    return modules().EmbeddingBag(a["vocabulary"], a["features"], mode="mean" if a["mean"] else "sum")


def _scatter_add(nn, layer):
    axis = layer["attributes"]["axis"]
    return modules().Apply(lambda x, indices, values: x.scatter_add(axis, indices, values))


LOWERINGS = {
    "embedding": _embedding,
    "gather": _gather,
    "one_hot": _one_hot,
    "gather_elements": _gather_elements,
    "embedding_bag": _embedding_bag,
    "scatter_add": _scatter_add,
}
