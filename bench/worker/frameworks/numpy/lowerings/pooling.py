"""Windows that slide over images and reduce what they see."""

import numpy as np

from ._base import Operation
from ._windows import cropped, offsets, padded, window_size


class Pool(Operation):
    """A window that slides over each channel; maps each element of the window to the pixels that it covers."""

    padding_value = 0

    def pad(self, x):
        a = self.attributes
        rows, columns = a["padding"]
        self.padded_shape = (*x.shape[:2], x.shape[2] + 2 * rows, x.shape[3] + 2 * columns)
        self.output_size = window_size(self.padded_shape[2:], a["kernel"], a["stride"])
        return padded(x, a["padding"], self.padding_value)

    def offsets(self):
        return offsets(self.output_size, self.attributes["kernel"], self.attributes["stride"])


class MaxPool(Pool):
    """The gradient goes to the first of equal values in row order."""

    padding_value = -np.inf

    def forward(self, x):
        x = self.pad(x)
        area = self.attributes["kernel"][0] * self.attributes["kernel"][1]
        tie_width = self.tie_width(x)
        output = None
        for element, pixels in enumerate(self.offsets()):
            seen = x[pixels]
            if output is None:
                output = seen.copy()
                self.winner = np.zeros(output.shape, dtype=np.min_scalar_type(area)) if self.training else None
                continue
            if self.training:
                self.winner[seen > output + tie_width * self.sides(output.shape)] = element
            np.maximum(output, seen, out=output)
        return output

    def backward(self, gradient):
        x_gradient = np.zeros(self.padded_shape, dtype=gradient.dtype)
        for element, pixels in enumerate(self.offsets()):
            x_gradient[pixels] += gradient * (self.winner == element)
        return (cropped(x_gradient, self.attributes["padding"]),)


class AvgPool(Pool):
    def forward(self, x):
        height_width = x.shape[2:]
        x = self.pad(x)
        self.divisor = self.count(height_width, x.dtype)
        total = np.zeros(x.shape[:2] + self.output_size, dtype=x.dtype)
        for pixels in self.offsets():
            total += x[pixels]
        return total / self.divisor

    def backward(self, gradient):
        share = gradient / self.divisor
        x_gradient = np.zeros(self.padded_shape, dtype=gradient.dtype)
        for pixels in self.offsets():
            x_gradient[pixels] += share
        return (cropped(x_gradient, self.attributes["padding"]),)

    def count(self, height_width, dtype):
        """The divisor of each window, in the output's height and width."""
        real = padded(np.ones((1, 1, *height_width), dtype=dtype), self.attributes["padding"],
                      value=1 if self.attributes["count_include_pad"] else 0)
        return sum(real[pixels] for pixels in self.offsets())


class GlobalAvgPool(Operation):
    def forward(self, x):
        self.shape = x.shape
        return x.mean(axis=(2, 3))

    def backward(self, gradient):
        share = gradient / (self.shape[2] * self.shape[3])
        return (np.broadcast_to(share[:, :, None, None], self.shape),)


LOWERINGS = {
    "max_pool": MaxPool,
    "avg_pool": AvgPool,
    "global_avg_pool": GlobalAvgPool,
}
