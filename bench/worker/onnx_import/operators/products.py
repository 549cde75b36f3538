"""Matrix products."""

import numpy as np

from .. import Refused


def _gemm(net, node):
    if node.get("transA", 0):
        raise Refused("%s transposes its first factor" % node.said)
    weight = net.need(node, 1, "second factor")
    weight = (weight if node.get("transB", 0) else weight.T) * np.float32(node.get("alpha", 1.0))
    bias = None
    if node.has(2):
        bias = net.need(node, 2, "third input") * np.float32(node.get("beta", 1.0))
    dense(net, node, net.read(node, 0), weight, bias)


def dense(net, node, value, weight, bias):
    """A layer of a weight of (out, in) and perhaps a bias, for rows of any number of axes."""
    first, back = net.batch_first(value, node)
    parameters = {"weight": weight}
    if bias is not None:
        if bias.size not in (1, weight.shape[0]):
            raise Refused("%s adds a bias of %s to %d features" % (node.said, bias.shape, weight.shape[0]))
        parameters["bias"] = np.broadcast_to(bias.reshape(-1), (weight.shape[0],))
    like = first._replace(name=None, shape=(*first.shape[:-1], weight.shape[0]))
    attributes = {"out_features": int(weight.shape[0]), "bias": bias is not None}
    net.give(node, back(net.layer(node, "dense", [first], attributes, like=like, parameters=parameters)))


def _matmul(net, node):
    weight = net.const(node.inputs[1])
    value = net.read(node, 0)
    if weight is not None and weight.ndim == 2 and value.batch is not None and value.batch < len(value.shape) - 1:
        dense(net, node, value, weight.T, node.get("bias"))
        return
    if node.get("bias") is not None:
        raise Refused("%s has a bias and no constant weight" % node.said)
    other = net.read(node, 1)
    if len(value.shape) < 2 or len(other.shape) < 2:
        raise Refused("%s is a product with a vector; products of matrices are known" % node.said)
    net.give(node, net.layer(node, "matmul", [value, other], like=net.stated(node)))


def _attention(net, node):
    query, transposed, value = (net.read(node, index) for index in range(3))
    key = net.permute(transposed, (0, 1, 3, 2), net.label(node) + ".key")
    inputs = [query, key, value]
    if node.has(3):
        inputs.append(net.read(node, 3))
    attributes, scale = {}, node.get("scale")
    if abs(scale * query.shape[3] ** 0.5 - 1) > 1e-6:
        attributes["scale"] = float(scale)
    like = query._replace(name=None, shape=(*query.shape[:3], value.shape[3]))
    net.give(node, net.layer(node, "attention", inputs, attributes, like=like))


OPERATORS = {"Gemm": _gemm, "MatMul": _matmul, "AttentionOfHeads": _attention}
