"""Functions of each element, and of elements that broadcasting brings together."""

import math

import numpy as np

from ...user_code import Refused


def _named(op, **attributes):
    def lower(call):
        x = call.rows
        if x.dtype != "float":
            x = call.changed(x._replace(dtype="float"), "cast", x, to="float")
        return call.changed(x, op, x, **attributes)

    return lower


def _two(op):
    """Of two inputs, of which the second may be multiplied first, as torch's ``alpha`` has it."""
    def lower(call):
        if call.get("rounding_mode"):
            raise Refused("it rounds its quotient, and no operation does")
        if call.result[2] == "bool":
            raise Refused("it computes with bools; use logical_and or logical_or")
        return call.add(op, call.as_kind(call["self"], call.result[2]), _second(call, call["other"]))
    return lower


def _second(call, argument):
    """The second of two inputs, times ``alpha``."""
    value, alpha = call.as_kind(argument, call.result[2]), call.get("alpha", 1)
    return value if alpha == 1 else call.add(
        "multiply", value, call.as_kind(alpha, call.result[2]), like=(value.shape, value.batch, value.dtype))


def _reversed_subtract(call):
    return call.add("subtract", call.as_kind(call["other"], call.result[2]), _second(call, call["self"]))


def _reversed_divide(call):
    return call.add("divide", call.as_kind(call["other"], "float"), call.as_kind(call["self"], "float"))


def _power(call):
    exponent = call.known("exponent")
    if isinstance(call["self"], (int, float)) and exponent is None and call["self"] > 0:
        powers = call.add("multiply", call.as_kind(call["exponent"], "float"), call.constant(math.log(call["self"])))
        return call.add("exp", powers)
    if exponent is None or exponent.size != 1 or isinstance(call["self"], (int, float)):
        raise Refused("its exponent is no constant number")
    x, power = call.value("self"), float(exponent.reshape(-1)[0])
    if power == 2:
        return call.add("multiply", x, x)
    if power == 0.5:
        return call.add("sqrt", x)
    if power == 3:
        return call.add("multiply", call.add("multiply", x, x), x)
    return call.add("power", x, exponent=power)


def _square(call):
    return call.add("multiply", call.subject, call.subject)


def _inverse_root(call):
    root = _named("sqrt")(call)
    return call.changed(root, "divide", call.constant(1.0), root)


def _gelu(call):
    return _named("gelu", tanh=call["approximate"] == "tanh")(call)


def _clamp(call):
    bounds = [call.get(a, call.get(b)) for a, b in (("min", "min_val"), ("max", "max_val"))]
    if any(hasattr(bound, "meta") for bound in bounds) or call.subject.dtype != "float":
        found = call.subject
        for op, bound in zip(("maximum", "minimum"), bounds):
            found = found if bound is None else call.add(op, found, call.as_kind(bound, found.dtype))
        return found
    given = {name: float(bound) for name, bound in zip(("low", "high"), bounds) if bound is not None}
    if not {"low", "high"} - given.keys() or given.keys() != {"low"} or given["low"] != 0:
        return call.add("clip", call.subject, **given)
    return call.add("relu", call.subject)


def _relu6(call):
    return call.add("clip", call.subject, low=0.0, high=6.0)


def _leaky_relu(call):
    return call.add("leaky_relu", call.subject, slope=float(call["negative_slope"]))


def _elu(call):
    if call["scale"] != 1 or call["input_scale"] != 1:
        raise Refused("it scales its result")
    return call.add("elu", call.subject, alpha=float(call["alpha"]))


def _celu(call):
    alpha = call.constant(float(call["alpha"]))
    return call.add("multiply", call.add("elu", call.add("divide", call.subject, alpha), alpha=1.0), alpha)


def _softplus(call):
    if call["beta"] == 1:
        return call.add("softplus", call.subject)
    beta = call.constant(float(call["beta"]))
    return call.add("divide", call.add("softplus", call.add("multiply", call.subject, beta)), beta)


def _log_sigmoid(call):
    return call.add("negative", call.add("softplus", call.add("negative", call.subject)))


def _soft_sign(call):
    x = call.subject
    return call.add("divide", x, call.add("add", call.constant(1.0), call.add("abs", x)))


def _gated(call):
    x, like = call.subject, call.result
    first, second = call.add_many("split", x, outputs=[like, like], axis=call["dim"] % len(x.shape), parts=2)
    return call.add("multiply", first, call.add("sigmoid", second))


def _logarithm(base):
    def lower(call):
        return call.add("divide", call.add("log", call.subject), call.constant(math.log(base)))
    return lower


