"""Activations, sums and products, dropout: element by element."""

import numpy as np

from ...user_code import Refused
from ..values import shape_in_keras


def _unary(op, **attributes):
    def lower(call, value):
        return call.like(op, value, **attributes)
    return lower


def _linear(call, value):
    return value


def _relu(call, value, slope=0.0, most=None, threshold=0.0):
    if threshold:
        raise Refused("it has a threshold of %g; a graph's has 0" % threshold)
    if most is not None and slope:
        raise Refused("it has a slope and a largest value at once")
    if most is not None:
        return call.like("clip", value, low=0.0, high=float(most))
    return call.like("leaky_relu", value, slope=float(slope)) if slope else call.like("relu", value)


def _softmax(op):
    def lower(call, value, axis=-1):
        rank = len(shape_in_keras(value))
        if isinstance(axis, (list, tuple)):
            if len(axis) != 1:
                raise Refused("it is over several axes at once")
            axis = axis[0]
        axis %= rank
        value = call.plain(value)
        if axis == 0:
            raise Refused("it is over the batch")
        order = [each for each in range(1, rank) if each != axis] + [axis]
        if order[-1] == rank - 1:
            return call.like(op, value)
        turned = call.add("transpose", value, shape=[1, *(value.shape[each] for each in order)],
                          axes=[each - 1 for each in order])
        found = call.like(op, turned)
        back = [order.index(each) for each in range(1, rank)]
        return call.add("transpose", found, shape=value.shape, axes=back)
    return lower


def _mish(call, value):
    return call.like("multiply", value, call.like("tanh", call.like("softplus", value)))


def _softsign(call, value):
    one = call.constant(np.float32(1.0))
    return call.like("divide", value, call.like("add", call.like("abs", value), one))


def _square(call, value):
    return call.like("multiply", value, value)


def _rsqrt(call, value):
    return call.like("reciprocal", call.like("sqrt", value))


ACTIVATIONS = {
    "linear": _linear,
    "relu": _relu,
    "relu6": lambda call, value: _relu(call, value, most=6.0),
    "leaky_relu": lambda call, value: _relu(call, value, slope=0.2),
    "gelu": _unary("gelu", tanh=False),
    "elu": _unary("elu", alpha=1.0),
    "hard_sigmoid": _unary("hard_sigmoid", alpha=1 / 6, beta=0.5),
    **dict.fromkeys(("hard_silu", "hard_swish"), _unary("hard_swish")),
    **dict.fromkeys(("silu", "swish"), _unary("silu")),
    "exponential": _unary("exp"),
    "softmax": _softmax("softmax"),
    "log_softmax": _softmax("log_softmax"),
    "mish": _mish,
    "softsign": _softsign,
    **{name: _unary(name) for name in ("tanh", "sigmoid", "selu", "softplus")},
}


def _activation(call):
    return call.activated(call.first(), call.op.activation)


def _relu_layer(call):
    op = call.op
    return _relu(call, call.first(), float(op.negative_slope or 0), op.max_value, float(op.threshold or 0))


def _prelu(call):
    alpha = call.op.alpha
    value = call.image(call.first()) if len(shape_in_keras(call.first())) in (3, 4) else call.first()
    array = call.known(alpha)
    if array.size not in (1, array.shape[-1]):
        raise Refused("it has a slope for each pixel, and a graph's one for each channel; give it shared_axes")
    weights = {"slope": call.weight(alpha, lambda each: each.reshape(-1))}
    return call.like("prelu", value, weights=weights, is_shared=array.size == 1)


# Several values.


def together(call, values):
    """The values so that they broadcast as Keras's do: all as images, or all in Keras's order."""
    ranks = {len(shape_in_keras(each)) for each in values}
    if any(each.rank is not None for each in values):
        if len(ranks) == 1:
            return [call.image(each) for each in values]
        values = [call.plain(each) for each in values]
    return values


def _broadcast(values):
    rank = max(len(each.shape) for each in values)
    padded = [[1] * (rank - len(each.shape)) + list(each.shape) for each in values]
    return [max(sizes) for sizes in zip(*padded)]


