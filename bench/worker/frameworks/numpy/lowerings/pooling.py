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
        width = x.shape[3]
        x = self.pad(x)
        area = self.attributes["kernel"][0] * self.attributes["kernel"][1]
        tie_width = self.tie_width(x)
        output = None
        tells = self.attributes.get("indices")
        for element, pixels in enumerate(self.offsets()):
            seen = x[pixels]
            if output is None:
                output = seen.copy()
                has_winner = self.training or tells
                self.winner = np.zeros(output.shape, dtype=np.min_scalar_type(area)) if has_winner else None
                continue
            if has_winner:
                self.winner[seen > output + tie_width * self.sides(output.shape)] = element
            np.maximum(output, seen, out=output)
        return (output, self.places(width)) if tells else output

    def places(self, width):
        """row * width + column of the winners."""
        a = self.attributes
        row, column = np.divmod(self.winner.astype(np.int64), a["kernel"][1])
        rows, columns = (
            np.arange(size) * stride - padding
            for size, stride, padding in zip(self.output_size, a["stride"], a["padding"])
        )
        return (row + rows[:, None]) * width + column + columns

    def backward(self, gradient, *none):
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


class MaxUnpool(Operation):
    def forward(self, x, indices):
        self.shape = x.shape
        self.indices = indices.reshape(*x.shape[:2], -1)
        rows, columns = self.attributes["size"]
        whole = np.zeros((*x.shape[:2], rows * columns), dtype=x.dtype)
        np.put_along_axis(whole, self.indices, x.reshape(self.indices.shape), axis=2)
        return whole.reshape(*x.shape[:2], rows, columns)

    def backward(self, gradient):
        flat = gradient.reshape(*gradient.shape[:2], -1)
        return np.take_along_axis(flat, self.indices, axis=2).reshape(self.shape), None


LOWERINGS = {
    "max_pool": MaxPool,
    "avg_pool": AvgPool,
    "global_avg_pool": GlobalAvgPool,
    "max_unpool": MaxUnpool,
}
