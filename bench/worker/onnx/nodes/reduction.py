"""Sums, means and extremes along axes, and where these lie."""


def _reduced(op):
    """The rule that reduces by this operator."""
    def write(network, layer):
        a = layer["attributes"]
        axes = network.constant(layer, "axes", a["axes"])
        network.node(layer, op, [layer["inputs"][0], axes], keepdims=int(a["keep"]))

    return write


def _cumulative_sum(network, layer):
    network.node(layer, "CumSum", [layer["inputs"][0], network.constant(layer, "axis", layer["attributes"]["axis"])])


def _argmax(network, layer):
    a = layer["attributes"]
    network.node(layer, "ArgMax", layer["inputs"], axis=a["axis"], keepdims=int(a["keep"]))


def _top_k(network, layer):
    a = layer["attributes"]
    network.node(layer, "TopK", [layer["inputs"][0], network.constant(layer, "count", [a["count"]])], axis=a["axis"])


NODES = {
    "reduce_sum": _reduced("ReduceSum"),
    "reduce_mean": _reduced("ReduceMean"),
    "reduce_max": _reduced("ReduceMax"),
    "reduce_min": _reduced("ReduceMin"),
    "cumulative_sum": _cumulative_sum,
    "argmax": _argmax,
    "top_k": _top_k,
}
