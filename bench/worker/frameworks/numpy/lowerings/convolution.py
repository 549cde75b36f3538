"""Convolutions of images, and their transposes."""

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


class ConvTranspose2d(Operation):
    """Each pixel adds its product with the kernel to a canvas, from which the padding is then cut."""

    def forward(self, x):
        a = self.attributes
        self.x = x
        sides = list(zip(x.shape[2:], a["kernel"], a["stride"], a["padding"], a["output_padding"], a["dilation"]))
        whole = [(n - 1) * step + spread * (kernel - 1) + 1 for n, kernel, step, _, _, spread in sides]
        self.output_size = [size - 2 * side[3] + side[4] for size, side in zip(whole, sides)]
        self.canvas_size = [max(size, side[3] + out) for size, side, out in zip(whole, sides, self.output_size)]
        canvas = np.zeros((len(x), a["out_channels"], *self.canvas_size), dtype=x.dtype)
        pixels_of_groups = self.grouped(x)
        for weight, pixels in self.elements():
            product = np.matmul(weight.swapaxes(1, 2), pixels_of_groups)
            canvas[pixels] += product.reshape(len(x), a["out_channels"], *x.shape[2:])
        output = canvas[self.part()]
        return output + self.weights["bias"].reshape(-1, 1, 1) if a["bias"] else output

    def backward(self, gradient):
        a = self.attributes
        canvas = np.zeros((len(gradient), a["out_channels"], *self.canvas_size), dtype=gradient.dtype)
        canvas[self.part()] = gradient
        of_x = np.zeros_like(self.grouped(self.x)) if self.needs_input_gradient else None
        by_group = self.grouped(self.x).transpose(1, 2, 0, 3)
        by_group = by_group.reshape(*by_group.shape[:2], -1)             # groups, channels, pixels of all samples
        of_weights = []
        for weight, pixels in self.elements():
            arrived = self.grouped(canvas[pixels])
            if of_x is not None:
                of_x += np.matmul(weight, arrived)
            rows = arrived.transpose(1, 0, 3, 2).reshape(a["groups"], by_group.shape[2], -1)
            of_weights.append(np.matmul(by_group, rows))
        shape = self.weights["weight"].shape
        self.gradients["weight"] = np.stack(of_weights, axis=-1).reshape(shape)
        if a["bias"]:
            self.gradients["bias"] = gradient.sum(axis=(0, 2, 3))
        return (None if of_x is None else of_x.reshape(self.x.shape),)

    def grouped(self, images):
        """(samples, groups, channels of a group, pixels)."""
        return images.reshape(len(images), self.attributes["groups"], -1, images.shape[2] * images.shape[3])

    def elements(self):
        """(weight (groups, in, out), pixels of the canvas) of each element of the kernel, in row order."""
        a = self.attributes
        weight = self.weights["weight"].reshape(a["groups"], -1, a["out_channels"] // a["groups"], *a["kernel"])
        size = self.x.shape[2:]
        for element, pixels in enumerate(offsets(size, a["kernel"], a["stride"], a["dilation"])):
            row, column = divmod(element, a["kernel"][1])
            yield weight[..., row, column], pixels

    def part(self):
        """Of the canvas that is the output."""
        (top, left), (rows, columns) = self.attributes["padding"], self.output_size
        return Ellipsis, slice(top, top + rows), slice(left, left + columns)


LOWERINGS = {
    "conv2d": Conv2d,
    "conv_transpose2d": ConvTranspose2d,
}
