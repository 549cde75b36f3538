"""Windows that slide over images and reduce what they see."""

import math

import numpy as np


def _pooled(run, layer, x, start, function):
    a, window = layer["attributes"], run.layout.window
    padding = window([(p, p) for p in a["padding"]], (0, 0))
    return run.lax.reduce_window(x, start, function, window(a["kernel"], 1), window(a["stride"], 1), padding)


def _max_pool(run, layer, weights, x):
    return _pooled(run, layer, x, -np.inf, run.lax.max)


def _avg_pool(run, layer, weights, x):
    a = layer["attributes"]
    total = _pooled(run, layer, x, 0.0, run.lax.add)
    if a["count_include_pad"]:
        return total / math.prod(a["kernel"])
    rows, columns = (
        _pixels_seen(*sizes)
        for sizes in zip(
            layer["input_shapes"][0][1:], layer["output_shape"][1:], a["kernel"], a["stride"], a["padding"]
        )
    )
    count = np.outer(rows, columns).astype(x.dtype)
    return total / (count[:, :, None] if run.layout.is_channels_last else count)


def _pixels_seen(size, positions, kernel, stride, padding):
    """Along one axis, how many pixels of the image lie in the window at each position; padding is left out."""
    begin = np.arange(positions) * stride - padding
    return np.minimum(begin + kernel, size) - np.maximum(begin, 0)


def _global_avg_pool(run, layer, weights, x):
    return x.mean((1, 2) if run.layout.is_channels_last else (2, 3))


LOWERINGS = {
    "max_pool": _max_pool,
    "avg_pool": _avg_pool,
    "global_avg_pool": _global_avg_pool,
}
