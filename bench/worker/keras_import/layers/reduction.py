"""Sums, means and extremes along axes."""

from ...user_code import Refused


def _reduced(op):
    def lower(call):
        value = call.plain(call.first())
        rank, given = len(value.shape), call.op.axis
        if given is None:
            raise Refused("it reduces the batch too")
        axes = sorted(axis % rank for axis in ([given] if isinstance(given, int) else given))
        if 0 in axes:
            raise Refused("it reduces over the batch")
        keep = bool(call.op.keepdims)
        shape = [1 if axis in axes else size for axis, size in enumerate(value.shape) if keep or axis not in axes]
        return call.add(op, value, shape=shape, axes=axes, keep=keep)
    return lower


def _variance(call):
    value = call.plain(call.first())
    rank, given = len(value.shape), call.op.axis
    axes = sorted(axis % rank for axis in ([given] if isinstance(given, int) else given or [0]))
    if 0 in axes:
        raise Refused("it reduces over the batch")
    kept = [1 if axis in axes else size for axis, size in enumerate(value.shape)]
    mean = call.add("reduce_mean", value, shape=kept, axes=axes, keep=True)
    centred = call.like("subtract", value, mean)
    square = call.like("multiply", centred, centred)
    keep = bool(call.op.keepdims)
    shape = [size for axis, size in enumerate(kept) if keep or axis not in axes]
    return call.add("reduce_mean", square, shape=shape, axes=axes, keep=keep)


LAYERS = {}
OPERATIONS = {
    "Mean": _reduced("reduce_mean"),
    "Sum": _reduced("reduce_sum"),
    "Max": _reduced("reduce_max"),
    "Min": _reduced("reduce_min"),
    "Var": _variance,
}
