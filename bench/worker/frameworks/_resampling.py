"""Where an image is sampled that gets another size: for frameworks whose own functions do not know all ways."""

import numpy as np

_A = -0.75                               # of the cubic, as in PyTorch and ONNX


def nearest(size, new, coordinates):
    """The pixel along one axis of ``size`` that each of ``new`` takes, as a list."""
    start = 0.5 if coordinates == "half_pixel" else 0.0
    return [int((place + start) * size / new) for place in range(new)]


def shares(layer):
    """For rows and columns, what each pixel of the image gives to each of the output, (new, size) in float64."""
    a = layer["attributes"]
    return [
        _shares(size, new, a["mode"], a["coordinates"]) for size, new in zip(layer["input_shapes"][0][1:], a["size"])
    ]


def _shares(size, new, mode, coordinates):
    matrix = np.zeros((new, size))
    for place in range(new):
        if coordinates == "align_corners":
            centre = place * (size - 1) / (new - 1) if new > 1 else 0.0
        elif coordinates == "half_pixel":
            centre = (place + 0.5) * size / new - 0.5
        else:
            centre = place * size / new
        if mode == "bilinear":
            centre = min(max(centre, 0.0), size - 1.0)
        left = int(np.floor(centre))
        past = centre - left
        weights = (1 - past, past) if mode == "bilinear" else _cubic(past)
        first = left if mode == "bilinear" else left - 1
        for offset, weight in enumerate(weights):
            matrix[place, min(max(first + offset, 0), size - 1)] += weight
    return matrix


def _cubic(past):
    """Of the four pixels around a place that lies so far behind the second."""
    def outer(x):
        return ((_A * x - 5 * _A) * x + 8 * _A) * x - 4 * _A

    def inner(x):
        return ((_A + 2) * x - (_A + 3)) * x * x + 1

    return outer(past + 1), inner(past), inner(1 - past), outer(2 - past)
