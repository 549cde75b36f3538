"""Shared by the lowerings: the pass that is run, padding, and sums that are rounded once."""


class Pass:
    """One pass through the network: its mode, given dropout masks, and the resulting statistics."""

    def __init__(self, is_training, masks=None):
        self.is_training = is_training
        self.masks = masks or {}                 # none: dropout draws its own
        self.statistics = {}                     # {key: new value}, for the caller to assign


def wide_float(tf, layer):
    """The format of floats that a layer makes of other numbers; the precision may narrow what it gives."""
    return tf.float64 if layer["is_fp64"] else tf.float32


def padding_of(layer):
    """("SAME" or "VALID", what tf.pad must add before, or None).

    With explicit padding, which tf.nn.conv2d also takes, the gradient is not computed by oneDNN: a ResNet-18 step takes
    1.4 times as long.
    """
    a = layer["attributes"]
    if not any(a["padding"]):
        return "VALID", None
    sides = zip(
        layer["input_shapes"][0][1:], layer["output_shape"][1:], a["kernel"], a["stride"], a["padding"],
        a.get("dilation", (1, 1)),
    )
    if all(is_same(*side) for side in sides):
        return "SAME", None
    return "VALID", on_both_sides(a["padding"])


def on_both_sides(padding):
    rows, columns = padding
    return [[0, 0], [rows, rows], [columns, columns], [0, 0]]


def is_same(size, output, kernel, stride, padding, dilation=1):
    """Whether SAME means this padding at the beginning; at the end it pads as far as the last window needs."""
    total = max((output - 1) * stride + dilation * (kernel - 1) + 1 - size, 0)
    return output == -(-size // stride) and total // 2 == padding


def plus_bias(tf, y, bias):
    """The sum. The gradient of the bias is a sum over samples, which TensorFlow's own rounds at each term."""
    if y.dtype.size >= 4:
        return tf.nn.bias_add(y, bias)

    @tf.custom_gradient
    def add(y, bias):
        def gradients(of_sum):
            others = list(range(of_sum.shape.rank - 1))
            return of_sum, tf.cast(tf.reduce_sum(tf.cast(of_sum, tf.float32), others), bias.dtype)

        return tf.nn.bias_add(y, bias), gradients

    return add(y, bias)
