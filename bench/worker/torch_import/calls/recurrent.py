"""Recurrent layers: each layer and direction of a stack becomes a layer of the graph."""

import numpy as np

from ..user import Refused
from .arrangement import _gathered


def _lstm(call):
    x = call.subject
    for state in call["hx"]:
        known = call.known_of(state)
        if known is None or known.any():
            raise Refused("its initial state is not 0")
    if call.is_used(2):
        raise Refused("the last cell state is used, which the operation does not give")
    per = 4 if call["has_biases"] else 2
    directions = 2 if call["bidirectional"] else 1
    parameters = [call._program.weight(each) for each in call["params"]]
    if len(parameters) != per * directions * call["num_layers"]:
        raise Refused("it projects its hidden state")
    value = call.batch_first(x) if call["batch_first"] is not True else x
    ends = []
    for layer in range(call["num_layers"]):
        if layer and call["dropout"] > 0 and call["train"]:
            value = call.dropped(value, float(call["dropout"]), 1)       # torch goes step by step
        found = []
        for direction in range(directions):
            first = (layer * directions + direction) * per
            found.append(_one(call, value, parameters[first:first + per], direction == 1))
        ends += [_last(call, each, index == 1) for index, each in enumerate(found)] if call.is_used(1) else []
        shape = [*value.shape[:2], sum(each.shape[2] for each in found)]
        value = found[0] if directions == 1 else call.add("join", *found, like=(shape, 0, "float"), axis=2)
    output = value if call["batch_first"] else call.batch_back(value, x)
    return [output, _joined_ends(call, ends), None]


def _one(call, value, parameters, is_backward):
    """One direction of one layer; its only bias is the sum of torch's two."""
    steps = range(value.shape[1])[::-1]
    value = _gathered(call, value, 1, steps) if is_backward else value
    hidden = parameters[1].tensor.shape[1]
    weights = {"weight_input": parameters[0], "weight_hidden": parameters[1]}
    if len(parameters) == 4:
        names = tuple(each.name for each in parameters[2:])
        weights["bias"] = parameters[2]._replace(
            name=names, tensor=(parameters[2].tensor + parameters[3].tensor).numpy())
    else:
        weights["bias"] = parameters[0]._replace(name=(), tensor=np.zeros(4 * hidden, np.float32))
        call.note("an LSTM without biases gets one, which starts at 0 and is trained")
    like = ([*value.shape[:2], hidden], 0, "float")
    found = call.add("lstm", value, weights=weights, like=like, hidden=hidden)
    return _gathered(call, found, 1, steps) if is_backward else found


def _last(call, value, is_backward):
    """The state after the last step, as (1, batch, features)."""
    batch, steps, features = value.shape
    place = 0 if is_backward else steps - 1
    last = call.add("slice", value, like=([batch, 1, features], 0, "float"), axis=1, start=place, stop=place + 1)
    return call.permuted(last, [1, 0, 2])


def _joined_ends(call, ends):
    if not ends:
        return None
    if len(ends) == 1:
        return ends[0]
    _, batch, features = ends[0].shape
    return call.add("join", *ends, like=([len(ends), batch, features], 1, "float"), axis=0)


CALLS = {
    "lstm": _lstm,
}
