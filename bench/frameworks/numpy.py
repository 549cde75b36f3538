"""NumPy: the oracle that every other framework must agree with, and a framework to be timed like them.

Each operation is a forward and a backward formula written out by hand. Images are NCHW. Nothing here is shared with
the frameworks that are proven against it. In float64 this is the reference; it runs from Python 3.6, NumPy 1.19.
"""

import ctypes
import os

import numpy as np
from numpy.lib.stride_tricks import as_strided

from ..tracing import GRADIENT_ADD, LOSS, OPTIMIZER
from ..tracing.timeline import Timeline
from . import Prepared, Unsupported, inverse

DISTRIBUTIONS = ("numpy",)
IMPORTS = "numpy"
COMPILE_MODES = ("eager",)
LAYOUTS = ("nchw",)
PRECISIONS = ("fp32", "fp64")
DEVICES = ("cpu",)
BEST = {"inference": ("eager", "nchw"), "training": ("eager", "nchw")}

DTYPES = {"fp32": np.float32, "fp64": np.float64}
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
    return (1 + np.tanh(x / 2)) / 2      # 1 / (1 + exp(-x)), which overflows below -88 in float32


class Sigmoid(Operation):
    def forward(self, x):
        self.output = sigmoid(x)
        return self.output

    def backward(self, gradient):
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


def softmax_cross_entropy(output, target):
    shifted = output - output.max(axis=-1, keepdims=True)
    log_probabilities = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    chosen = np.asarray(target)[..., None] == np.arange(output.shape[-1])
    loss = -log_probabilities[chosen].mean()
    return loss, (np.exp(log_probabilities) - chosen) / output.dtype.type(chosen[..., 0].size)


def mean_squared_error(output, target):
    difference = output - np.asarray(target, dtype=output.dtype)
    return np.mean(difference ** 2), 2 * difference / output.dtype.type(difference.size)


LOSSES = {"softmax_cross_entropy": softmax_cross_entropy, "mean_squared_error": mean_squared_error}


def loss_and_gradient(kind, output, target):
    """(loss as a float, its gradient for the output) of a loss by its name.

    ``output`` is (samples, classes) or (samples, steps, classes) with ``target`` int (samples,) or (samples, steps)
    for softmax_cross_entropy; for mean_squared_error both have one shape.
    """
    loss, gradient = LOSSES[kind](output, target)
    return float(loss), gradient


class Sgd:
    """Changes weights in place, both by key."""

    def __init__(self, settings):
        self.settings = settings
        self.velocity = {}

    def update(self, weights, gradients):
        for key, gradient in gradients.items():
            if key in self.velocity:
                self.velocity[key] *= self.settings["momentum"]
                self.velocity[key] += gradient
            else:
                self.velocity[key] = gradient.copy()
            weights[key] -= self.settings["learning_rate"] * self.velocity[key]


class Adam:
    """Changes weights in place, both by key."""

    def __init__(self, settings):
        self.settings = settings
        self.moments = {}
        self.steps = 0

    def update(self, weights, gradients):
        s = self.settings
        self.steps += 1
        first_bias, second_bias = 1 - s["beta1"] ** self.steps, 1 - s["beta2"] ** self.steps
        for key, gradient in gradients.items():
            if key not in self.moments:
                self.moments[key] = np.zeros_like(gradient), np.zeros_like(gradient)
            first, second = self.moments[key]
            first *= s["beta1"]
            first += (1 - s["beta1"]) * gradient
            second *= s["beta2"]
            second += (1 - s["beta2"]) * gradient ** 2
            root = np.sqrt(second / second_bias) + s["epsilon"]
            weights[key] -= s["learning_rate"] / first_bias * first / root


OPTIMIZERS = {"sgd": Sgd, "adam": Adam}


DECIDING = ("relu", "max_pool")


