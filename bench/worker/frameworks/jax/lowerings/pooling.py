"""Windows that slide over images and reduce what they see."""

import itertools
import math

import numpy as np


def _pooled(run, layer, x, start, function):
    a, window = layer["attributes"], run.layout.window
    padding = window([(p, p) for p in a["padding"]], (0, 0))
    return run.lax.reduce_window(x, start, function, window(a["kernel"], 1), window(a["stride"], 1), padding)


def _max_pool(run, layer, weights, x):
    largest = _pooled(run, layer, x, -np.inf, run.lax.max)
    return (largest, _places(run, layer, x)) if layer["attributes"].get("indices") else largest


def _places(run, layer, x):
    """row * width + column of the largest of each window; the first of equal ones."""
    a, (_, height, width) = layer["attributes"], layer["input_shapes"][0]
    x = run.layout.canonical(run.lax.stop_gradient(x))
    padding = [(0, 0), (0, 0), *((p, p) for p in a["padding"])]
    x = run.np.pad(x, padding, constant_values=-np.inf)
    numbers = np.pad(np.arange(height * width).reshape(height, width), padding[2:])
    best = where = None
    for row, column in itertools.product(*map(range, a["kernel"])):
        part = tuple(
            slice(first, first + stride * (size - 1) + 1, stride)
            for first, stride, size in zip((row, column), a["stride"], layer["output_shape"][1:])
        )
        seen, number = x[(..., *part)], numbers[part]
        if best is None:
            best, where = seen, run.np.broadcast_to(run.np.asarray(number), seen.shape)
        else:
            best, where = run.np.maximum(best, seen), run.np.where(seen > best, number, where)
    return run.layout.kept(where)


def _max_unpool(run, layer, weights, x, indices):
    x, indices = run.layout.canonical(x), run.layout.canonical(indices)
    samples, channels = x.shape[:2]
    rows, columns = layer["attributes"]["size"]
    places = indices.reshape(samples, channels, -1)
    first, second = np.ogrid[:samples, :channels]
    whole = run.np.zeros((samples, channels, rows * columns), x.dtype)
    whole = whole.at[first[..., None], second[..., None], places].set(x.reshape(places.shape), unique_indices=True)
    return run.layout.kept(whole.reshape(samples, channels, rows, columns))


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
    "max_unpool": _max_unpool,
    "avg_pool": _avg_pool,
    "global_avg_pool": _global_avg_pool,
}
