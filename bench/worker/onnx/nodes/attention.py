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
    factor = network.constant(layer, "factor", 1 / np.sqrt(features), "float32")
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


NODES = {
    "softmax": _softmax,
    "log_softmax": _log_softmax,
    "attention": _attention,
}
