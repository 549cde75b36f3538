"""Layers with a state that goes from step to step."""

import numpy as np

from .. import Refused

GATES = {"LSTM": (0, 2, 3, 1), "GRU": (1, 0, 2), "RNN": (0,)}
"""The gates of ours by their place in a file: i, f, c, o of i, o, f, c; r, z, n of z, r, h."""
USUAL = {"LSTM": ["Sigmoid", "Tanh", "Tanh"], "GRU": ["Sigmoid", "Tanh"], "RNN": ["Tanh"]}
STATES = {"LSTM": ((5, 1), (6, 2)), "GRU": ((5, 1),), "RNN": ((5, 1),)}
"""(input, output) of each state: hidden, and cell."""


def _recurrent(net, node):
    value, hidden = net.read(node, 0), int(node.get("hidden_size"))
    _refuse_unknown(net, node, value)
    label, steps = net.label(node), value.shape[0]
    directions = 2 if node.get("direction", "forward") == "bidirectional" else 1
    is_backward = node.get("direction", "forward") == "reverse"
    turned = list(range(steps))[::-1]
    sequence = net.permute(value, (1, 0, 2), label + ".samples")
    if is_backward:
        sequence = net.gather(sequence, 1, turned, label + ".turned")
    states = _states(net, node, directions, hidden)
    is_final = any(node.gives(output) and net.readers[node.outputs[output]] for _, output in STATES[node.op])
    attributes = {"hidden": hidden}
    if directions > 1:
        attributes["directions"] = directions
    if is_final:
        attributes["final"] = True
    if node.op == "GRU":
        attributes["reset_after"] = bool(node.get("linear_before_reset", 0))
    if node.op == "RNN":
        attributes["relu"] = _functions(node)[:1] == ["Relu"]
    like = [sequence._replace(name=None, shape=(1, steps, directions * hidden))]
    like += [sequence._replace(name=None, shape=(1, directions, hidden))] * (len(STATES[node.op]) if is_final else 0)
    outputs = net.add(label, node.op.lower(), [sequence, *states], attributes, like,
                      _parameters(net, node, directions, hidden))
    if node.gives(0) and net.readers[node.outputs[0]]:       # (steps, directions, batch, hidden)
        whole = net.gather(outputs[0], 1, turned, label + ".back") if is_backward else outputs[0]
        parts = net.regroup(whole, (1, steps, directions, hidden), 0, label + ".parts")
        net.give(node, net.permute(parts, (1, 2, 0, 3), label + ".steps"))
    for (_, output), state in zip(STATES[node.op], outputs[1:]):      # (directions, batch, hidden)
        if node.gives(output):
            net.give(node, net.permute(state, (1, 0, 2), "%s.state%d" % (label, output)), output)


def _parameters(net, node, directions, hidden):
    weight, recurrent = net.need(node, 1, "weight"), net.need(node, 2, "recurrent weight")
    order = np.concatenate([np.arange(gate * hidden, (gate + 1) * hidden) for gate in GATES[node.op]])
    rows = len(order)
    bias = net.need(node, 3, "bias") if node.has(3) else np.zeros((directions, 2 * rows), np.float32)
    parameters = {}
    for index, suffix in enumerate(("", "_reverse")[:directions]):
        of_input, of_hidden = bias[index][:rows][order], bias[index][rows:][order]
        parameters["weight_input" + suffix] = weight[index][order]
        parameters["weight_hidden" + suffix] = recurrent[index][order]
        if node.op == "GRU" and node.get("linear_before_reset", 0):
            parameters["bias" + suffix], parameters["bias_hidden" + suffix] = of_input, of_hidden
        else:
            parameters["bias" + suffix] = of_input + of_hidden
    return parameters


def _states(net, node, directions, hidden):
    """The values in which states start, with the batch as their first axis; none if all start at zero."""
    given = [index for index, _ in STATES[node.op] if node.has(index) and (
        net.const(node.inputs[index]) is None or np.any(net.const(node.inputs[index])))]
    if not given:
        return []
    states = []
    for index, _ in STATES[node.op]:
        value = net.read(node, index) if index in given else None
        if value is None or value.batch != 1:
            raise Refused("%s starts some of its states from data, and others from what all samples share; "
                          "give it all or none" % node.said)
        states.append(net.permute(value, (1, 0, 2), "%s.from%d" % (net.label(node), index)))
    return states


def _functions(node):
    given = node.get("activations")
    if given is None:
        return USUAL[node.op]
    return [each.decode() if isinstance(each, bytes) else each for each in given]


def _refuse_unknown(net, node, value):
    if value.batch != 1 or value.shape[1] != 1 or node.get("layout", 0):
        raise Refused("%s takes (steps, batch, features); another order is not known" % node.said)
    names, usual = _functions(node), USUAL[node.op]
    is_known = names in (usual, usual * 2) or (node.op == "RNN" and set(names) == {"Relu"})
    if not is_known or "clip" in node.attributes or node.get("input_forget", 0):
        raise Refused("%s has other functions than usual, or clips its state" % node.said)
    if node.has(7) and np.any(net.need(node, 7, "peepholes")):
        raise Refused("%s has peepholes, which frameworks have no more" % node.said)
    if node.has(4) and (net.const(node.inputs[4]) is None or np.any(net.const(node.inputs[4]) != value.shape[0])):
        raise Refused("%s has sequences of several lengths; export it for sequences of one length" % node.said)


OPERATORS = {"LSTM": _recurrent, "GRU": _recurrent, "RNN": _recurrent}
