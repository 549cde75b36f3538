"""Layers with a state that goes from step to step."""

import numpy as np


def _lstm(network, layer):
    """ONNX's gates come in the order input, output, forget, cell, and its steps before the samples."""
    hidden = layer["attributes"]["hidden"]

    def gates(array):
        ours = dict(zip("ifco", np.split(array, 4)))
        return np.concatenate([ours[gate] for gate in "iofc"])

    def both_biases(array):
        return np.concatenate([gates(array), np.zeros_like(array)])[None]

    parameters = [
        network.parameter(layer, "weight_input", lambda array: gates(array)[None]),
        network.parameter(layer, "weight_hidden", lambda array: gates(array)[None]),
        network.parameter(layer, "bias", both_biases),
    ]
    steps = network.node(layer, "Transpose", layer["inputs"], part="steps", perm=[1, 0, 2])
    states = network.node(layer, "LSTM", [steps, *parameters], part="states", hidden_size=hidden)
    one_way = network.node(layer, "Squeeze", [states, network.constant(layer, "ways", [1])], part="one_way")
    network.node(layer, "Transpose", [one_way], perm=[1, 0, 2])


NODES = {
    "lstm": _lstm,
}
