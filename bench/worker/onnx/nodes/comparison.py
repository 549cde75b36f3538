"""Comparisons of elements, logic of their results, the choice between two values, and other kinds of numbers."""

from ._base import named


def _cast(network, layer):
    network.node(layer, "Cast", layer["inputs"], to=network.kind_of(layer["attributes"]["to"]))


NODES = {
    "greater": named("Greater"),
    "less": named("Less"),
    "equal": named("Equal"),
    "greater_equal": named("GreaterOrEqual"),
    "less_equal": named("LessOrEqual"),
    "and": named("And"),
    "or": named("Or"),
    "not": named("Not"),
    "cast": _cast,
    "where": named("Where"),
}
