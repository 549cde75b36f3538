"""Normalisation by statistics of a batch, of channels or of features."""


def _batch_norm(run, layer, weights, x):
    a, spread = layer["attributes"], run.layout.spread
    mean, variance = weights["mean"], weights["variance"]
    if run.is_training:
        channel = run.layout.channel if x.ndim == 4 else 1
        axes = tuple(axis for axis in range(x.ndim) if axis != channel)
        count = x.size // x.shape[channel]
        batch_mean, batch_variance = x.mean(axes), x.var(axes)
        unbiased = batch_variance * (count / max(count - 1, 1))
        keys = {p["name"]: p["key"] for p in layer["parameters"]}
        for name, old, new in (("mean", mean, batch_mean), ("variance", variance, unbiased)):
            run.statistics[keys[name]] = (1 - a["momentum"]) * old + a["momentum"] * new
        mean, variance = batch_mean, batch_variance
    scale = run.lax.rsqrt(variance + a["epsilon"]) * weights["gamma"]
    return (x - spread(mean, x)) * spread(scale, x) + spread(weights["beta"], x)


def _local_response_norm(run, layer, weights, x):
    a = layer["attributes"]
    size, padding = [1] * 4, [(0, 0)] * 4
    size[run.layout.channel], padding[run.layout.channel] = a["size"], (a["size"] // 2,) * 2
    squares = run.lax.reduce_window(x * x, 0.0, run.lax.add, size, (1,) * 4, padding)
    return x * (a["k"] + a["alpha"] / a["size"] * squares) ** -a["beta"]


def _layer_norm(run, layer, weights, x):
    centred = x - x.mean(-1, keepdims=True)
    scale = run.lax.rsqrt((centred * centred).mean(-1, keepdims=True) + layer["attributes"]["epsilon"])
    return centred * scale * weights["gamma"] + weights["beta"]


def _rms_norm(run, layer, weights, x):
    scale = run.lax.rsqrt((x * x).mean(-1, keepdims=True) + layer["attributes"]["epsilon"])
    return x * scale * weights["gamma"]


def _group_norm(run, layer, weights, x):
    a, channel, spread = layer["attributes"], run.layout.channel, run.layout.spread
    grouped = x.reshape(*x.shape[:channel], a["groups"], -1, *x.shape[channel + 1:])
    axes = tuple(axis for axis in range(1, 5) if axis != channel)
    centred = grouped - grouped.mean(axes, keepdims=True)
    scale = run.lax.rsqrt((centred * centred).mean(axes, keepdims=True) + a["epsilon"])
    return (centred * scale).reshape(x.shape) * spread(weights["gamma"], x) + spread(weights["beta"], x)


LOWERINGS = {
    "batch_norm": _batch_norm,
    "local_response_norm": _local_response_norm,
    "layer_norm": _layer_norm,
    "rms_norm": _rms_norm,
    "group_norm": _group_norm,
}