class Network(Prepared):
    def __init__(self, graph, weights, settings):
        self._graph = graph
        self._is_training = settings["mode"] == "training"
        self._dtype = DTYPES[settings["precision"]]
        self._weights = {key: np.array(value, dtype=self._dtype) for key, value in weights.items()}
        self._optimizer = OPTIMIZERS[graph["optimizer"]["kind"]](graph["optimizer"])
        self._random = np.random.default_rng(settings["seed"])
        self._with_gradient = with_gradient(graph)
        self._last_read = {name: layer["name"] for layer in graph["layers"] for name in layer["inputs"]}
        self._steps = 0
        self._shards = settings.get("shards", 1)             # equal parts of a batch, each with its own statistics
        self._sent_as = settings.get("gradients_sent_as")    # dtype in which their gradients are summed, if another
        self._tie_margins = settings.get("tie_margins", {})      # by layer; see Operation.tie_width
        tie_seed = settings.get("tie_seed")
        self._tie_random = None if tie_seed is None else np.random.RandomState(tie_seed)

    def load(self, batches):
        self._batches = [(self._input(x), y) for x, y in batches]
        self._steps = 0

    def step(self):
        x, y = self._batches[self._steps % len(self._batches)]
        self._steps += 1
        self._result = (
            self.descend(x, y, self._draw_masks(len(x)))[0] if self._is_training else self._forward(x)[0]
        )

    def synchronize(self):
        pass                             # NumPy returns when it has finished

    def result(self):
        return self._result

    def forward(self, x):
        return self._forward(self._input(x))[0]

    def output(self, x, is_training):
        """The network's output in either mode, without dropout."""
        return self._forward(self._input(x), {} if is_training else None)[0]

    def gradients(self, x, y, masks):
        loss, gradients, _ = self._gradients(self._input(x), y, masks)
        return loss, gradients

    def train(self, x, y, masks):
        return self.descend(x, y, masks)[0]

    def weights(self):
        return {key: value.copy() for key, value in self._weights.items()}

    def _input(self, x):
        return np.asarray(x, dtype=self._dtype) if self._graph["input"]["vocabulary"] is None else np.asarray(x)

    def layer_times(self, steps):
        timeline = Timeline()
        watched = WatchedNetwork(self, timeline)
        for _ in range(steps):
            timeline.step(watched.step, watched.synchronize)
        self._steps, self._result = watched._steps, watched._result
        return timeline.plain()

    def _draw_masks(self, samples):
        """A fresh mask for each dropout layer, 0 or 1/(1-rate)."""
        layers = (layer for layer in self._graph["layers"] if layer["op"] == "dropout")
        return {layer["name"]: self._draw_mask(layer, samples) for layer in layers}

    def _draw_mask(self, layer, samples):
        rate = layer["attributes"]["rate"]
        kept = self._random.random([samples, *layer["output_shape"]], dtype=np.float32) >= rate
        return kept * self._dtype(1 / (1 - rate))

    def _operation(self, layer, masks):
        weights = {p["name"]: self._weights[layer["name"] + "/" + p["name"]] for p in layer["parameters"]}
        mask = masks.get(layer["name"]) if masks else None
        return LOWERINGS[layer["op"]](
            layer["attributes"], weights,
            training=masks is not None,
            mask=None if mask is None else np.asarray(mask, dtype=self._dtype),
            needs_input_gradient=any(name in self._with_gradient for name in layer["inputs"]),
            tie_margin=self._tie_margins.get(layer["name"], 0), random=self._tie_random,
        )

    def decided(self, x, masks):
        """{layer: its input} of the layers that decide by it which gradients pass, in a training-mode forward pass."""
        shards = []
        for part in self._parts(len(x)):
            shards.append({})
            self._forward(self._input(x[part]), {name: mask[part] for name, mask in masks.items()}, shards[-1])
        return {name: np.concatenate([shard[name] for shard in shards]) for name in shards[0]}

    def _forward(self, x, masks=None, seen=None):
        """(output, operations that can run backward); inference, and no operations, without masks."""
        values = {INPUT: x}
        operations = []
        for layer in self._graph["layers"]:
            operation = self._operation(layer, masks)
            if seen is not None and layer["op"] in DECIDING:
                seen[layer["name"]] = values[layer["inputs"][0]]
            values[layer["name"]] = operation.forward(*[values[name] for name in layer["inputs"]])
            if masks is not None:
                operations.append(operation)
            for name in set(layer["inputs"]):
                if self._last_read[name] == layer["name"]:
                    del values[name]
        return values[layer["name"]], operations

    def _parts(self, samples):
        size = samples // self._shards
        return [slice(start, start + size) for start in range(0, size * self._shards, size)]

    def _gradients(self, x, y, masks):
        """(loss, {key: gradient}, {key: new running statistic}); the mean over the shards, where there are many."""
        found = []
        for part in self._parts(len(x)):
            own_masks = {name: mask[part] for name, mask in masks.items()}
            found.append(self._gradients_of_shard(x[part], y[part], own_masks))
        if len(found) == 1:
            return found[0]
        losses, gradients, statistics = zip(*found)
        mean = {key: self._mean_gradient([shard[key] for shard in gradients]) for key in gradients[0]}
        mean_statistics = {key: sum(shard[key] for shard in statistics) / self._shards for key in statistics[0]}
        return sum(losses) / self._shards, mean, mean_statistics

    def _mean_gradient(self, shards):
        if self._sent_as is None:
            return sum(shards) / self._shards
        # As PyTorch's fp16_compress_hook: divided before the sum, in the narrower format.
        sent_as = np.dtype(self._sent_as).type
        return sum(each.astype(sent_as) / sent_as(self._shards) for each in shards).astype(self._dtype)

    def _gradients_of_shard(self, x, y, masks):
        output, operations = self._forward(x, masks)
        loss, gradient = self._loss_and_gradient(output, y)
        arriving = {self._graph["layers"][-1]["name"]: gradient}
        gradients, statistics = {}, {}
        for layer in reversed(self._graph["layers"]):
            operation = operations.pop()             # and with it what it kept for now
            if layer["name"] not in self._with_gradient:
                continue
            passed_on = operation.backward(arriving.pop(layer["name"]))
            for name, part in zip(layer["inputs"], passed_on):
                if name in self._with_gradient:
                    arriving[name] = self._sum(arriving[name], part) if name in arriving else part
            for found, of_layer in ((gradients, operation.gradients), (statistics, operation.statistics)):
                found.update((layer["name"] + "/" + name, value) for name, value in of_layer.items())
        return loss, gradients, statistics

    def descend(self, x, y, masks):
        """One training step with given dropout masks: (loss before its update, {key: gradient})."""
        loss, gradients, statistics = self._gradients(self._input(x), y, masks)
        self._update(gradients, statistics)
        return loss, gradients

    def _loss_and_gradient(self, output, y):
        return loss_and_gradient(self._graph["loss"], output, y)

    def _sum(self, gradient, other):
        return gradient + other

    def _update(self, gradients, statistics):
        self._optimizer.update(self._weights, gradients)
        self._weights.update(statistics)


