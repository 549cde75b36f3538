"""Sums, means and extremes along axes."""


def _reduced(op):
    """The rule that reduces by this operator."""
    def write(network, layer):
        a = layer["attributes"]
        axes = network.constant(layer, "axes", a["axes"])
        network.node(layer, op, [layer["inputs"][0], axes], keepdims=int(a["keep"]))

    return write


NODES = {
    "reduce_sum": _reduced("ReduceSum"),
    "reduce_mean": _reduced("ReduceMean"),
    "reduce_max": _reduced("ReduceMax"),
}