def combined(call, op, values, **attributes):
    values = together(call, values)
    most = max(values, key=lambda each: len(each.shape))
    for each in values:
        if len(each.shape) < len(most.shape) and each.shape[0] == 1:
            raise Refused("it joins values of different ranks, whose batches do not meet")
    dtype = "bool" if op in COMPARISONS else most.dtype
    return call.add(op, *values, shape=_broadcast(values), rank=most.rank, dtype=dtype, **attributes)


def _merged(op):
    def lower(call):
        values = call.values()
        found = values[0]
        if op == "add":
            return combined(call, op, values)
        for each in values[1:]:
            found = combined(call, op, [found, each])
        return found
    return lower


def _average(call):
    values = call.values()
    return call.like("multiply", combined(call, "add", values), call.constant(np.float32(1 / len(values))))


COMPARISONS = ("greater", "greater_equal", "less", "less_equal", "equal")


def _two(op):
    def lower(call):
        first, second = list(call._arguments.values())[:2]
        shared = [call.is_shared(each) for each in (first, second)]
        values = [call.value_of(each) for each in (first, second)]
        if any(shared) and not all(shared):
            other = values[shared.index(False)]
            place = shared.index(True)
            if values[place].dtype != other.dtype and values[place].dtype != "bool":
                values[place] = call.reader.constant(call.known((first, second)[place]).astype(
                    np.float32 if other.dtype == "float" else np.int64))
            rank = len(shape_in_keras(other))
            if len(values[place].shape) > rank or (len(values[place].shape) == rank and values[place].shape[0] > 1):
                raise Refused("a value that all samples share has as many rows as there are samples")
            if other.rank is not None:
                values[place] = call.aligned(values[place], other)
            shape = _broadcast(values)
            dtype = "bool" if op in COMPARISONS else other.dtype
            return call.add(op, *values, shape=shape, rank=other.rank, dtype=dtype)
        return combined(call, op, values)
    return lower


def _power(call):
    first, second = list(call._arguments.values())[:2]
    exponent = call.known(second)
    if exponent.size != 1:
        raise Refused("its power is not one number")
    exponent = float(exponent.reshape(-1)[0])
    value = call.value_of(first)
    return _square(call, value) if exponent == 2 else call.like("power", value, exponent=exponent)


def _where(call):
    condition, first, second = (call.value(name) for name in ("condition", "x1", "x2"))
    values = together(call, [condition, first, second])
    most = max(values, key=lambda each: len(each.shape))
    return call.add("where", *values, shape=_broadcast(values), rank=most.rank)


def _not(call):
    return call.like("not", call.first())


def _clip(call):
    value = call.first()
    low, high = (call.known(getattr(call.op, name)) for name in ("x_min", "x_max"))
    return call.like("clip", value, low=float(low), high=float(high))


def _cast(call):
    value, to = call.first(), str(call.op.dtype)
    kind = "bool" if to == "bool" else "int64" if "int" in to else "float"
    if kind == value.dtype:
        return value
    return call.add("cast", value, shape=value.shape, rank=value.rank, dtype=kind, to=kind)


# Layers that are dropped out or scaled.


def dropped(call, value, rate, noise_shape=None):
    """Dropout; with ``noise_shape``, in Keras's order, whole parts of a sample share their fate."""
    if not rate or call.is_inference:
        return value
    shape = shape_in_keras(value)
    noise = shape if noise_shape is None else [1] + [
        size if each is None else int(each) for size, each in zip(shape[1:], list(noise_shape)[1:])]
    if noise == shape:
        return call.like("dropout", value, rate=float(rate))
    ones = call.constant(np.ones(noise[1:] or [1], np.float32))
    mask = call.add("expand", ones, value, shape=noise)
    mask = call.add("dropout", mask, shape=noise, rate=float(rate), name="mask")
    return combined(call, "multiply", [value, mask])


def _dropout(call):
    return dropped(call, call.first(), call.op.rate, call.op.noise_shape)


def _spatial_dropout(call):
    value = call.first()
    shape = shape_in_keras(value)
    noise = [None] + [1] * (len(shape) - 2) + [None]
    if getattr(call.op, "data_format", "channels_last") == "channels_first":
        noise = [None, None] + [1] * (len(shape) - 2)
    return dropped(call, value, call.op.rate, noise)


def _noise(call):
    if call.is_inference:
        return call.first()
    raise Refused("it adds random numbers in training, and a graph has dropout only; leave it out")


