"""Matrix products."""

from ._base import plus_bias


def _dense(run, layer, weights, x):
    weight = weights["weight"]
    y = x @ (weight.T if layer["parameters"][0]["key"] in run.shared else weight)
    return plus_bias(run, y, weights["bias"]) if layer["attributes"]["bias"] else y


def _matmul(run, layer, weights, left, right):
    return left @ right


LOWERINGS = {
    "dense": _dense,
    "matmul": _matmul,
}
