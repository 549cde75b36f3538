"""Sums, means and extremes along axes, and softmax."""

from ...user_code import Refused

TINY = 1e-30


def _reduced(op):
    def lower(call):
        x = call.subject
        if x.dtype != "float" and (op != "reduce_sum" or call.result[2] != "int64"):
            raise Refused("it reduces %s, and the operation floats only" % x.dtype)
        return call.add(op, _counted(call, x), axes=_axes(call, x), keep=bool(call.get("keepdim", False)))
    return lower


def _counted(call, x):
    """Bools as 0 and 1, which can be added."""
    return x if x.dtype != "bool" else call.add("cast", x, like=(x.shape, x.batch, "int64"), to="int64")


def _cumulative_sum(call):
    return call.add("cumulative_sum", _counted(call, call.subject), axis=_axes(call, call.subject)[0])


def _argmax(call):
    if call.get("dim") is None:
        raise Refused("it is of all axes; give it one")
    return call.add("argmax", call.subject, axis=_axes(call, call.subject)[0], keep=bool(call["keepdim"]))


def _extreme(op):
    """(the largest or smallest along an axis, where it lies); of all axes it is the batch's too, and refused."""
    def lower(call):
        x = call.subject
        if call.get("other") is not None:
            return call.add("maximum" if op == "reduce_max" else "minimum", x, call.value("other"))
        axes, keep = _axes(call, x), bool(call.get("keepdim", False))
        found, places = call.add(op, x, axes=axes, keep=keep), None
        if not call.has_several:
            return found
        if call.is_used(1):
            turned = x if op == "reduce_max" else call.add("negative", x, like=(x.shape, x.batch, x.dtype))
            places = call.add("argmax", turned, like=call.results[1], axis=axes[0], keep=keep)
        return [found, places]
    return lower


def _top_k(call):
    """The largest, or smallest, along an axis in order; a sort takes all."""
    x = call.subject
    axis = call["dim"] % len(x.shape)
    if axis == x.batch or x.dtype != "float":
        raise Refused("it orders the samples of a batch, or other numbers than floats")
    is_largest = bool(call.get("largest", call.get("descending", True)))
    turned = x if is_largest else call.add("negative", x, like=x[1:4])
    values, places = call.add_many("top_k", turned, outputs=call.results, axis=axis, count=call.result[0][axis])
    return [values if is_largest else call.add("negative", values, like=values[1:4]), places]


def _of_rows(call, x, axes, op="reduce_sum"):
    """Reduced with the axes kept as sizes of 1."""
    kept = [1 if axis in axes else size for axis, size in enumerate(x.shape)]
    return call.add(op, x, like=(kept, x.batch, x.dtype), axes=axes, keep=True)


def _log_sum_exp(call):
    x, axes = call.subject, _axes(call, call.subject)
    most = _of_rows(call, x, axes, "reduce_max")
    powers = call.add("exp", call.add("subtract", x, most, like=x[1:4]), like=x[1:4])
    total = call.add("add", call.add("log", _of_rows(call, powers, axes), like=most[1:4]), most, like=most[1:4])
    shape, batch, _ = call.result
    return call.regrouped(total, shape, batch)


def _norm(call):
    x, order = call.subject, call.get("ord", call.get("p"))
    axes, keep = _axes(call, x), bool(call.get("keepdim", False))
    if order in (2, None):
        total = call.add("reduce_sum", call.add("multiply", x, x, like=x[1:4]), axes=axes, keep=keep)
        return call.add("sqrt", call.add("clip", total, low=TINY))       # where all are 0, the gradient is 0
    if order in (1, float("inf")):
        sizes = call.add("abs", x, like=x[1:4])
        return call.add("reduce_sum" if order == 1 else "reduce_max", sizes, axes=axes, keep=keep)
    raise Refused("its order is %s; 1, 2 and infinity are known" % order)


def _deviation(call):
    return call.add("sqrt", _variance(call))


def _axes(call, x):
    given = call.get("dim")
    rank = len(x.shape)
    given = list(range(rank)) if given is None or given == [] else [given] if isinstance(given, int) else given
    axes = sorted(axis % rank for axis in given)
    if x.batch in axes:
        raise Refused("it reduces over the batch")
    return axes


def _variance(call):
    x, axes = call.subject, _axes(call, call.subject)
    kept = [1 if axis in axes else size for axis, size in enumerate(x.shape)]
    whole, of_rows = (x.shape, x.batch, x.dtype), (kept, x.batch, x.dtype)
    count = 1
    for axis in axes:
        count *= x.shape[axis]
    correction = call.get("correction")
    taken = int(bool(call["unbiased"])) if call.get("unbiased") is not None else 1 if correction is None else correction
    mean = call.add("reduce_mean", x, like=of_rows, axes=axes, keep=True)
    centred = call.add("subtract", x, mean, like=whole)
    square = call.add("multiply", centred, centred, like=whole)
    found = call.add("reduce_mean", square, axes=axes, keep=bool(call.get("keepdim", False)))
    return found if not taken else call.add("multiply", found, call.constant(count / (count - taken)))


def _softmax(op):
    def lower(call):
        x = call.subject
        rank = len(x.shape)
        axis = call["dim"] % rank
        if axis == x.batch:
            raise Refused("it is over the batch")
        order = [x.batch if x.batch is not None else 0] if x.batch is not None else []
        order += [each for each in range(rank) if each not in (x.batch, axis)] + [axis]
        if x.batch is None:
            raise Refused("all samples share what it takes")
        moved = call.permuted(x, order)
        found = call.add(op, moved, like=(moved.shape, moved.batch, moved.dtype))
        return call.permuted(found, [order.index(each) for each in range(rank)])
    return lower


CALLS = {
    "mean": _reduced("reduce_mean"),
    "sum": _reduced("reduce_sum"),
    "amax": _reduced("reduce_max"),
    "amin": _reduced("reduce_min"),
    "var": _variance,
    "softmax": _softmax("softmax"),
    "log_softmax": _softmax("log_softmax"),
    "_softmax": _softmax("softmax"),
    "cumsum": _cumulative_sum,
    "argmax": _argmax,
    "max": _extreme("reduce_max"),
    "min": _extreme("reduce_min"),
    **dict.fromkeys(("topk", "sort"), _top_k),
    "logsumexp": _log_sum_exp,
    **dict.fromkeys(("linalg_vector_norm", "norm"), _norm),
    "std": _deviation,
}
