"""Matrix products."""

from ...user_code import Refused


def dense(call, value, kernel, bias, features, name=None, change=None):
    """A product over the last axis with a variable that ``change`` makes (in, features) of."""
    value = call.plain(value)

    def turned(array):
        return (array if change is None else change(array)).T

    return call.add("dense", value, shape=[*value.shape[:-1], features], name=name, weights={
        "weight": call.weight(kernel, turned), "bias": call.weight(bias, lambda array: array.reshape(-1))},
        out_features=features, bias=bias is not None)


def _dense(call):
    op = call.op
    if getattr(op, "quantization_mode", None) or getattr(op, "lora_enabled", False):
        raise Refused("it is quantised or has a low-rank adaptation; bring the plain layer")
    found = dense(call, call.first(), op._kernel, op.bias if op.use_bias else None, op.units)
    return call.activated(found, op.activation)


def _einsum_dense(call):
    """Where the equation is a product over the last axes, which become others."""
    op, value = call.op, call.plain(call.first())
    left, _, right = op.equation.replace(" ", "").partition("->")
    of_value, _, of_kernel = left.partition(",")
    outer = len(of_value) - sum(each in of_kernel for each in of_value)
    inner = of_value.replace("...", "")[outer:] if "..." not in of_value else None
    if inner is None or not of_kernel.startswith(inner) or right != of_value[:outer] + of_kernel[len(inner):]:
        raise Refused("its equation %s is no product over the last axes" % op.equation)
    made = [int(size) for size in op.kernel.shape[len(inner):]]
    count, features = _size(value.shape[outer:]), _size(made)
    if len(inner) > 1:
        shape = [*value.shape[:outer], count]
        value = call.add("reshape", value, shape=shape, to=shape[1:], name="reshape")
    bias = op.bias
    if bias is not None and _size(bias.shape) != features:
        raise Refused("its bias is shared by some of its features")
    found = dense(call, value, op._kernel, bias, features, change=lambda array: array.reshape(count, features))
    if len(made) > 1:
        shape = [*value.shape[:outer], *made]
        found = call.add("reshape", found, shape=shape, to=shape[1:], name="reshape")
    return call.activated(found, op.activation)


def _size(shape):
    count = 1
    for size in shape:
        count *= int(size)
    return count


def _matmul(call):
    first, second = list(call._arguments.values())[:2]
    variable = isinstance(second, call.reader.keras.Variable) and len(second.shape) == 2
    if variable and not call.is_shared(first):
        return dense(call, call.value_of(first), second, None, int(second.shape[1]))
    left, right = (call.plain(call.value_of(each)) for each in (first, second))
    if min(len(left.shape), len(right.shape)) < 3 and not call.is_shared(second):
        raise Refused("it multiplies by a vector; give that a second axis")
    outer = [max(sizes) for sizes in zip(left.shape[:-2], right.shape[:-2])] if len(right.shape) > 2 else (
        left.shape[:-2])
    return call.add("matmul", left, right, shape=[*outer, left.shape[-2], right.shape[-1]])


def _time_distributed(call):
    """A layer at each step, where it works row by row anyway."""
    op, value = call.op, call.first()
    if type(op.layer).__name__ != "Dense" or not type(op.layer).__module__.startswith("keras."):
        raise Refused("it runs %s at each step, and a graph runs Dense only so; reshape steps into the batch" % (
            type(op.layer).__name__))
    layer = op.layer
    found = dense(call, value, layer._kernel, layer.bias if layer.use_bias else None, layer.units)
    return call.activated(found, layer.activation)


def _dot(call):
    op = call.op
    left, right = (call.plain(each) for each in call.values())
    axes = [op.axes] * 2 if isinstance(op.axes, int) else list(op.axes)
    if op.normalize or len(left.shape) != 3 or len(right.shape) != 3:
        raise Refused("it is no product of two sequences of features")
    axes = [axis % 3 for axis in axes]
    if axes[0] == 1:
        left = call.add("transpose", left, shape=[1, left.shape[2], left.shape[1]], axes=[1, 0], name="transpose")
    if axes[1] == 2:
        right = call.add("transpose", right, shape=[1, right.shape[2], right.shape[1]], axes=[1, 0],
                         name="transpose")
    return call.add("matmul", left, right, shape=[1, left.shape[1], right.shape[2]])


LAYERS = {
    "Dense": _dense,
    "EinsumDense": _einsum_dense,
    "TimeDistributed": _time_distributed,
    "Dot": _dot,
}
OPERATIONS = {
    "Matmul": _matmul,
}
