"""Sums, means and extremes along axes, and softmax."""

from ..user import Refused


def _reduced(op):
    def lower(call):
        x = call.subject
        if x.dtype != "float":
            raise Refused("it reduces %s, and the operation floats only" % x.dtype)
        axes = _axes(call, x)
        if x.batch in axes:
            raise Refused("it reduces over the batch")
        return call.add(op, x, axes=axes, keep=bool(call.get("keepdim", False)))
    return lower


def _axes(call, x):
    given = call.get("dim")
    rank = len(x.shape)
    given = list(range(rank)) if given is None or given == [] else [given] if isinstance(given, int) else given
    return sorted(axis % rank for axis in given)


def _variance(call):
    x, axes = call.subject, _axes(call, call.subject)
    if x.batch in axes:
        raise Refused("it reduces over the batch")
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
}
