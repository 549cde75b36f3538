"""Rows chosen by their index."""

from ...user_code import Refused


def _embedding(call):
    op = call.op
    if op.mask_zero:
        raise Refused("it masks steps of token 0 for the layers behind it, which a graph's do not have; set "
                      "mask_zero=False")
    value = call.first()
    if value.dtype == "float":
        raise Refused("its tokens are floats that were computed")
    return call.add("embedding", value, shape=[*value.shape, op.output_dim], weights={
        "weight": call.weight(op._embeddings)}, vocabulary=op.input_dim, features=op.output_dim)


def _masking(call):
    raise Refused("it masks steps for the layers behind it, which a graph's do not have; leave it out")


def _one_hot(call):
    value = call.first()
    return call.add("one_hot", value, shape=[*value.shape, call.op.num_classes], depth=int(call.op.num_classes))


LAYERS = {
    "Embedding": _embedding,
    "Masking": _masking,
}
OPERATIONS = {
    "OneHot": _one_hot,
}
