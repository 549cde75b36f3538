"""Windows that slide over images and reduce what they see."""

import itertools

import numpy as np

from ._base import on_both_sides, padding_of


def _max_pool(tf, layer):
    a = layer["attributes"]
    if a.get("indices"):
        return _max_pool_with_indices(tf, layer)
    padding, added = padding_of(layer)

    def forward(run, x):
        if added is not None:
            x = tf.pad(x, added, constant_values=x.dtype.min)
        return tf.nn.max_pool2d(x, a["kernel"], a["stride"], padding)

    return forward


def _max_pool_with_indices(tf, layer):
    a, (channels, _, width) = layer["attributes"], layer["input_shapes"][0]
    rows, columns = a["padding"]
    size, stride = [1, *a["kernel"], 1], [1, *a["stride"], 1]
    padded_width = width + 2 * columns
    in_windows = _in_windows(tf, layer, padded_width) if layer["is_xla"] else None

    def forward(run, x):
        if any(a["padding"]):
            x = tf.pad(x, on_both_sides(a["padding"]), constant_values=x.dtype.min)
        if in_windows is not None:
            y, places = in_windows(x)
        else:
            y, places = tf.nn.max_pool_with_argmax(x, size, stride, "VALID", output_dtype=tf.int64)
            places //= channels
        return y, (places // padded_width - rows) * width + places % padded_width - columns

    return forward


def _in_windows(tf, layer, width):
    """The largest of each window of an image of this width, and its place row by row: XLA lacks the argmax."""
    a, outputs = layer["attributes"], layer["output_shape"][1:]

    def largest(x):
        best, place = None, None
        for row, column in itertools.product(*map(range, a["kernel"])):
            part = tuple(
                slice(first, first + stride * (size - 1) + 1, stride)
                for first, stride, size in zip((row, column), a["stride"], outputs)
            )
            own = np.add.outer(np.arange(part[0].start, part[0].stop, part[0].step) * width,
                               np.arange(part[1].start, part[1].stop, part[1].step))
            seen, own = x[(slice(None), *part)], tf.constant(own[:, :, None], tf.int64)
            if best is None:
                best, place = seen, tf.broadcast_to(own, tf.shape(seen))
            else:
                is_larger = seen > best                  # of equal ones the first
                best, place = tf.where(is_larger, seen, best), tf.where(is_larger, own, place)
        return best, place

    return largest


def _max_unpool(tf, layer):
    channels, (rows, columns) = layer["input_shapes"][0][0], layer["attributes"]["size"]

    def forward(run, x, indices):
        samples = x.shape[0]
        first = tf.range(samples, dtype=tf.int64)[:, None, None, None] * (rows * columns)
        places = (first + indices) * channels + tf.range(channels, dtype=tf.int64)
        whole = tf.scatter_nd(tf.reshape(places, [-1, 1]), tf.reshape(x, [-1]), [samples * rows * columns * channels])
        return tf.reshape(whole, [samples, rows, columns, channels])

    return forward


def _avg_pool(tf, layer):
    a = layer["attributes"]
    padding, added = padding_of(layer)
    if padding == "SAME" and a["count_include_pad"]:             # tf would exclude padding
        padding, added = "VALID", on_both_sides(a["padding"])
    leaves_out = added is not None and not a["count_include_pad"]
    scale = _whole_to_counted(layer) if leaves_out else None

    def forward(run, x):
        y = tf.nn.avg_pool2d(x if added is None else tf.pad(x, added), a["kernel"], a["stride"], padding)
        return y if scale is None else y * tf.constant(scale, y.dtype)

    return forward


def _whole_to_counted(layer):
    """Pixels of the window / pixels of it that are not padding, (height, width, 1)."""
    a = layer["attributes"]
    shares = []
    for size, output, kernel, stride, padding in zip(
        layer["input_shapes"][0][1:], layer["output_shape"][1:], a["kernel"], a["stride"], a["padding"]
    ):
        start = np.arange(output) * stride - padding
        counted = np.minimum(start + kernel, size) - np.maximum(start, 0)
        shares.append(kernel / counted)
    return np.outer(*shares)[:, :, None].astype(np.float32)


def _global_avg_pool(tf, layer):
    return lambda run, x: tf.reduce_mean(x, axis=[1, 2])


LOWERINGS = {
    "max_pool": _max_pool,
    "max_unpool": _max_unpool,
    "avg_pool": _avg_pool,
    "global_avg_pool": _global_avg_pool,
}
