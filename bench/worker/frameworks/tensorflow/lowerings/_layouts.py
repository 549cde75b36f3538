"""Layouts of parameters: canonical arrays to TensorFlow's and back."""

import numpy as np

from ..._image_layouts import channels_first, channels_last
from .convolution import is_depthwise

TO_NHWC = (0, 2, 3, 1)
TO_NCHW = (0, 3, 1, 2)


def _unchanged(array):
    return array


UNCHANGED = _unchanged, _unchanged


def layouts(layer, name, image):
    """(canonical to TensorFlow's, back) for a parameter; ``image`` is the shape of a flattened image, or None."""
    if layer["op"] == "conv2d" and name == "weight":
        out, per_group, *kernel = next(p["shape"] for p in layer["parameters"] if p["name"] == name)
        if is_depthwise(layer):
            groups = layer["attributes"]["groups"]
            return (
                lambda array: array.reshape([groups, out // groups, *kernel]).transpose(2, 3, 0, 1),
                lambda array: array.transpose(2, 3, 0, 1).reshape([out, per_group, *kernel]),
            )
        return lambda array: array.transpose(2, 3, 1, 0), lambda array: array.transpose(3, 2, 0, 1)
    if layer["op"] == "conv_transpose2d" and name == "weight":   # (rows, columns, out, in), as conv2d's
        return lambda array: array.transpose(2, 3, 1, 0), lambda array: array.transpose(3, 2, 0, 1)
    if layer["op"] == "dense" and name == "weight" and image is not None:
        return lambda array: channels_last(array, image).T, lambda array: channels_first(array.T, image)
    if (layer["op"] == "dense" and name == "weight") or name.startswith(("weight_input", "weight_hidden")):
        return np.transpose, np.transpose
    return UNCHANGED