def _exp_minus_one(call):
    return call.add("subtract", call.add("exp", call.subject), call.constant(1.0))


def _between(call):
    start = call.subject
    weight = call.as_kind(call["weight"], "float")
    return call.add("add", start, call.add("multiply", weight, call.add("subtract", call.value("end"), start)))


def _prelu(call):
    weight, x = call.weight("weight"), call.batch_first(call.subject)
    return call.add("prelu", x, weights={"slope": weight}, is_shared=weight.tensor.numel() == 1)


def _mish(call):
    x = call.subject
    return call.add("multiply", x, call.add("tanh", call.add("softplus", x)))


def _dropout(call):
    x = call.rows
    if call["p"] == 0 or not call["train"]:
        return x
    if x.batch is None:
        raise Refused("it drops the same elements for all samples, and a graph draws for each sample")
    first = call.batch_first(x)
    return call.batch_back(call.dropped(first, float(call["p"]), x.batch), x)


def _drawn(call):
    """1 with a probability, else 0, for each sample: dropout of ones, whose other elements it enlarges."""
    shape, batch, _ = call.result
    kept = float(call["p"]) if isinstance(call.get("p"), (int, float)) else None
    if batch != 0 or kept is None:
        raise Refused("it draws numbers that no dropout draws")
    if len(shape) == 1:
        raise Refused("it draws one number per sample without further axes; give them sizes of 1")
    ones = call.expanded(call.regrouped(call.constant(np.ones(shape, np.float32)), shape, None))
    return call.add("multiply", call.dropped(ones, 1 - kept), call.constant(kept))


def _detached(call):
    if call.rows.dtype == "float":
        raise Refused("it keeps gradients from passing, and no operation of a graph does; leave detach out")
    return call.rows


def _to(call):
    x, dtype = call.rows, call.result[2]
    if x.dtype == dtype:
        return x
    return call.add("cast", x, like=(x.shape, x.batch, dtype), to=dtype)._replace(folded=x.folded)


def _log1p(call):
    x = call.subject
    return call.add("log", call.add("add", x, call.constant(1.0)))


def _sum_with(op):
    def lower(call):
        product = call.add(op, call.value("tensor1"), call.value("tensor2"))
        if call["value"] != 1:
            product = call.add("multiply", product, call.constant(float(call["value"])))
        return call.add("add", call.value("self"), product)
    return lower


SAME = (
    "contiguous", "alias", "clone", "lift_fresh_copy", "identity", "positive", "to", "_to_copy", "type_as", "float",
    "long", "int",
)


CALLS = {
    **{name: _named(name) for name in (
        "relu", "tanh", "sigmoid", "exp", "log", "sqrt", "abs", "sin", "cos", "silu", "erf", "selu", "reciprocal")},
    **{name: _two(op) for name, op in (
        ("add", "add"), ("sub", "subtract"), ("mul", "multiply"), ("div", "divide"), ("subtract", "subtract"),
        ("multiply", "multiply"), ("divide", "divide"), ("true_divide", "divide"), ("maximum", "maximum"),
        ("minimum", "minimum"))},
    "neg": _named("negative"),
    "hardswish": _named("hard_swish"),
    "hardsigmoid": _named("hard_sigmoid", alpha=1 / 6, beta=0.5),
    "rsub": _reversed_subtract,
    "pow": _power,
    "square": _square,
    "rsqrt": _inverse_root,
    "gelu": _gelu,
    "clamp": _clamp,
    "clamp_min": _clamp,
    "clamp_max": _clamp,
    "hardtanh": _clamp,
    "relu6": _relu6,
    "leaky_relu": _leaky_relu,
    "elu": _elu,
    "softplus": _softplus,
    "prelu": _prelu,
    "mish": _mish,
    "log1p": _log1p,
    "addcmul": _sum_with("multiply"),
    "addcdiv": _sum_with("divide"),
    "celu": _celu,
    "log_sigmoid": _log_sigmoid,
    "softsign": _soft_sign,
    "glu": _gated,
    "log2": _logarithm(2),
    "log10": _logarithm(10),
    "expm1": _exp_minus_one,
    "lerp": _between,
    "__rdiv__": _reversed_divide,
    "bernoulli": _drawn,
    **dict.fromkeys(("dropout", "feature_dropout"), _dropout),
    **dict.fromkeys(SAME, _to),
    "detach": _detached,
}

FILLED = {
    "zeros_like": lambda call: 0,
    "ones_like": lambda call: 1,
    "full_like": lambda call: call["fill_value"],
    "new_zeros": lambda call: 0,
    "new_ones": lambda call: 1,
    "new_full": lambda call: call["fill_value"],
}

