"""Layers with a state that goes from step to step."""

import numpy as np

from .. import Refused

GATES = {"LSTM": (0, 2, 3, 1)}       # of i, o, f, c as a file has them, to i, f, c, o
USUAL = {"LSTM": ["Sigmoid", "Tanh", "Tanh"]}


def _lstm(net, node):
    value, hidden = net.read(node, 0), int(node.get("hidden_size"))
    direction = node.get("direction", "forward")
    _refuse_unknown(net, node, value)
    directions = ["forward", "reverse"] if direction == "bidirectional" else [direction]
    weight, recurrent = net.need(node, 1, "weight"), net.need(node, 2, "recurrent weight")
    bias = net.need(node, 3, "bias") if node.has(3) else np.zeros((len(directions), 8 * hidden), np.float32)
    order = np.concatenate([np.arange(gate * hidden, (gate + 1) * hidden) for gate in GATES["LSTM"]])
    label = net.label(node)
    steps = value.shape[0]
    sequence = net.permute(value, (1, 0, 2), label + ".samples")
    whole, last = [], []
    for index, each in enumerate(directions):
        own = "%s.%s" % (label, each)
        backward = list(range(steps))[::-1]
        taken = sequence if each == "forward" else net.gather(sequence, 1, backward, own + ".turned")
        parameters = {
            "weight_input": weight[index][order], "weight_hidden": recurrent[index][order],
            "bias": (bias[index][:4 * hidden] + bias[index][4 * hidden:])[order],
        }
        like = sequence._replace(name=None, shape=(1, steps, hidden))
        found = net.add(own, "lstm", [taken], {"hidden": hidden}, [like], parameters)[0]
        last.append(net.slice(found, 1, steps - 1, steps, 1, own + ".last"))
        whole.append(found if each == "forward" else net.gather(found, 1, backward, own + ".back"))
    if node.gives(0):                # (steps, directions, batch, hidden)
        _give_whole(net, node, whole, steps, hidden)
    if node.gives(1):                # (directions, batch, hidden)
        _give_last(net, node, last, hidden)


def _refuse_unknown(net, node, value):
    if value.batch != 1 or value.shape[1] != 1 or node.get("layout", 0):
        raise Refused("%s takes (steps, batch, features); another order is not known" % node.said)
    given = node.get("activations")
    names = None if given is None else [each.decode() if isinstance(each, bytes) else each for each in given]
    if (names is not None and names[:3] != USUAL[node.op]) or "clip" in node.attributes or node.get("input_forget", 0):
        raise Refused("%s has other functions than usual, or clips its state" % node.said)
    if node.has(7) or (node.gives(2) and net.readers[node.outputs[2]]):
        raise Refused("%s has peepholes, or its cell's last state is read" % node.said)
    if node.has(4) and (net.const(node.inputs[4]) is None or np.any(net.const(node.inputs[4]) != value.shape[0])):
        raise Refused("%s has sequences of several lengths; export it for sequences of one length" % node.said)
    for index in (5, 6):
        if node.has(index) and (net.const(node.inputs[index]) is None or np.any(net.const(node.inputs[index]))):
            raise Refused("%s starts from a state that comes from data; one that starts at zero is known" % node.said)


def _give_whole(net, node, whole, steps, hidden):
    label = net.label(node)
    if len(whole) == 1:
        found = net.permute(whole[0], (1, 0, 2), label + ".steps")
        net.give(node, net.regroup(found, (steps, 1, 1, hidden), 2, label))
        return
    like = whole[0]._replace(name=None, shape=(1, steps, 2 * hidden))
    both = net.add(label + ".both", "join", whole, {"axis": 2}, [like])[0]
    parts = net.regroup(both, (1, steps, 2, hidden), 0, label + ".parts")
    net.give(node, net.permute(parts, (1, 2, 0, 3), label))


def _give_last(net, node, last, hidden):
    label = net.label(node) + ".last"
    if len(last) > 1:
        like = last[0]._replace(name=None, shape=(1, 2, hidden))
        last = [net.add(label + ".both", "join", last, {"axis": 1}, [like])[0]]
    net.give(node, net.permute(last[0], (1, 0, 2), label + ".directions"), 1)


OPERATORS = {"LSTM": _lstm}
