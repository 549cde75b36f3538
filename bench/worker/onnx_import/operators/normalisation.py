"""Normalisation, softmax."""

import numpy as np

from .. import Refused


def _batch_norm(net, node):
    if node.get("training_mode", 0):
        raise Refused("%s is in training mode; export the network in evaluation mode" % node.said)
    value = net.read(node, 0)
    if value.batch != 0 or len(value.shape) not in (2, 3, 4):
        raise Refused("%s takes vectors, sequences and images with the batch as their first axis" % node.said)
    parameters = {name: net.need(node, index, name) for index, name in enumerate(
        ("gamma", "beta", "mean", "variance"), 1)}
    attributes = {
        "epsilon": float(np.float32(node.get("epsilon", 1e-5))), "momentum": round(1 - node.get("momentum", 0.9), 6),
    }
    label, image = net.label(node), value
    if len(value.shape) == 3:
        image = net.regroup(value, (*value.shape, 1), 0, label + ".image")
    normal = net.layer(node, "batch_norm", [image], attributes, like=image._replace(name=None), parameters=parameters)
    net.give(node, net.regroup(normal, value.shape, 0, label + ".shape"))


def _layer_norm(net, node):
    value = net.read(node, 0)
    axis = node.get("axis", -1) % len(value.shape)
    gamma, beta = net.need(node, 1, "scale"), net.need(node, 2, "shift") if node.has(2) else None
    if any(node.gives(index) for index in (1, 2)):
        raise Refused("%s also gives its statistics" % node.said)
    normalised(net, node, value, axis, gamma, beta, node.get("epsilon", 1e-5))


def normalised(net, node, value, axis, gamma, beta, epsilon):
    """Layer norm over this axis and those behind it."""
    if value.batch is None or value.batch >= axis:
        raise Refused("%s normalises over the batch" % node.said)
    size = int(np.prod(value.shape[axis:]))
    flat = net.regroup(value, (*value.shape[:axis], size), value.batch, net.label(node) + ".rows")
    parameters = {
        "gamma": np.broadcast_to(gamma, value.shape[axis:]).reshape(-1),
        "beta": np.zeros(size) if beta is None else np.broadcast_to(beta, value.shape[axis:]).reshape(-1),
    }
    normal = net.layer(node, "layer_norm", [flat], {"epsilon": float(np.float32(epsilon))},
                       like=flat._replace(name=None), parameters=parameters)
    net.give(node, net.regroup(normal, value.shape, value.batch, net.label(node) + ".shape"))


def _instance_norm(net, node):
    value = net.read(node, 0)
    if value.batch != 0 or len(value.shape) not in (3, 4):
        raise Refused("%s takes sequences and images with the batch as their first axis" % node.said)
    _grouped(net, node, value, value.shape[1])


def _group_norm(net, node):
    if net.opset < 21:
        raise Refused("%s of opset %d has a scale per group; export in opset 21 or later" % (node.said, net.opset))
    _grouped(net, node, net.read(node, 0), node.get("num_groups"))


def _grouped(net, node, value, groups):
    image = value
    if len(value.shape) == 3:
        image = net.regroup(value, (*value.shape, 1), 0, net.label(node) + ".image")
    parameters = {"gamma": net.need(node, 1, "scale"), "beta": net.need(node, 2, "shift")}
    attributes = {"groups": int(groups), "epsilon": float(np.float32(node.get("epsilon", 1e-5)))}
    normal = net.layer(node, "group_norm", [image], attributes, like=image._replace(name=None), parameters=parameters)
    net.give(node, net.regroup(normal, value.shape, 0, net.label(node) + ".shape"))


def _local_response_norm(net, node):
    attributes = {
        "size": int(node.get("size")), "alpha": node.get("alpha", 1e-4), "beta": node.get("beta", 0.75),
        "k": node.get("bias", 1.0),
    }
    net.give(node, net.layer(node, "local_response_norm", [net.read(node, 0)], attributes))


def _softmax(net, node):
    op = "softmax" if node.op == "Softmax" else "log_softmax"
    first, back = net.batch_first(net.read(node, 0), node)
    value = net.read(node, 0)
    is_old = net.opset < 13
    axis = node.get("axis", 1 if is_old else -1) % len(value.shape)
    label = net.label(node)
    if is_old:                       # over all axes from this one on
        if value.batch is None or value.batch >= axis:
            raise Refused("%s sums over the batch" % node.said)
        size = int(np.prod(value.shape[axis:]))
        flat = net.regroup(first, (*first.shape[:axis], size), 0, label + ".rows")
        soft = net.layer(node, op, [flat], like=flat._replace(name=None))
        net.give(node, back(net.regroup(soft, first.shape, 0, label + ".shape")))
        return
    if axis == value.batch:
        raise Refused("%s sums over the batch" % node.said)
    order = [each for each in range(len(value.shape)) if each not in (axis, value.batch)]
    axes = [value.batch, *order, axis]
    last = net.permute(value, axes, label + ".last")
    soft = net.layer(node, op, [last], like=last._replace(name=None))
    net.give(node, net.permute(soft, [axes.index(each) for each in range(len(axes))], label + ".back"))


OPERATORS = {
    "BatchNormalization": _batch_norm, "LayerNormalization": _layer_norm, "InstanceNormalization": _instance_norm,
    "GroupNormalization": _group_norm, "LRN": _local_response_norm, "Softmax": _softmax, "LogSoftmax": _softmax,
}
