"""Matrix products."""

from ..user import Refused


def _linear(call):
    x = call.rows
    if x.batch is None or not call.is_weight("weight") or (call["bias"] is not None and not call.is_weight("bias")):
        return _linear_of_values(call, call.subject)
    weight, bias = call.weight("weight"), call.weight("bias")
    first = call.batch_first(x)
    features = weight.tensor.shape[0]
    found = call.add("dense", first, weights={"weight": weight, "bias": bias}, like=(
        [*first.shape[:-1], features], 0, "float"), out_features=features, bias=bias is not None)
    return call.batch_back(found, x)


def _linear_of_values(call, x):
    """Where the weight is computed, or all samples share the input."""
    weight = call.value("weight")
    product = call.add("matmul", x, call.permuted(weight, [1, 0]))
    return product if call["bias"] is None else call.add("add", product, call.value("bias"))


def _matmul(call):
    left, right = call.value("self"), call.value("other" if call.get("other") is not None else "mat2")
    return _product(call, left, right, call.result)


def _product(call, left, right, like):
    if min(len(left.shape), len(right.shape)) < 2:
        raise Refused("it multiplies by a vector; give that a second axis")
    rank = len(left.shape)
    if left.batch in (rank - 2, rank - 1) and right.batch is None:
        raise Refused("its rows or columns are samples")
    return call.add("matmul", left, right, like=like)


def _addmm(call):
    if call.get("beta", 1) != 1 or call.get("alpha", 1) != 1:
        raise Refused("it scales its parts by alpha or beta")
    bias, x, matrix = (call.value(name) for name in ("self", "mat1", "mat2"))
    if x.batch == 0 and matrix.batch is None:           # rows are samples: a matrix of one row each
        rows = call.regrouped(x, [x.shape[0], 1, x.shape[1]], 0)
        shape, batch, dtype = call.result
        like = ([shape[0], 1, shape[1]], batch, dtype)
        product = call.regrouped(call.add("matmul", rows, matrix, like=like), shape, batch)
    else:
        product = call.add("matmul", x, matrix)
    return call.add("add", product, bias)


CALLS = {
    "linear": _linear,
    "addmm": _addmm,
    **dict.fromkeys(("matmul", "bmm", "mm", "__matmul__"), _matmul),
}
