"""Convolutions of images."""

from ._base import padding_of, plus_bias


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


LOWERINGS = {
    "conv2d": _conv2d,
}
