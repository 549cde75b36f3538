"""NumPy: forward and backward of each operation, written to be read and to be right; the oracle's."""

import numpy as np
from numpy.lib.stride_tricks import as_strided

from .._image_layouts import inverse

INPUT = "input"

COLUMNS_BYTES = 4 << 20  # a convolution unfolds as many samples at once as fit: in cache, and VGG-16 fits in memory


class Operation:
    """One operation in one pass: ``forward`` once, then perhaps ``backward`` once, which needs what forward kept.

    ``weights`` maps the layer's own parameters by name. ``mask`` is what dropout multiplies with in training.
    Without ``needs_input_gradient`` a costly input gradient is left out, and backward returns (None,).
    After backward in training, ``gradients`` holds those of the parameters, and after forward in training,
    ``statistics`` the new running statistics, both by parameter name.
    """

    def __init__(self, attributes, weights, training=False, mask=None, needs_input_gradient=True, tie_margin=0,
                 random=None):
        self.attributes = attributes
        self.weights = weights
        self.training = training
        self.mask = mask
        self.needs_input_gradient = needs_input_gradient
        self.tie_margin = tie_margin
        self.random = random
        self.gradients = {}
        self.statistics = {}

    def forward(self, *inputs):
        """The output, from arrays of shape (batch, *input shape)."""
        raise NotImplementedError

    def backward(self, gradient):
        """The gradients of the inputs, a tuple, from that of the output."""
        raise NotImplementedError

    rounding = None      # of a narrower format, where the effect of one is asked for; see Rounding

    def tie_width(self, x):
        """By how much a value must be larger to count as larger; 0 but where the effect of ties is asked for."""
        return self.tie_margin * np.sqrt(np.mean(np.square(x[np.isfinite(x)]))) if self.tie_margin else 0

    def sides(self, shape):
        """1, or for each decision 1 or -1 at random: the side to which a value must lie by the width."""
        return 1 if self.random is None else self.random.choice([-1.0, 1.0], size=shape)


def padded(images, padding, value=0):
    """Images with ``padding`` = (rows, columns) of ``value`` on each side; the same images where that is none."""
    rows, columns = padding
    if rows == columns == 0:
        return images
    batch, channels, height, width = images.shape
    result = np.full((batch, channels, height + 2 * rows, width + 2 * columns), value, dtype=images.dtype)
    result[:, :, rows : rows + height, columns : columns + width] = images
    return result


def cropped(images, padding):
    """What ``padded`` was given."""
    rows, columns = padding
    return images[:, :, rows : images.shape[2] - rows, columns : images.shape[3] - columns]


