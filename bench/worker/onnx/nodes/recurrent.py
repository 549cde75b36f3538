"""Layers with a state that goes from step to step."""

import numpy as np

from ...graphs import outputs_of

SUFFIXES = ("", "_reverse")      # of the parameters of each direction


def _recurrent(op, ours, theirs, more):
    """The rule for one operator: its gates, a letter each, in our order and in ONNX's; ``more`` gives attributes."""
    def write(network, layer):
        a, (sequence, *states) = layer["attributes"], layer["inputs"]
        directions = a.get("directions", 1)

        def both(function):
            return np.stack([function(suffix) for suffix in SUFFIXES[:directions]])

        def gates(name):
            parts = dict(zip(ours, np.split(network.array(layer, name), len(ours))))
            return np.concatenate([parts[gate] for gate in theirs])

        def biases(suffix):
            has_two = any(p["name"] == "bias_hidden" for p in layer["parameters"])
            first = gates("bias" + suffix)
            return np.concatenate([first, gates("bias_hidden" + suffix) if has_two else np.zeros_like(first)])

        arrays = [
            network.constant(layer, "weight_input", both(lambda suffix: gates("weight_input" + suffix)), "float32"),
            network.constant(layer, "weight_hidden", both(lambda suffix: gates("weight_hidden" + suffix)), "float32"),
            network.constant(layer, "bias", both(biases), "float32"),
        ]
        steps = network.node(layer, "Transpose", [sequence], part="steps", perm=[1, 0, 2])
        before = [
            network.node(layer, "Transpose", [state], part="state%d" % index, perm=[1, 0, 2])
            for index, state in enumerate(states)
        ]
        first, *further = outputs_of(layer)
        after = ["%s/final%d" % (layer["name"], index) for index in range(len(further))]
        every = network.node(
            layer, op, [steps, *arrays, *(["", *before] if before else [])], part="states",
            outputs=["%s/states" % layer["name"], *after], hidden_size=a["hidden"],
            direction="forward" if directions == 1 else "bidirectional", **more(a, directions)
        )
        samples_first = network.node(layer, "Transpose", [every], part="samples", perm=[2, 0, 1, 3])
        shape = network.constant(layer, "shape", [0, -1, directions * a["hidden"]])
        network.node(layer, "Reshape", [samples_first, shape], outputs=[first])
        for index, (name, value) in enumerate(zip(further, after)):
            network.node(layer, "Transpose", [value], part="last%d" % index, outputs=[name], perm=[1, 0, 2])

    return write


def _nothing(attributes, directions):
    return {}


def _reset(attributes, directions):
    return {"linear_before_reset": int(attributes["reset_after"])}


def _activation(attributes, directions):
    return {"activations": ["Relu" if attributes["relu"] else "Tanh"] * directions}


NODES = {
    "lstm": _recurrent("LSTM", "ifco", "iofc", _nothing),
    "gru": _recurrent("GRU", "rzn", "zrn", _reset),
    "rnn": _recurrent("RNN", "h", "h", _activation),
}
