"""Matrix products."""

from ._base import named


def _dense(network, layer):
    bias = [network.parameter(layer, "bias")] if layer["attributes"]["bias"] else []
    if len(layer["input_shapes"][0]) == 1:
        network.node(layer, "Gemm", layer["inputs"] + [network.parameter(layer, "weight")] + bias, transB=1)
        return
    if network.is_shared(layer, "weight"):       # with a table of tokens, for example
        weight = network.node(layer, "Transpose", [network.parameter(layer, "weight")], part="turned", perm=[1, 0])
    else:
        weight = network.parameter(layer, "weight", lambda array: array.T)
    product = network.node(layer, "MatMul", layer["inputs"] + [weight], part="product" if bias else None)
    if bias:
        network.node(layer, "Add", [product, *bias])


NODES = {
    "dense": _dense,
    "matmul": named("MatMul"),
}
