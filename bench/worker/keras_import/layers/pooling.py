"""Windows that slide over images and sequences, and means over all of them."""

import numpy as np

from ..values import shape_in_keras
from .convolution import as_found, as_image, padded, pads, pair


def _pool(op_name):
    def lower(call):
        op, value = call.op, call.first()
        image = as_image(call, value)
        kernel, stride = pair(op.pool_size), pair(op.strides)
        before, after = pads(image.shape[2:], kernel, stride, [1, 1], op.padding)
        sizes = [(n + b + a - k) // s + 1 for n, b, a, k, s in zip(image.shape[2:], before, after, kernel, stride)]
        counted = {} if op_name == "max_pool" else {"count_include_pad": False}
        inside = before
        if before != after:
            fill = float("-inf") if op_name == "max_pool" else 0.0
            outer, image, inside = image, padded(call, image, before, after, fill), [0, 0]
            counted = {} if op_name == "max_pool" else {"count_include_pad": True}
        found = call.add(op_name, image, shape=[1, image.shape[1], *sizes], rank=image.rank, kernel=kernel,
                         stride=stride, padding=inside, **counted)
        if before != after and op_name == "avg_pool":
            found = call.like("multiply", found, call.constant(_share(outer.shape[2:], before, kernel, stride, sizes)))
        return as_found(call, found, value)
    return lower


def _share(sizes, before, kernel, stride, found):
    """By what a mean over whole windows is multiplied where some of a window lies outside: (1, rows, columns)."""
    sides = []
    for size, first, k, s, count in zip(sizes, before, kernel, stride, found):
        starts = np.arange(count) * s - first
        inside = np.minimum(starts + k, size) - np.maximum(starts, 0)
        sides.append(k / inside)
    return np.outer(*sides).astype(np.float32)[None]


def _global(op_name):
    def lower(call):
        op, value = call.op, call.first()
        image = as_image(call, value)
        channels, rank = image.shape[1], len(shape_in_keras(value))
        if not op.keepdims:
            if op_name == "reduce_mean":
                return call.add("global_avg_pool", image, shape=[1, channels])
            return call.add(op_name, image, shape=[1, channels], axes=[2, 3], keep=False)
        found = call.add(op_name, image, shape=[1, channels, 1, 1], rank=image.rank, axes=[2, 3], keep=True)
        return as_found(call, found, value) if rank else found
    return lower


LAYERS = {
    **dict.fromkeys(("MaxPooling1D", "MaxPooling2D"), _pool("max_pool")),
    **dict.fromkeys(("AveragePooling1D", "AveragePooling2D"), _pool("avg_pool")),
    **dict.fromkeys(("GlobalAveragePooling1D", "GlobalAveragePooling2D"), _global("reduce_mean")),
    **dict.fromkeys(("GlobalMaxPooling1D", "GlobalMaxPooling2D"), _global("reduce_max")),
}
OPERATIONS = {}
