"""Functions of each element, and of elements that broadcasting brings together."""

import numpy as np

from ..user import Refused


def _named(op, **attributes):
    def lower(call):
        x = call.rows
        return call.add(op, x, like=x[1:4], **attributes)._replace(folded=x.folded)

    return lower


def _two(op):
    """Of two inputs, of which the second may be multiplied first, as torch's ``alpha`` has it."""
    def lower(call):
        other = call.value("other")
        if call.get("alpha", 1) != 1:
            factor = call.constant(float(call["alpha"]))
            other = call.add("multiply", other, factor, like=(other.shape, other.batch, other.dtype))
        if call.get("rounding_mode"):
            raise Refused("it rounds its quotient, and no operation does")
        return call.add(op, _as_floats(call, call.value("self")), _as_floats(call, other))
    return lower


def _as_floats(call, value):
    if value.dtype == "float":
        return value
    if call.result[2] != "float":
        raise Refused("it computes with integers or bools, and the operation with floats only")
    return call.add("cast", value, like=(value.shape, value.batch, "float"), to="float")


def _reversed_subtract(call):
    return call.add("subtract", call.value("other"), call.value("self"))


def _power(call):
    exponent = call.known("exponent")
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
    root = call.add("sqrt", call.subject)
    return call.add("divide", call.constant(1.0), root)


def _gelu(call):
    return _named("gelu", tanh=call["approximate"] == "tanh")(call)


def _clamp(call):
    bounds = [call.get(a, call.get(b)) for a, b in (("min", "min_val"), ("max", "max_val"))]
    if any(hasattr(bound, "meta") for bound in bounds):
        raise Refused("its bounds are tensors; use torch.maximum and torch.minimum")
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


def _softplus(call):
    if call["beta"] != 1:
        raise Refused("its beta is %s, not 1" % call["beta"])
    return call.add("softplus", call.subject)


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


def _same(call):
    return call.rows


def _to(call):
    x, dtype = call.rows, call.result[2]
    if x.dtype == dtype:
        return x
    return call.add("cast", x, like=(x.shape, x.batch, dtype), to=dtype)._replace(folded=x.folded)


def _log1p(call):
    x = call.subject
    return call.add("log", call.add("add", x, call.constant(1.0)))


def _addcmul(call):
    product = call.add("multiply", call.value("tensor1"), call.value("tensor2"))
    if call["value"] != 1:
        product = call.add("multiply", product, call.constant(float(call["value"])))
    return call.add("add", call.value("self"), product)


CALLS = {
    **{name: _named(name) for name in (
        "relu", "tanh", "sigmoid", "exp", "log", "sqrt", "abs", "sin", "cos", "silu", "erf", "selu", "reciprocal")},
    **{name: _two(op) for name, op in (
        ("add", "add"), ("sub", "subtract"), ("mul", "multiply"), ("div", "divide"), ("subtract", "subtract"),
        ("multiply", "multiply"), ("divide", "divide"), ("maximum", "maximum"), ("minimum", "minimum"))},
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
    "addcmul": _addcmul,
    "bernoulli": _drawn,
    **dict.fromkeys(("dropout", "feature_dropout"), _dropout),
    **dict.fromkeys(("contiguous", "alias", "detach", "clone", "lift_fresh_copy", "identity", "positive"), _same),
    **dict.fromkeys(("to", "_to_copy", "type_as", "float"), _to),
}

FILLED = {
    "zeros_like": lambda call: 0,
    "ones_like": lambda call: 1,
    "full_like": lambda call: call["fill_value"],
    "new_zeros": lambda call: 0,
    "new_ones": lambda call: 1,
    "new_full": lambda call: call["fill_value"],
}