def window_size(size, kernel, stride, dilation=(1, 1)):
    """(rows, columns) of the positions that a window takes on a padded image of ``size``."""
    return tuple((n - d * (k - 1) - 1) // s + 1 for n, k, s, d in zip(size, kernel, stride, dilation))


def offsets(output_size, kernel, stride, dilation=(1, 1)):
    """For each element of a window in row order, the index of the padded pixels that it meets, one per position."""
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            top, left = i * dilation[0], j * dilation[1]
            rows = slice(top, top + stride[0] * (output_size[0] - 1) + 1, stride[0])
            columns = slice(left, left + stride[1] * (output_size[1] - 1) + 1, stride[1])
            yield Ellipsis, rows, columns


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
        """Slices of the batch whose columns are of about COLUMNS_BYTES, or one sample."""
        batch, channels = self.x.shape[:2]
        pixels = self.output_size[0] * self.output_size[1]
        kernel = self.attributes["kernel"]
        samples = max(1, COLUMNS_BYTES // (channels * kernel[0] * kernel[1] * pixels * self.x.itemsize))
        return [slice(start, start + samples) for start in range(0, batch, samples)]

    def columns(self, samples):
        """What each output pixel sees: (groups, input channels of a group x kernel area, samples x output pixels)."""
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
        """Add columns to the pixels that they were unfolded from."""
        a = self.attributes
        columns = columns.reshape(images.shape[1], -1, len(images), *self.output_size)
        for element, pixels in enumerate(offsets(self.output_size, a["kernel"], a["stride"], a["dilation"])):
            images[pixels] += columns[:, element].swapaxes(0, 1)


class Dense(Operation):
    """Matrix product over the last axis."""

    def forward(self, x):
        self.x = x
        output = np.matmul(x, self.weights["weight"].T)
        if self.attributes["bias"]:
            output += self.weights["bias"]
        return output

    def backward(self, gradient):
        rows = gradient.reshape(-1, gradient.shape[-1])
        self.gradients["weight"] = np.matmul(rows.T, self.x.reshape(len(rows), -1))
        if self.attributes["bias"]:
            self.gradients["bias"] = rows.sum(axis=0)
        return (np.matmul(gradient, self.weights["weight"]) if self.needs_input_gradient else None,)


class Pool(Operation):
    """A window that slides over each channel; maps each element of the window to the pixels it meets."""

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
    """The first of equal values wins the gradient, in row order."""

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
        """Pixels in each window that count, of the output's height and width."""
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


class BatchNorm(Operation):
    """Normalises by the biased variance; the running variance is moved towards the unbiased one."""

    def forward(self, x):
        self.axes = (0, *range(2, x.ndim))
        self.per_channel = (-1,) + (1,) * (x.ndim - 2)
        if self.training:
            mean, variance = x.mean(axis=self.axes), x.var(axis=self.axes)
            self.observe(mean, variance, count=x.size // x.shape[1])
        else:
            mean, variance = self.weights["mean"], self.weights["variance"]
        self.scale = 1 / np.sqrt(variance + self.attributes["epsilon"])
        if not self.training:
            factor = self.weights["gamma"] * self.scale
            return x * self.spread(factor) + self.spread(self.weights["beta"] - mean * factor)
        self.normal = (x - self.spread(mean)) * self.spread(self.scale)
        return self.normal * self.spread(self.weights["gamma"]) + self.spread(self.weights["beta"])

    def backward(self, gradient):
        gamma_gradient = (gradient * self.normal).sum(axis=self.axes)
        beta_gradient = gradient.sum(axis=self.axes)
        self.gradients = {"gamma": gamma_gradient, "beta": beta_gradient}
        count = gradient.size // gradient.shape[1]
        # The batch's mean and variance depend on every element, hence the two means that are taken away.
        centred = gradient - self.spread(beta_gradient / count) - self.normal * self.spread(gamma_gradient / count)
        return (centred * self.spread(self.weights["gamma"] * self.scale),)

    def observe(self, mean, variance, count):
        unbiased = variance * (count / max(count - 1, 1))
        momentum = self.attributes["momentum"]
        for name, batch in (("mean", mean), ("variance", unbiased)):
            self.statistics[name] = (1 - momentum) * self.weights[name] + momentum * batch

    def spread(self, channels):
        """One number per channel in a shape that broadcasts over the input."""
        return channels.reshape(self.per_channel)


class Relu(Operation):
    def forward(self, x):
        if self.training:
            self.passes = x > self.tie_width(x) * self.sides(x.shape)
        return np.maximum(x, 0)

    def backward(self, gradient):
        return (gradient * self.passes,)


class Tanh(Operation):
    def forward(self, x):
        self.output = np.tanh(x)
        return self.output

    def backward(self, gradient):
        return (gradient * (1 - self.output ** 2),)


def sigmoid(x):
    """1 / (1 + exp(-x)), right to a few roundings of its own size: by way of tanh, 1 - 1 would eat its lower tail."""
    result = np.negative(x)
    with np.errstate(over="ignore"):     # 1 / infinity is the 0 that is closest
        np.exp(result, out=result)
    result += 1
    return np.reciprocal(result, out=result)


class Sigmoid(Operation):
    def forward(self, x):
        self.output = sigmoid(x)
        return self.output

    def backward(self, gradient):
        # From the output, as every framework does it: what that loses near 1 in fp32 is theirs to lose too.
        return (gradient * self.output * (1 - self.output),)


class Softmax(Operation):
    def forward(self, x):
        powers = np.exp(x - x.max(axis=-1, keepdims=True))
        self.output = powers / powers.sum(axis=-1, keepdims=True)
        return self.output

    def backward(self, gradient):
        mean = (gradient * self.output).sum(axis=-1, keepdims=True)
        return ((gradient - mean) * self.output,)


class Dropout(Operation):
    def forward(self, x):
        return x * self.mask if self.training else x

    def backward(self, gradient):
        return (gradient * self.mask,)


class LocalResponseNorm(Operation):
    """With s = k + alpha / size * sum of squares: y = x * s ** -beta."""

    def forward(self, x):
        a = self.attributes
        self.x = x
        self.scale = a["k"] + a["alpha"] / a["size"] * self.neighbours(x ** 2)
        self.output = x * self.scale ** -a["beta"]
        return self.output

    def backward(self, gradient):
        a = self.attributes
        # Being a neighbour is mutual, so the same sum leads back.
        others = self.neighbours(gradient * self.output / self.scale)
        own = gradient * self.scale ** -a["beta"]
        return (own - 2 * a["alpha"] * a["beta"] / a["size"] * self.x * others,)

    def neighbours(self, x):
        """Sum over ``size`` neighbouring channels."""
        half = self.attributes["size"] // 2
        total = x.copy()
        for distance in range(1, half + 1):
            total[:, distance:] += x[:, :-distance]
            total[:, :-distance] += x[:, distance:]
        return total


class Add(Operation):
    def forward(self, *inputs):
        self.count = len(inputs)
        return sum(inputs[1:], inputs[0])

    def backward(self, gradient):
        return (gradient,) * self.count


class Concat(Operation):
    def forward(self, *inputs):
        self.ends = np.cumsum([x.shape[1] for x in inputs])[:-1]
        return np.concatenate(inputs, axis=1)

    def backward(self, gradient):
        return tuple(np.split(gradient, self.ends, axis=1))


class Flatten(Operation):
    def forward(self, x):
        self.shape = x.shape
        return x.reshape(len(x), -1)

    def backward(self, gradient):
        return (gradient.reshape(self.shape),)


class Embedding(Operation):
    def forward(self, tokens):
        self.tokens = tokens
        return self.weights["weight"][tokens]

    def backward(self, gradient):
        # The rows of equal tokens lie side by side once sorted; np.add.at is many times slower before NumPy 1.25.
        tokens = self.tokens.ravel()
        order = np.argsort(tokens, kind="stable")
        found, first = np.unique(tokens[order], return_index=True)
        rows = gradient.reshape(len(tokens), -1)[order]
        self.gradients["weight"] = np.zeros_like(self.weights["weight"])
        self.gradients["weight"][found] = np.add.reduceat(rows, first)
        return (None,)


class Lstm(Operation):
    """The product with the input for all steps at once, then step by step. Inside, axis 0 is the step.

    ``gates`` are i, f, g, o after their functions; ``states`` and ``cells`` begin with the zeros before the first step.
    """

    def forward(self, x):
        self.x = np.ascontiguousarray(x.swapaxes(0, 1))
        self.gates = np.matmul(self.x, self.weights["weight_input"].T)
        self.gates += self.weights["bias"]
        steps, batch = self.x.shape[:2]
        self.states = np.zeros((steps + 1, batch, self.attributes["hidden"]), dtype=x.dtype)
        self.cells = np.zeros_like(self.states)
        recurrent = self.weights["weight_hidden"].T
        for step in range(steps):
            gates = self.gates[step]
            gates += np.matmul(self.states[step], recurrent)
            if self.rounding is not None:
                gates[...] = self.rounding.stored(gates)
            i, f, g, o = np.split(gates, 4, axis=-1)                     # views: the functions write into gates
            for gate in (i, f, o):
                gate[...] = sigmoid(gate)
            np.tanh(g, out=g)
            self.cells[step + 1] = f * self.cells[step] + i * g
            self.states[step + 1] = o * np.tanh(self.cells[step + 1])
            if self.rounding is not None:
                self.cells[step + 1] = self.rounding.stored(self.cells[step + 1])
                self.states[step + 1] = self.rounding.rounded(self.states[step + 1])
        return self.states[1:].swapaxes(0, 1)

    def backward(self, gradient):
        gradient = gradient.swapaxes(0, 1)
        gate_gradients = np.empty_like(self.gates)                       # before their functions
        state_gradient = cell_gradient = 0                               # what later steps pass back
        for step in reversed(range(len(gradient))):
            i, f, g, o = np.split(self.gates[step], 4, axis=-1)
            bent = np.tanh(self.cells[step + 1])
            state_gradient = state_gradient + gradient[step]
            cell_gradient = cell_gradient + state_gradient * o * (1 - bent ** 2)
            to_i, to_f, to_g, to_o = np.split(gate_gradients[step], 4, axis=-1)
            to_i[...] = cell_gradient * g * i * (1 - i)
            to_f[...] = cell_gradient * self.cells[step] * f * (1 - f)
            to_g[...] = cell_gradient * i * (1 - g ** 2)
            to_o[...] = state_gradient * bent * o * (1 - o)
            cell_gradient = cell_gradient * f
            state_gradient = np.matmul(gate_gradients[step], self.weights["weight_hidden"])
        rows = gate_gradients.reshape(-1, gate_gradients.shape[-1])
        self.gradients["weight_input"] = np.matmul(rows.T, self.x.reshape(len(rows), -1))
        self.gradients["weight_hidden"] = np.matmul(rows.T, self.states[:-1].reshape(len(rows), -1))
        self.gradients["bias"] = rows.sum(axis=0)
        if not self.needs_input_gradient:
            return (None,)
        return (np.matmul(gate_gradients, self.weights["weight_input"]).swapaxes(0, 1),)


class Reshape(Operation):
    def forward(self, x):
        self.shape = x.shape
        return x.reshape([len(x), *self.attributes["shape"]])

    def backward(self, gradient):
        return (gradient.reshape(self.shape),)


class Transpose(Operation):
    def forward(self, x):
        return x.transpose(self.axes())

    def backward(self, gradient):
        return (gradient.transpose(inverse(self.axes())),)

    def axes(self):
        return (0, *[1 + axis for axis in self.attributes["axes"]])


LOWERINGS = {
    "conv2d": Conv2d,
    "dense": Dense,
    "max_pool": MaxPool,
    "avg_pool": AvgPool,
    "global_avg_pool": GlobalAvgPool,
    "batch_norm": BatchNorm,
    "relu": Relu,
    "tanh": Tanh,
    "sigmoid": Sigmoid,
    "softmax": Softmax,
    "dropout": Dropout,
    "local_response_norm": LocalResponseNorm,
    "add": Add,
    "concat": Concat,
    "flatten": Flatten,
    "embedding": Embedding,
    "lstm": Lstm,
    "reshape": Reshape,
    "transpose": Transpose,
}
