"""Normalisation by statistics of a batch, of channels or of features."""

import numpy as np


def _batch_norm(network, layer):
    a = layer["attributes"]
    parameters = [network.parameter(layer, name) for name in ("gamma", "beta", "mean", "variance")]
    # ONNX's momentum is the share that the running statistic keeps.
    network.node(layer, "BatchNormalization", layer["inputs"] + parameters, epsilon=a["epsilon"],
                 momentum=1 - a["momentum"])


def _local_response_norm(network, layer):
    a = layer["attributes"]
    network.node(layer, "LRN", layer["inputs"], size=a["size"], alpha=a["alpha"], beta=a["beta"], bias=a["k"])


def _layer_norm(network, layer):
    parameters = [network.parameter(layer, name) for name in ("gamma", "beta")]
    network.node(layer, "LayerNormalization", layer["inputs"] + parameters, axis=-1,
                 epsilon=layer["attributes"]["epsilon"])


def _rms_norm(network, layer):
    """As its formula: an operator for it begins with opset 23."""
    (x,) = layer["inputs"]
    squares = network.node(layer, "Mul", [x, x], part="squares")
    mean = network.node(layer, "ReduceMean", [squares, network.constant(layer, "axis", [-1])], part="mean", keepdims=1)
    epsilon = network.constant(layer, "epsilon", layer["attributes"]["epsilon"], "float32")
    scale = network.node(layer, "Sqrt", [network.node(layer, "Add", [mean, epsilon], part="shifted")], part="scale")
    normal = network.node(layer, "Div", [x, scale], part="normal")
    network.node(layer, "Mul", [normal, network.parameter(layer, "gamma")])


def _group_norm(network, layer):
    """Each group as a channel that is normalised; the operator for it scales groups until opset 21."""
    a, (x,) = layer["attributes"], layer["inputs"]
    channels, rows, columns = layer["input_shapes"][0]
    joined = network.node(layer, "Reshape", [x, network.constant(layer, "groups", [0, a["groups"], -1])], part="joined")
    ones, zeros = (
        network.constant(layer, part, np.full(a["groups"], value), "float32")
        for part, value in (("ones", 1), ("zeros", 0))
    )
    normal = network.node(layer, "InstanceNormalization", [joined, ones, zeros], part="normal", epsilon=a["epsilon"])
    image = network.constant(layer, "image", [0, channels, rows, columns])
    parted = network.node(layer, "Reshape", [normal, image], part="parted")

    def spread(array):
        return array.reshape(-1, 1, 1)

    scaled = network.node(layer, "Mul", [parted, network.parameter(layer, "gamma", spread)], part="scaled")
    network.node(layer, "Add", [scaled, network.parameter(layer, "beta", spread)])


NODES = {
    "batch_norm": _batch_norm,
    "local_response_norm": _local_response_norm,
    "layer_norm": _layer_norm,
    "rms_norm": _rms_norm,
    "group_norm": _group_norm,
}