class WatchedNetwork(Network):
    """A network over the weights and batches of another one that books its time to a timeline."""

    def __init__(self, network, timeline):
        vars(self).update(vars(network))
        self._timeline = timeline
        for layer in self._graph["layers"]:
            timeline.add_row((layer["name"], "forward"))
        # One formula gives the loss with its gradient, so all of it is booked as forward.
        self._loss_and_gradient = timeline.booked((LOSS, "forward"), self._loss_and_gradient)
        self._sum = timeline.booked((GRADIENT_ADD, "backward"), self._sum)
        self._update = timeline.booked((OPTIMIZER, "update"), self._update)

    def _draw_mask(self, layer, samples):
        return self._timeline.booked((layer["name"], "forward"), super()._draw_mask)(layer, samples)

    def _operation(self, layer, masks):
        return WatchedOperation(super()._operation(layer, masks), layer["name"], self._timeline)


class WatchedOperation:
    """An operation whose time is booked to its layer."""

    def __init__(self, operation, name, timeline):
        self._operation, self._name, self._timeline = operation, name, timeline
        self.gradients, self.statistics = {}, {}

    def forward(self, *inputs):
        return self._timeline.booked((self._name, "forward"), self._operation.forward)(*inputs)

    def backward(self, gradient):
        return self._timeline.booked((self._name, "backward"), self._backward)(gradient)

    def _backward(self, gradient):
        operation, self._operation = self._operation, None       # freeing what it kept is part of its time
        passed_on = operation.backward(gradient)
        self.gradients, self.statistics = operation.gradients, operation.statistics
        return passed_on


