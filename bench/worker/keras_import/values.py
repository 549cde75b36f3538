"""Values of the graph, and how Keras has them."""

import collections

from ..user_code import Refused

Value = collections.namedtuple("Value", "name shape dtype rank")
"""A value of the graph with its shape there, for a batch of 1.

``rank`` is None where its axes are in Keras's order; else it is the rank that it has in Keras, and the value is an
image with its channels first: (1, channels, height, width), of height 1 for a sequence.
"""


def shape_in_keras(value):
    """The shape that the value has in Keras, for a batch of 1."""
    if value.rank is None:
        return list(value.shape)
    batch, channels, height, width = value.shape
    return [batch, height, width, channels] if value.rank == 4 else [batch, width, channels]


def kind_of(dtype):
    text = str(dtype)
    if "float" in text:
        return "float"
    if text in ("int32", "int64", "uint8", "int8", "int16", "uint16", "uint32"):
        return "int64"
    if text == "bool":
        return "bool"
    raise Refused("a graph has floats, int64 and bool, not %s" % text)
