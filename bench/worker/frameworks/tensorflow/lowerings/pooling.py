"""Windows that slide over images and reduce what they see."""

import numpy as np

from ._base import on_both_sides, padding_of


def _max_pool(tf, layer):
    a = layer["attributes"]
    padding, added = padding_of(layer)

    def forward(run, x):
        if added is not None:
            x = tf.pad(x, added, constant_values=x.dtype.min)
        return tf.nn.max_pool2d(x, a["kernel"], a["stride"], padding)

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
    "avg_pool": _avg_pool,
    "global_avg_pool": _global_avg_pool,
}
