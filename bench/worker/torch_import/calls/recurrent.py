"""Recurrent layers: each layer of a stack becomes a layer of the graph, with one direction or two."""

import numpy as np

from ...user_code import Refused

GATES = {"lstm": 4, "gru": 3, "rnn": 1}


def _recurrent(op, **attributes):
    def lower(call):
        x, gates = call.subject, GATES[op]
        directions, per = (2 if call["bidirectional"] else 1), (4 if call["has_biases"] else 2)
        parameters = [call.weight_of(each) for each in call["params"]]
        if len(parameters) != per * directions * call["num_layers"]:
            raise Refused("it projects its hidden state (proj_size)")
        hidden = parameters[1].tensor.shape[1]
        given = call["hx"] if op == "lstm" else [call["hx"]]
        starts = _starts(call, given, directions)
        value = call.batch_first(x)
        finals = any(call.is_used(1 + index) for index in range(len(given)))
        ends = []
        for layer in range(call["num_layers"]):
            if layer and call["dropout"] > 0 and call["train"]:
                value = call.dropped(value, float(call["dropout"]), 1)       # torch goes step by step
            first = layer * directions * per
            weights = {}
            for direction in range(directions):
                own = parameters[first + direction * per:first + (direction + 1) * per]
                weights.update(_weights(call, own, op, gates * hidden, "_reverse" if direction else ""))
            state = ([1, directions, hidden], 0, "float")
            outputs = [([*value.shape[:2], directions * hidden], 0, "float"), *([state] * len(given) * finals)]
            more = {**attributes, **({"final": True} if finals else {})}
            value, *last = call.add_many(op, value, *starts[layer], outputs=outputs, weights=weights, hidden=hidden,
                                         directions=directions if directions > 1 else None, **more)
            ends.append(last)
        output = call.batch_back(value, x)
        joined = [_joined(call, [each[index] for each in ends]) for index in range(len(given))] if finals else []
        return [output, *(joined or [None] * len(given))]
    return lower


def _starts(call, given, directions):
    """For each layer, the states from which it starts; none where all start at 0."""
    layers = call["num_layers"]
    known = [call.known_of(each) for each in given]
    if all(each is not None and not each.any() for each in known):
        return [[] for _ in range(layers)]
    states = [call.batch_first(call.value_of(each)) for each in given]
    like = ([1, directions, states[0].shape[2]], 0, "float")
    return [[each if layers == 1 else call.add("slice", each, like=like, axis=1, start=layer * directions,
                                               stop=(layer + 1) * directions) for each in states]
            for layer in range(layers)]


def _weights(call, own, op, rows, suffix):
    """Of one direction; where the operation has one bias, it is the sum of torch's two."""
    found = {"weight_input": own[0], "weight_hidden": own[1]}
    if len(own) == 2:
        none = own[0]._replace(name=(), tensor=np.zeros(rows, np.float32))
        found.update({"bias": none, **({"bias_hidden": none} if op == "gru" else {})})
        call.note("a recurrent layer without biases gets them; they start at 0 and are trained")
    elif op == "gru":
        found.update(bias=own[2], bias_hidden=own[3])
    else:
        names = tuple(each.name for each in own[2:])
        found["bias"] = own[2]._replace(name=names, tensor=(own[2].tensor + own[3].tensor).numpy())
    return {name + suffix: each for name, each in found.items()}


def _joined(call, states):
    """The last states of all layers, as (layers and directions, batch, features)."""
    _, directions, hidden = states[0].shape
    like = ([1, len(states) * directions, hidden], 0, "float")
    whole = states[0] if len(states) == 1 else call.add("join", *states, like=like, axis=1)
    return call.permuted(whole, [1, 0, 2])


CALLS = {
    "lstm": _recurrent("lstm"),
    "gru": _recurrent("gru"),
    "rnn_tanh": _recurrent("rnn"),
    "rnn_relu": _recurrent("rnn", relu=True),
}
