"""Layers with a state that goes from step to step."""

import numpy as np

from ...user_code import Refused

GATES = {"LSTM": 4, "GRU": 3, "SimpleRNN": 1}


def _refuse_unusual(layer):
    kind = type(layer).__name__
    if layer.stateful:
        raise Refused("it keeps its state from batch to batch (stateful); a graph starts at 0")
    if layer.dropout or layer.recurrent_dropout:
        raise Refused("it has a dropout of its own, with one mask for all steps; put a Dropout layer before it")
    activation = getattr(layer.activation, "__name__", "")
    gate = getattr(getattr(layer, "recurrent_activation", None), "__name__", "sigmoid")
    if (activation != "tanh" and not (kind == "SimpleRNN" and activation == "relu")) or gate != "sigmoid":
        raise Refused("its functions are %s and %s, and a graph's tanh and sigmoid" % (activation, gate))


def _ordered(kind, array):
    """Gates along the last axis in our order."""
    if kind != "GRU":
        return array
    z, r, h = np.split(array, 3, -1)
    return np.concatenate([r, z, h], -1)


def _weights(call, layer, suffix):
    kind, cell = type(layer).__name__, layer.cell
    found = {
        "weight_input": call.weight(cell.kernel, lambda array: _ordered(kind, array).T),
        "weight_hidden": call.weight(cell.recurrent_kernel, lambda array: _ordered(kind, array).T),
    }
    count = GATES[kind] * layer.units
    if not layer.use_bias:
        found["bias"] = (None, np.zeros(count, np.float32))
        if kind == "GRU" and layer.reset_after:
            found["bias_hidden"] = (None, np.zeros(count, np.float32))
    elif kind == "GRU" and layer.reset_after:
        found["bias"] = call.weight(cell.bias, lambda array: _ordered(kind, array[0]))
        found["bias_hidden"] = call.weight(cell.bias, lambda array: _ordered(kind, array[1]))
    else:
        found["bias"] = call.weight(cell.bias, lambda array: _ordered(kind, array))
    return {name + suffix: each for name, each in found.items()}


def _run(call, layers, states):
    """(every step's state, the last states) of one layer, or of one that reads forwards and one backwards."""
    layer = layers[0]
    _refuse_unusual(layer)
    if call.get("mask") is not None:
        raise Refused("it skips steps by a mask; set mask_zero=False")
    kind, units = type(layer).__name__, layer.units
    value = call.plain(call.first())
    if layer.go_backwards and len(layers) == 1:
        value = _backwards(call, value)
    steps, count = value.shape[1], len(layers)
    op = {"LSTM": "lstm", "GRU": "gru", "SimpleRNN": "rnn"}[kind]
    own = {"GRU": {"reset_after": bool(getattr(layer, "reset_after", True))},
           "SimpleRNN": {"relu": getattr(layer.activation, "__name__", "") == "relu"}}.get(kind, {})
    weights = _weights(call, layer, "")
    if count == 2:
        weights.update(_weights(call, layers[1], "_reverse"))
        own["directions"] = 2
    ends = [([1, count, units], "float", None)] * (2 if kind == "LSTM" else 1)
    return call.add_many(op, value, *states, outputs=[([1, steps, count * units], "float", None), *ends],
                         weights=weights, hidden=units, final=True, **own)


def _backwards(call, value):
    return call.like("gather", value, axis=1, indices=list(range(value.shape[1]))[::-1], name="reversed")


def _states(call):
    given = call.get("initial_state")
    if given is None:
        return []
    given = given if isinstance(given, (list, tuple)) else [given]
    found = []
    for each in given:
        value = call.plain(call.value_of(each))
        found.append(call.add("reshape", value, shape=[1, 1, value.shape[1]], to=[1, value.shape[1]], name="state"))
    return found


def _flat(call, end):
    return call.add("flatten", end, shape=[1, end.shape[1] * end.shape[2]], name="last")


def _recurrent(call):
    layer = call.op
    every, *ends = _run(call, [layer], _states(call))
    first = every if layer.return_sequences else _flat(call, ends[0])
    if not layer.return_state:
        return first
    return [first, *(_flat(call, each) for each in ends)]


def _bidirectional(call):
    op = call.op
    forward, backward = op.forward_layer, op.backward_layer
    if type(forward).__name__ not in GATES or type(forward) is not type(backward) or forward.return_state:
        raise Refused("it holds %s, or returns states; a graph's holds two of LSTM, GRU or SimpleRNN" % (
            type(forward).__name__))
    if call.get("initial_state") is not None:
        raise Refused("it is given states to start from")
    every, *ends = _run(call, [forward, backward], [])
    units = forward.units
    found = every if forward.return_sequences else _flat(call, ends[0])
    if op.merge_mode == "concat":
        return found
    shape = [*found.shape[:-1], units]
    halves = call.add_many("split", found, outputs=[(shape, "float", None)] * 2, axis=len(shape) - 1, parts=2,
                           name="halves")
    if op.merge_mode is None:
        return halves
    kind = {"sum": "add", "ave": "add", "mul": "multiply"}[op.merge_mode]
    found = call.like(kind, *halves, name="merged")
    return found if op.merge_mode != "ave" else call.like("multiply", found, call.constant(np.float32(0.5)),
                                                          name="half")


LAYERS = {
    **dict.fromkeys(("LSTM", "GRU", "SimpleRNN"), _recurrent),
    "Bidirectional": _bidirectional,
}
OPERATIONS = {}