def _rescaling(call):
    value = call.first()
    scale, offset = (np.float32(call.known(each)) for each in (call.op.scale, call.op.offset))
    if np.any(scale != 1):
        value = call.like("multiply", value, call.constant(scale, value))
    return call.like("add", value, call.constant(offset, value)) if np.any(offset) else value


def _normalization(call):
    value, op = call.first(), call.op
    mean, variance = (np.float32(call.known(each)) for each in (op.mean, op.variance))
    mean, variance = (each.reshape(each.shape[1:]) if each.ndim and each.shape[0] == 1 and each.ndim > 1 else each
                      for each in (mean, variance))
    if op.invert:
        raise Refused("it undoes a normalisation")
    scale = 1 / np.maximum(np.sqrt(variance), 1e-7)
    centred = call.like("subtract", value, call.constant(mean, value))
    return call.like("multiply", centred, call.constant(scale.astype(np.float32), value))


def _same(call):
    return call.first()


LAYERS = {
    "Activation": _activation,
    "ReLU": _relu_layer,
    "LeakyReLU": lambda call: _relu(call, call.first(), slope=float(call.op.negative_slope)),
    "ELU": lambda call: call.like("elu", call.first(), alpha=float(call.op.alpha)),
    "PReLU": _prelu,
    "Softmax": lambda call: _softmax("softmax")(call, call.first(), call.op.axis),
    **{name: _merged(op) for name, op in (
        ("Add", "add"), ("Subtract", "subtract"), ("Multiply", "multiply"), ("Maximum", "maximum"),
        ("Minimum", "minimum"))},
    "Average": _average,
    "Dropout": _dropout,
    **dict.fromkeys(("SpatialDropout1D", "SpatialDropout2D"), _spatial_dropout),
    **dict.fromkeys(("GaussianNoise", "GaussianDropout", "AlphaDropout"), _noise),
    **dict.fromkeys(("Identity", "ActivityRegularization"), _same),
    "Rescaling": _rescaling,
    "Normalization": _normalization,
}


def _of_first(lower):
    return lambda call: lower(call, call.first())


OPERATIONS = {
    **{name: _two(op) for name, op in (
        ("Add", "add"), ("Subtract", "subtract"), ("Multiply", "multiply"), ("Divide", "divide"),
        ("TrueDivide", "divide"), ("Maximum", "maximum"), ("Minimum", "minimum"), ("Greater", "greater"),
        ("GreaterEqual", "greater_equal"), ("Less", "less"), ("LessEqual", "less_equal"), ("Equal", "equal"),
        ("LogicalAnd", "and"), ("LogicalOr", "or"))},
    **{name: _of_first(_unary(op)) for name, op in (
        ("Exp", "exp"), ("Log", "log"), ("Sqrt", "sqrt"), ("Absolute", "abs"), ("Abs", "abs"),
        ("Negative", "negative"), ("Sin", "sin"), ("Cos", "cos"), ("Erf", "erf"), ("Reciprocal", "reciprocal"),
        ("Tanh", "tanh"), ("Sigmoid", "sigmoid"), ("Silu", "silu"), ("Softplus", "softplus"), ("Selu", "selu"),
        ("HardSigmoid", "hard_sigmoid"), ("HardSilu", "hard_swish"), ("HardSwish", "hard_swish"))},
    "Relu": _of_first(_relu),
    "Relu6": _of_first(ACTIVATIONS["relu6"]),
    "LeakyRelu": lambda call: _relu(call, call.first(), slope=float(call.op.negative_slope)),
    "Elu": lambda call: call.like("elu", call.first(), alpha=float(call.op.alpha)),
    "Gelu": lambda call: call.like("gelu", call.first(), tanh=bool(call.op.approximate)),
    "Softmax": lambda call: _softmax("softmax")(call, call.first(), call.op.axis),
    "LogSoftmax": lambda call: _softmax("log_softmax")(call, call.first(), call.op.axis),
    "Mish": _of_first(_mish),
    "Softsign": _of_first(_softsign),
    "Square": _of_first(_square),
    "Rsqrt": _of_first(_rsqrt),
    "ConvertToTensor": lambda call: call.first(),
    "Power": _power,
    "Where": _where,
    "LogicalNot": _not,
    "Clip": _clip,
    "Cast": _cast,
}
