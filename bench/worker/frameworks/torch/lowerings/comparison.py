"""Comparisons of elements, logic of their results, the choice between two values, and other kinds of numbers."""

from ._modules import modules
from .elementwise import named


def _cast(nn, layer):
    import torch

    to = layer["attributes"]["to"]
    if to == "float":
        return modules().AsFloat()
    dtype = {"int64": torch.int64, "bool": torch.bool}[to]
    return modules().Apply(lambda x: x.to(dtype))


LOWERINGS = {
    "greater": named("gt"),
    "less": named("lt"),
    "greater_equal": named("ge"),
    "less_equal": named("le"),
    "equal": named("eq"),
    "and": named("logical_and"),
    "or": named("logical_or"),
    "not": named("logical_not"),
    "cast": _cast,
    "where": named("where"),
}
