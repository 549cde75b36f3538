"""Comparisons of elements, logic of their results, the choice between two values, and other kinds of numbers."""

from ._base import wide_float
from .elementwise import named


def _cast(tf, layer):
    to = layer["attributes"]["to"]
    dtype = wide_float(tf, layer) if to == "float" else {"int64": tf.int64, "bool": tf.bool}[to]
    return lambda run, x: tf.cast(x, dtype)


LOWERINGS = {
    "greater": named("greater"),
    "less": named("less"),
    "greater_equal": named("greater_equal"),
    "less_equal": named("less_equal"),
    "equal": named("equal"),
    "and": named("logical_and"),
    "or": named("logical_or"),
    "not": named("logical_not"),
    "cast": _cast,
    "where": named("where"),
}