class Rounding:
    """What a narrower format does: each value goes to the nearest that it has, which is off by up to ``roundoff``.

    That is relative to the value itself or, for integers, to the largest of its array (Higham, "Accuracy and stability
    of numerical algorithms", section 2.2). Where the format's values lie is drawn at random for each array: so values
    that are nearly equal are off alike, as they are in the format, and their sum is off by as much as they are. A
    format in which values are stored rounds all that a layer gives, passes back and reads as weights. One that is not
    rounds only what ``takers``, names of operations, take.
    """

    def __init__(self, roundoff, of_largest, takers, seed):
        self.roundoff, self.of_largest, self.takers = roundoff, of_largest, takers
        self.is_stored = takers is None
        self.random = np.random.default_rng(seed)

    def rounded(self, array):
        real, shift = array.dtype.type, self.random.random()
        if self.of_largest:
            step = real(2 * self.roundoff * np.abs(array).max())
            return (np.rint(array / step + real(shift)) - real(shift)) * step if step else array
        scale = real(2 ** shift)
        fraction, exponent = np.frexp(array * scale)         # the fraction lies from 1/2 to 1
        return np.ldexp(np.rint(fraction / real(self.roundoff)) * real(self.roundoff), exponent) / scale

    def stored(self, array):
        return self.rounded(array) if self.is_stored else array


class RoundedNetwork(Network):
    """A network that computes as if in a narrower format: how far that leads is how far a framework may be off."""

    def __init__(self, graph, weights, settings):
        super().__init__(graph, weights, settings)
        self._rounding = Rounding(**settings["rounding"])

    def _operation(self, layer, masks):
        operation = super()._operation(layer, masks)
        if not self._rounding.is_stored and layer["op"] not in self._rounding.takers:
            return operation
        operation.rounding = self._rounding
        operation.weights = {name: self._rounding.rounded(weight) for name, weight in operation.weights.items()}
        return RoundedOperation(operation, self._rounding)

    def _loss_and_gradient(self, output, y):
        loss, gradient = super()._loss_and_gradient(output, y)
        return loss, self._rounding.stored(gradient)


class RoundedOperation:
    """An operation of which a narrower format stores what it gives, or takes what it multiplies."""

    def __init__(self, operation, rounding):
        self._operation, self._rounding = operation, rounding
        self.gradients, self.statistics = {}, {}

    def forward(self, *inputs):
        if self._rounding.is_stored:
            output = self._rounding.rounded(self._operation.forward(*inputs))
        else:
            output = self._operation.forward(*map(self._rounding.rounded, inputs))
        self.statistics = self._operation.statistics
        return output

    def backward(self, gradient):
        rounding = self._rounding
        passed_on = self._operation.backward(gradient if rounding.is_stored else rounding.rounded(gradient))
        self.gradients = {name: rounding.stored(each) for name, each in self._operation.gradients.items()}
        return tuple(None if each is None else rounding.stored(each) for each in passed_on)


def with_gradient(graph):
    """Names of the layers in or before which a trainable parameter lies."""
    found = set()
    for layer in graph["layers"]:
        if any(p["is_trainable"] for p in layer["parameters"]) or found.intersection(layer["inputs"]):
            found.add(layer["name"])
    return found


def prepare(graph, weights, settings):
    if settings["precision"] not in DTYPES:
        raise Unsupported("NumPy's matrix products run in fp32 or fp64, not " + settings["precision"])
    if settings["device"] != "cpu":
        raise Unsupported("NumPy runs on the CPU, not on " + settings["device"])
    if settings["compile_mode"] != "eager":
        raise Unsupported("NumPy has no compiler, so compile mode is eager, not " + settings["compile_mode"])
    if settings["layout"] != "nchw":
        raise Unsupported("the NumPy operations are written for layout nchw, not " + settings["layout"])
    set_threads = openblas_function("set_num_threads")
    if set_threads is not None:
        set_threads(settings["threads"])
    return (RoundedNetwork if "rounding" in settings else Network)(graph, weights, settings)


def openblas_function(name):
    """A function of the OpenBLAS that a NumPy wheel brings along; None where NumPy uses another library."""
    folder = os.path.join(os.path.dirname(os.path.dirname(np.__file__)), "numpy.libs")
    files = os.listdir(folder) if os.path.isdir(folder) else []
    for file in files:
        if "openblas" in file:
            library = ctypes.CDLL(os.path.join(folder, file))        # loaded by NumPy already, so the same one
            for spelling in ("scipy_openblas_{}64_", "scipy_openblas_{}", "openblas_{}64_", "openblas_{}"):
                if hasattr(library, spelling.format(name)):
                    return getattr(library, spelling.format(name))
    return None


def facts():
    """Version, linear algebra library with its kernel, and threads it uses; None where the library does not say."""
    config, threads = openblas_function("get_config"), openblas_function("get_num_threads")
    if config is not None:
        config.restype = ctypes.c_char_p
    return {
        "version": np.__version__,
        "blas": None if config is None else config().decode(),
        "threads": None if threads is None else threads(),
    }
