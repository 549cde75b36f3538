"""Convolutions of images, and their transposes."""

from ._base import is_same, padding_of, plus_bias


def is_depthwise(layer):
    a = layer["attributes"]
    if a["groups"] == 1 or a["groups"] != layer["input_shapes"][0][0]:
        return False
    return a["stride"][0] == a["stride"][1] and max(a["dilation"]) == 1      # the operation supports nothing else


def _conv2d(tf, layer):
    a = layer["attributes"]
    padding, added = padding_of(layer)
    convolve = _depthwise if is_depthwise(layer) else _grouped if _is_split(layer) else _whole
    convolve = convolve(tf, a, padding)

    def forward(run, x, weight, bias=None):
        y = convolve(x if added is None else tf.pad(x, added), weight)
        return y if bias is None else plus_bias(tf, y, bias)

    return forward


def _is_split(layer):
    # On a CPU the fused forward pass and the gradient may not support groups, depending on oneDNN and the padding.
    return layer["attributes"]["groups"] > 1 and not layer["is_xla"] and not layer["is_cuda"]


def _whole(tf, a, padding):
    return lambda x, weight: tf.nn.conv2d(x, weight, a["stride"], padding, dilations=a["dilation"])


def _depthwise(tf, a, padding):
    return lambda x, weight: tf.nn.depthwise_conv2d(x, weight, [1, *a["stride"], 1], padding)


def _grouped(tf, a, padding):
    of_group = _whole(tf, a, padding)

    def convolve(x, weight):
        groups = zip(tf.split(x, a["groups"], axis=3), tf.split(weight, a["groups"], axis=3))
        return tf.concat([of_group(*group) for group in groups], axis=3)

    return convolve


def _conv_transpose2d(tf, layer):
    a, output_size = layer["attributes"], layer["output_shape"][1:]
    sides = list(zip(layer["input_shapes"][0][1:], a["kernel"], a["stride"], a["dilation"], a["padding"], output_size))
    # The kernel with zeros in between, since a CPU has no gradient of a dilated one.
    kernel = [spread * (kernel - 1) + 1 for _, kernel, _, spread, _, _ in sides]
    keeps_same = all(
        spread == 1 and is_same(size, before, kernel, step, padding)
        for before, kernel, step, spread, padding, size in sides
    )
    whole = [max((before - 1) * step + reach, padding + size)
             for (before, _, step, _, padding, size), reach in zip(sides, kernel)]
    (top, left), (rows, columns) = a["padding"], output_size

    def convolve(x, weight):
        shape = [x.shape[0], *(output_size if keeps_same else whole), weight.shape[2]]
        y = tf.nn.conv2d_transpose(x, weight, shape, a["stride"], "SAME" if keeps_same else "VALID")
        return y if keeps_same else y[:, top:top + rows, left:left + columns]

    def spread(weight):
        for axis, step in enumerate(a["dilation"]):
            if step > 1:
                parts = tf.unstack(weight, axis=axis)
                none = [tf.zeros_like(parts[0])] * (step - 1)
                parts = [each for part in parts[:-1] for each in (part, *none)] + parts[-1:]
                weight = tf.stack(parts, axis=axis)
        return weight

    def forward(run, x, weight, bias=None):
        groups = zip(tf.split(x, a["groups"], axis=3), tf.split(spread(weight), a["groups"], axis=3))
        parts = [convolve(*group) for group in groups]
        y = parts[0] if len(parts) == 1 else tf.concat(parts, axis=3)
        return y if bias is None else plus_bias(tf, y, bias)

    return forward


LOWERINGS = {
    "conv2d": _conv2d,
    "conv_transpose2d": _conv_transpose2d,
}
