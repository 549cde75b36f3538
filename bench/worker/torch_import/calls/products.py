"""Matrix products."""

import numpy as np

from ...user_code import Refused


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
    other = next(name for name in ("other", "mat2", "vec", "tensor") if call.get(name) is not None)
    return _product(call, "self", call.value(other))


def _product(call, name, right):
    """Of the argument of this name by a value."""
    rows, (shape, batch, dtype) = call.rows_of(name), call.result
    if rows.folded > 1 and len(right.shape) == 2 and right.batch is None:
        like = ([*rows.shape[:-1], right.shape[1]], rows.batch, dtype)
        return call.add("matmul", rows, right, like=like)._replace(folded=rows.folded)
    left, whole = call.value(name), list(shape)
    if len(left.shape) == len(right.shape) == 1:
        raise Refused("it multiplies two vectors; give them a second axis")
    if len(right.shape) == 1:                            # a vector is a matrix of one column, or of one row
        right, whole = call.regrouped(right, [right.shape[0], 1], right.batch), [*shape, 1]
    elif len(left.shape) == 1:
        left = call.regrouped(left, [1, left.shape[0]], left.batch)
        whole = [*shape[:-1], 1, shape[-1]]
    if len(left.shape) == 2 and left.batch == 0 and right.batch is None:         # rows are samples: one matrix of each
        left, whole = call.regrouped(left, [left.shape[0], 1, left.shape[1]], 0), [whole[0], 1, whole[-1]]
    if left.batch in (len(left.shape) - 2, len(left.shape) - 1) and right.batch is None:
        raise Refused("its rows or columns are samples")
    return call.regrouped(call.add("matmul", left, right, like=(whole, batch, dtype)), shape, batch)


def _sum_of_product(call, bias, name, right):
    """beta * bias + alpha * product."""
    product = _product(call, name, right)
    if call.get("alpha", 1) != 1:
        product = call.changed(product, "multiply", product, call.constant(float(call["alpha"])))
    if call.get("beta", 1) == 0:
        return product
    if call.get("beta", 1) != 1:
        bias = call.changed(bias, "multiply", bias, call.constant(float(call["beta"])))
    if product.folded > 1 and bias.batch is not None:
        raise Refused("it adds to rows what differs from sample to sample")
    return call.changed(product, "add", product, bias)


def _addmm(call):
    return _sum_of_product(call, call.value("self"), "mat1", call.value("mat2"))


def _addbmm(call):
    return _sum_of_product(call, call.value("self"), "batch1", call.value("batch2"))


def _einsum(call):
    """Of one or two inputs, as a product of matrices."""
    values = [call.value_of(each) for each in call["tensors"]]
    inputs, output = _letters(call["equation"], [len(each.shape) for each in values])
    if len(values) > 2 or any(len(set(each)) < len(each) for each in (*inputs, output)):
        raise Refused("it has more than two inputs, or takes a diagonal; write it in parts")
    batch = call.result[1]
    values, inputs = zip(*[_without_sums(call, value, own, {*output}.union(*inputs[:index], *inputs[index + 1:]))
                           for index, (value, own) in enumerate(zip(values, inputs))])
    if len(values) == 1:
        return call.permuted(values[0], [inputs[0].index(each) for each in output])
    (left, right), (of_left, of_right) = values, inputs
    sizes = {**dict(zip(of_left, left.shape)), **dict(zip(of_right, right.shape))}
    samples = {own[value.batch] for value, own in zip(values, inputs) if value.batch is not None}
    if len(samples) > 1 or (samples and batch is None):
        raise Refused("it mixes samples of the batch")
    first = [each for each in output if each in samples]
    both = [each for each in output if each in of_left and each in of_right and each not in samples]
    rows = [each for each in output if each in of_left and each not in of_right and each not in samples]
    columns = [each for each in output if each in of_right and each not in of_left and each not in samples]
    summed = [each for each in of_left if each in of_right and each not in output]
    left = _matrix(call, left, of_left, first, both, rows, summed)
    right = _matrix(call, right, of_right, first, both, summed, columns)
    order, outer = [*first, *both, *rows, *columns], [sizes[each] for each in [*first, *both]]
    count = [int(np.prod([sizes[each] for each in group])) for group in (rows, columns)]
    product = call.add("matmul", left, right, like=([*outer, *count], 0 if first else None, "float"))
    whole = call.regrouped(product, [sizes[each] for each in order], 0 if first else None)
    return call.permuted(whole, [order.index(each) for each in output])


def _letters(equation, ranks):
    """([the letters of each input], those of the output); "..." becomes letters of its own."""
    left, arrow, output = equation.replace(" ", "").partition("->")
    inputs = left.split(",")
    named = [len(each.replace("...", "")) for each in inputs]
    spare = [chr(0x3b1 + index) for index in range(max(rank - count for rank, count in zip(ranks, named)))]
    inputs = [[*each.replace("...", "".join(spare[len(spare) - rank + count:]))]
              for each, rank, count in zip(inputs, ranks, named)]
    if arrow:
        return inputs, [*output.replace("...", "".join(spare))]
    alone = [each for each in "".join(map("".join, inputs)) if each not in spare]
    return inputs, [*spare, *sorted(each for each in set(alone) if alone.count(each) == 1)]


def _without_sums(call, value, own, needed):
    """(the value, its letters) without axes that nobody else names, which are summed."""
    axes = [axis for axis, each in enumerate(own) if each not in needed]
    if not axes:
        return value, own
    if value.batch in axes:
        raise Refused("it sums over the batch")
    shape = [size for axis, size in enumerate(value.shape) if axis not in axes]
    batch = None if value.batch is None else value.batch - sum(axis < value.batch for axis in axes)
    found = call.add("reduce_sum", value, like=(shape, batch, value.dtype), axes=axes, keep=False)
    return found, [each for axis, each in enumerate(own) if axis not in axes]


def _matrix(call, value, own, first, both, rows, columns):
    """As (samples, axes of both, rows, columns); of one value for all, without the first."""
    first = [each for each in first if each in own]
    moved = call.permuted(value, [own.index(each) for each in [*first, *both, *rows, *columns]])
    outer = len(first) + len(both)
    sizes = [int(np.prod(group)) for group in (moved.shape[outer:outer + len(rows)], moved.shape[outer + len(rows):])]
    return call.regrouped(moved, [*moved.shape[:outer], *sizes], moved.batch)


CALLS = {
    "linear": _linear,
    "addmm": _addmm,
    "baddbmm": _addbmm,
    "einsum": _einsum,
    **dict.fromkeys(("matmul", "bmm", "mm", "mv", "dot", "__matmul__"), _matmul),
}
