"""Normalisation."""

import numpy as np

from ...user_code import Refused


def _batch_norm(call):
    weight, bias, mean, variance = (
        call.weight(name) for name in ("weight", "bias", "running_mean", "running_var"))
    if not call["training"]:
        raise Refused("it uses running statistics in training too")
    if mean is None or weight is None or bias is None or call["momentum"] is None:
        raise Refused("it lacks running statistics, a momentum, or scale and shift")
    x = call.subject
    shape = x.shape if len(x.shape) in (2, 4) else [*x.shape[:2], 1, int(np.prod(x.shape[2:]))]
    flat = call.regrouped(x, shape, x.batch)
    found = call.add("batch_norm", flat, like=(list(shape), x.batch, x.dtype), weights={
        "gamma": weight, "beta": bias, "mean": mean, "variance": variance},
        epsilon=float(call["eps"]), momentum=float(call["momentum"]))
    return call.regrouped(found, x.shape, x.batch)


def _layer_norm(call):
    x, count = call.rows, len(call["normalized_shape"])
    if x.folded > 1 and count > 1:
        x = call.subject
    features = int(np.prod(x.shape[len(x.shape) - count:]))
    shape = [*x.shape[:len(x.shape) - count], features]
    flat = call.regrouped(x, shape, x.batch)
    weight, bias, epsilon = call.get("weight"), call.get("bias"), float(call["eps"])
    like = (shape, x.batch, x.dtype)
    if weight is not None and bias is not None:
        weights = {name: _flat(call.weight(own)) for name, own in (("gamma", "weight"), ("beta", "bias"))}
        found = call.add("layer_norm", flat, like=like, weights=weights, epsilon=epsilon)
    else:
        found = _normalised(call, flat, epsilon, like)
        if weight is not None:
            found = call.add("multiply", found, call.regrouped(call.value("weight"), [features], None), like=like)
    return call.regrouped(found, x.shape, x.batch)._replace(folded=x.folded)


def _flat(weight):
    return weight._replace(tensor=weight.tensor.reshape(-1)) if weight.tensor.dim() > 1 else weight


def _normalised(call, x, epsilon, like):
    """Over the last axis, without parameters."""
    axis, shape = len(x.shape) - 1, [*x.shape[:-1], 1]
    of_rows = (shape, x.batch, x.dtype)

    def mean(value):
        return call.add("reduce_mean", value, like=of_rows, axes=[axis], keep=True)

    centred = call.add("subtract", x, mean(x), like=like)
    variance = mean(call.add("multiply", centred, centred, like=like))
    deviation = call.add("sqrt", call.add("add", variance, call.constant(epsilon), like=of_rows), like=of_rows)
    return call.add("divide", centred, deviation, like=like)


def _rms_norm(call):
    if call.get("weight") is None or len(call["normalized_shape"]) != 1:
        raise Refused("it has no scale, or normalises over several axes")
    epsilon = call["eps"]
    return call.changed(call.rows, "rms_norm", call.rows, weights={"gamma": call.weight("weight")},
                    epsilon=float(1.1920928955078125e-07 if epsilon is None else epsilon))


def _group_norm(call):
    return _in_groups(call, int(call["num_groups"]))


def _instance_norm(call):
    if not call["use_input_stats"]:
        raise Refused("it uses running statistics")
    if call.get("running_mean") is not None:
        raise Refused("it keeps running statistics (track_running_stats), which no group has")
    return _in_groups(call, call.subject.shape[1])


def _in_groups(call, groups):
    """Each group of channels by itself; without parameters, in single steps."""
    x, epsilon = call.subject, float(call["eps"])
    given = [call.get(name) is not None for name in ("weight", "bias")]
    if not any(given):
        rows = [*x.shape[:1], groups, int(np.prod(x.shape[1:])) // groups]
        flat = call.regrouped(x, rows, x.batch)
        return call.regrouped(_normalised(call, flat, epsilon, flat[1:4]), x.shape, x.batch)
    if not all(given):
        raise Refused("it has a scale or a shift, but not both")
    shape = x.shape if len(x.shape) == 4 else [*x.shape[:2], 1, int(np.prod(x.shape[2:]))]
    flat = call.regrouped(x, shape, x.batch)
    found = call.add("group_norm", flat, like=(list(shape), x.batch, x.dtype), weights={
        "gamma": call.weight("weight"), "beta": call.weight("bias")}, groups=groups, epsilon=epsilon)
    return call.regrouped(found, x.shape, x.batch)


CALLS = {
    "batch_norm": _batch_norm,
    "layer_norm": _layer_norm,
    "rms_norm": _rms_norm,
    "group_norm": _group_norm,
    "instance_norm": _instance_norm,
}
