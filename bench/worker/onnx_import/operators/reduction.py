"""Sums, means and extremes along axes, and where these lie."""

from .. import Refused


def _axes(net, node, value):
    axes = net.numbers(node, 1, "axes")
    if not axes:
        if node.get("noop_with_empty_axes", 0):
            return []
        axes = range(len(value.shape))
    axes = sorted(axis % len(value.shape) for axis in axes)
    if value.batch in axes:
        raise Refused("%s takes the whole batch together; the samples of a network are apart" % node.said)
    return axes


def _reduced(op):
    def take(net, node):
        value, stated = net.read(node, 0), net.stated(node)
        value = net.cast(value, "float")
        axes = _axes(net, node, value)
        if not axes:
            net.give(node, value)
            return
        before, also = (value, "") if op else (net.layer(node, "multiply", [value, value], also=".square"), ".sum")
        keep = bool(node.get("keepdims", 1))
        reduced = net.layer(node, op or "reduce_sum", [before], {"axes": axes, "keep": keep},
                            like=stated._replace(dtype="float"), also=also)
        if op is None and node.op == "ReduceL2":
            reduced = net.layer(node, "sqrt", [reduced], like=reduced._replace(name=None))
        net.give(node, net.cast(reduced, stated.dtype))
    return take


def _along(op, attribute_of_keep):
    def take(net, node):
        value = net.read(node, 0)
        axis = node.get("axis", 0) % len(value.shape)
        if axis == value.batch or node.get("select_last_index", 0):
            raise Refused("%s compares the samples of a batch, or wants the last of equal ones" % node.said)
        attributes = {"axis": axis}
        if attribute_of_keep:
            attributes["keep"] = bool(node.get("keepdims", 1))
        net.give(node, net.layer(node, op, [value], attributes, like=net.stated(node)))
    return take


def _cumulative(net, node):
    value, axis = net.read(node, 0), int(net.need(node, 1, "axis").reshape(-1)[0]) % len(net.read(node, 0).shape)
    if node.get("exclusive", 0) or node.get("reverse", 0) or axis == value.batch:
        raise Refused("%s is exclusive, reversed, or along the batch" % node.said)
    total = net.layer(node, "cumulative_sum", [net.cast(value, "float")], {"axis": axis},
                      like=value._replace(name=None, dtype="float"))
    net.give(node, net.cast(total, value.dtype))


def _top_k(net, node):
    value, stated = net.cast(net.read(node, 0), "float"), [net.stated(node, index) for index in (0, 1)]
    axis = node.get("axis", -1) % len(value.shape)
    if axis == value.batch or stated[0].dtype != "float":
        raise Refused("%s orders the samples of a batch, or other numbers than floats" % node.said)
    is_largest = bool(node.get("largest", 1))
    turned = value if is_largest else net.layer(node, "negative", [value], also=".turned")
    attributes = {"axis": axis, "count": stated[0].shape[axis]}
    found, places = net.add(net.label(node), "top_k", [turned], attributes, stated)
    net.give(node, found if is_largest else net.layer(node, "negative", [found], also=".back"))
    net.give(node, places, 1)


OPERATORS = {
    "ReduceMean": _reduced("reduce_mean"), "ReduceSum": _reduced("reduce_sum"), "ReduceMax": _reduced("reduce_max"),
    "ReduceMin": _reduced("reduce_min"), "ReduceSumSquare": _reduced(None), "ReduceL2": _reduced(None),
    "ArgMax": _along("argmax", True), "CumSum": _cumulative, "TopK": _top_k,
}
