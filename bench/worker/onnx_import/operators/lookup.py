"""Entries that are chosen by an index."""

import numpy as np

from .. import Refused


def _gather(net, node):
    table, indices = net.const(node.inputs[0]), net.const(node.inputs[1])
    axis = node.get("axis", 0)
    if indices is not None:
        _known(net, node, net.read(node, 0), axis, indices)
    elif table is not None and table.ndim in (1, 2) and axis % table.ndim == 0 and table.dtype.kind == "f":
        indices = net.cast(net.read(node, 1), "int64")
        if indices.batch != 0:
            raise Refused("%s looks tokens up whose batch is not their first axis" % node.said)
        rows = table.reshape(len(table), -1)
        attributes = {"vocabulary": int(rows.shape[0]), "features": int(rows.shape[1])}
        like = indices._replace(name=None, shape=(*indices.shape, rows.shape[1]), dtype="float")
        net.give(node, net.layer(node, "embedding", [indices], attributes, like=like, parameters={"weight": rows}))
    else:
        raise Refused("%s chooses entries of data by data; a table or the indices must be part of the file" % node.said)


def _known(net, node, value, axis, indices):
    axis %= len(value.shape)
    if axis == value.batch:
        raise Refused("%s takes some samples of the batch" % node.said)
    places = np.asarray(indices).reshape(-1) % value.shape[axis]
    taken = net.gather(value, axis, places, net.label(node))
    stated = net.stated(node)
    net.give(node, net.regroup(taken, stated.shape, stated.batch, net.label(node) + ".shape"))


def _gather_elements(net, node):
    value, indices = net.read(node, 0), net.read(node, 1)
    axis = node.get("axis", 0) % len(value.shape)
    net.give(node, net.layer(node, "gather_elements", [value, net.cast(indices, "int64")], {"axis": axis},
                             like=net.stated(node)))


def _one_hot(net, node):
    depth = int(net.need(node, 1, "depth").reshape(-1)[0])
    off, on = (float(each) for each in net.need(node, 2, "values").reshape(-1))
    value = net.cast(net.read(node, 0), "int64")
    if (off, on) != (0.0, 1.0) or node.get("axis", -1) not in (-1, len(value.shape)):
        raise Refused("%s has other values than 0 and 1, or another axis than the last" % node.said)
    like = value._replace(name=None, shape=(*value.shape, depth), dtype="float")
    net.give(node, net.cast(net.layer(node, "one_hot", [value], {"depth": depth}, like=like), net.stated(node).dtype))


OPERATORS = {"Gather": _gather, "GatherElements": _gather_elements, "OneHot": _one_hot}
