"""Convolutions of images."""

import numpy as np
from numpy.lib.stride_tricks import as_strided

from ._base import Operation
from ._windows import cropped, offsets, padded, window_size

COLUMNS_BYTES = 4 << 20  # of samples unfolded at once: they stay in cache, and VGG-16 fits in memory


class Conv2d(Operation):
    """Cross-correlation as a matrix product of the weight with unfolded images, a few samples at a time."""

    def forward(self, x):
        a = self.attributes
        self.x = padded(x, a["padding"])
        self.output_size = window_size(self.x.shape[2:], a["kernel"], a["stride"], a["dilation"])
        output = np.empty((len(x), a["out_channels"], *self.output_size), dtype=x.dtype)
        for samples in self.chunks():
            product = np.matmul(self.weight_matrices(), self.columns(samples))
            if a["bias"]:
                product += self.weights["bias"].reshape(a["groups"], -1, 1)
            output[samples] = product.reshape(a["out_channels"], -1, *self.output_size).swapaxes(0, 1)
        return output

    def backward(self, gradient):
        a = self.attributes
        groups = a["groups"]
        weights = self.weight_matrices()
        weight_gradient = np.zeros_like(weights)
        input_gradient = np.zeros_like(self.x) if self.needs_input_gradient else None
        for samples in self.chunks():
            products = gradient[samples].swapaxes(0, 1).reshape(groups, a["out_channels"] // groups, -1)
            weight_gradient += np.matmul(products, self.columns(samples).swapaxes(1, 2))
            if self.needs_input_gradient:
                self.fold(np.matmul(weights.swapaxes(1, 2), products), input_gradient[samples])
        self.gradients["weight"] = weight_gradient.reshape(self.weights["weight"].shape)
        if a["bias"]:
            self.gradients["bias"] = gradient.sum(axis=(0, 2, 3))
        return (cropped(input_gradient, a["padding"]) if self.needs_input_gradient else None,)

    def weight_matrices(self):
        """(groups, output channels of a group, input channels of a group x kernel area)."""
        groups = self.attributes["groups"]
        return self.weights["weight"].reshape(groups, self.attributes["out_channels"] // groups, -1)

    def chunks(self):
        """Slices of the batch with columns of about COLUMNS_BYTES, or of one sample."""
        batch, channels = self.x.shape[:2]
        pixels = self.output_size[0] * self.output_size[1]
        kernel = self.attributes["kernel"]
        samples = max(1, COLUMNS_BYTES // (channels * kernel[0] * kernel[1] * pixels * self.x.itemsize))
        return [slice(start, start + samples) for start in range(0, batch, samples)]

    def columns(self, samples):
        """Inputs of each output pixel: (groups, input channels of a group x kernel area, samples x output pixels)."""
        a = self.attributes
        x = self.x[samples]
        sample, channel, row, column = x.strides
        windows = as_strided(
            x,
            shape=(x.shape[1], *a["kernel"], x.shape[0], *self.output_size),
            strides=(channel, row * a["dilation"][0], column * a["dilation"][1],
                     sample, row * a["stride"][0], column * a["stride"][1]),
            writeable=False,
        )
        seen = x.shape[1] // a["groups"] * a["kernel"][0] * a["kernel"][1]
        return windows.reshape(a["groups"], seen, -1)

    def fold(self, columns, images):
        """Adds columns to the pixels from which they were unfolded."""
        a = self.attributes
        columns = columns.reshape(images.shape[1], -1, len(images), *self.output_size)
        for element, pixels in enumerate(offsets(self.output_size, a["kernel"], a["stride"], a["dilation"])):
            images[pixels] += columns[:, element].swapaxes(0, 1)


LOWERINGS = {
    "conv2d": Conv2d,
}
