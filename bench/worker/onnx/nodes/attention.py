"""Softmax and attention."""

import numpy as np


def _softmax(network, layer):
    network.node(layer, "Softmax", layer["inputs"], axis=-1)


def _log_softmax(network, layer):
    network.node(layer, "LogSoftmax", layer["inputs"], axis=-1)


def _attention(network, layer):
    """As products and a softmax: an operator for all of it begins with opset 23, which engines lack still."""
    (query, key, value), mask = layer["inputs"][:3], layer["inputs"][3:]
    features, steps = layer["input_shapes"][0][3], layer["input_shapes"][1][2]
    key, value = (_for_each_head(network, layer, *each) for each in ((key, 1, "keys"), (value, 2, "values")))
    factor = network.constant(layer, "factor", layer["attributes"].get("scale", 1 / np.sqrt(features)), "float32")
    scaled = network.node(layer, "Mul", [query, factor], part="scaled")
    turned = network.node(layer, "Transpose", [key], part="turned", perm=[0, 1, 3, 2])
    scores = network.node(layer, "MatMul", [scaled, turned], part="scores")
    if layer["attributes"]["causal"]:
        mask = [network.constant(layer, "mask", np.triu(np.full((steps, steps), -np.inf), 1), "float32")]
    elif mask and network.dtype_of(mask[0]) == "bool":
        unseen = network.constant(layer, "unseen", -np.inf, "float32")
        scores, mask = network.node(layer, "Where", [mask[0], scores, unseen], part="seen"), []
    if mask:
        scores = network.node(layer, "Add", [scores, mask[0]], part="masked")
    shares = network.node(layer, "Softmax", [scores], part="shares", axis=-1)
    network.node(layer, "MatMul", [shares, value])


def _for_each_head(network, layer, value, index, part):
    """The value, an input of this index, with each of its heads as often as heads of the query share it."""
    heads, (_, own, steps, features) = layer["input_shapes"][0][1], layer["input_shapes"][index]
    if heads == own:
        return value
    one = network.node(layer, "Unsqueeze", [value, network.constant(layer, part + "_axis", [2])], part=part + "_one")
    times = network.constant(layer, part + "_times", [1, 1, heads // own, 1, 1])
    many = network.node(layer, "Tile", [one, times], part=part + "_many")
    shape = network.constant(layer, part + "_shape", [0, heads, steps, features])
    return network.node(layer, "Reshape", [many, shape], part=part)


NODES = {
    "softmax": _softmax,
    "log_softmax": _log_softmax,
    "attention": _attention,
}
