"""JAX: pure functions of jax.lax, one an operation."""

import math

import numpy as np

from .._image_layouts import inverse


class Layout:
    """The order in which images and convolution weights are kept; other arrays are kept as they come."""

    def __init__(self, name):
        self.is_channels_last = name == "channels_last"
        self.channel = 3 if self.is_channels_last else 1
        self.convolution = ("NHWC", "HWIO", "NHWC") if self.is_channels_last else ("NCHW", "OIHW", "NCHW")
        self._images = (0, 2, 3, 1) if self.is_channels_last else (0, 1, 2, 3)
        self._convolution_weight = (2, 3, 1, 0) if self.is_channels_last else (0, 1, 2, 3)

    def kept(self, array):
        """An array that may be a batch of images, from canonical order."""
        return array.transpose(self._images) if array.ndim == 4 else array

    def canonical(self, array):
        """What ``kept`` was given."""
        return array.transpose(inverse(self._images)) if array.ndim == 4 else array

    def parameter_axes(self, op, rank):
        """The permutation from a parameter's canonical axes; matrices are (in, out), as x @ weight reads them."""
        if op == "conv2d" and rank == 4:
            return self._convolution_weight
        return (1, 0) if rank == 2 and op != "embedding" else tuple(range(rank))

    def window(self, rows_columns, others):
        """A value for each axis of a batch of images."""
        rows, columns = rows_columns
        return (others, rows, columns, others) if self.is_channels_last else (others, others, rows, columns)

    def spread(self, channels, x):
        """One number per channel in a shape that broadcasts over images or vectors."""
        return channels[:, None, None] if x.ndim == 4 and not self.is_channels_last else channels


class Pass:
    """One pass through the network while JAX traces it: what lowerings need besides their weights and inputs.

    In training, dropout takes its mask from ``masks``, or else draws one that follows from ``seed`` and ``step``, and
    ``statistics`` collects the new running statistics by key.
    """

    def __init__(self, jax, layout, as_in_memory, is_training=False, masks=None, seed=None, step=None):
        self.jax, self.np, self.lax, self.nn = jax, jax.numpy, jax.lax, jax.nn
        self.layout = layout
        self.as_in_memory = as_in_memory     # names of the flatten layers that keep the order of images
        self.is_training = is_training
        self.masks = masks
        self.seed, self.step = seed, step
        self.drawn = 0
        self.statistics = {}

    def draw(self, shape, share):
        """Booleans that are true with probability ``share``."""
        random = self.jax.random
        key_of_step = random.fold_in(random.key(self.seed), self.step)
        self.drawn += 1
        return random.bernoulli(random.fold_in(key_of_step, self.drawn), share, shape)


# The lowerings: (pass, layer, its weights by name, inputs) -> output.


def _plus_bias(run, y, bias):
    """The sum, rounded once. The gradient of the bias is a sum over samples, which XLA on a CPU rounds at each term."""
    if y.dtype.itemsize >= 4:
        return y + bias
    wide = run.np.float32
    return (y.astype(wide) + bias.astype(wide)).astype(y.dtype)


def _conv2d(run, layer, weights, x):
    a = layer["attributes"]
    y = run.lax.conv_general_dilated(
        x, weights["weight"], a["stride"], [(p, p) for p in a["padding"]], rhs_dilation=a["dilation"],
        dimension_numbers=run.layout.convolution, feature_group_count=a["groups"],
    )
    return _plus_bias(run, y, run.layout.spread(weights["bias"], y)) if a["bias"] else y


def _dense(run, layer, weights, x):
    y = x @ weights["weight"]
    return _plus_bias(run, y, weights["bias"]) if layer["attributes"]["bias"] else y


def _pooled(run, layer, x, start, function):
    a, window = layer["attributes"], run.layout.window
    padding = window([(p, p) for p in a["padding"]], (0, 0))
    return run.lax.reduce_window(x, start, function, window(a["kernel"], 1), window(a["stride"], 1), padding)


def _max_pool(run, layer, weights, x):
    return _pooled(run, layer, x, -np.inf, run.lax.max)


def _avg_pool(run, layer, weights, x):
    a = layer["attributes"]
    total = _pooled(run, layer, x, 0.0, run.lax.add)
    if a["count_include_pad"]:
        return total / math.prod(a["kernel"])
    rows, columns = (
        _pixels_seen(*sizes)
        for sizes in zip(
            layer["input_shapes"][0][1:], layer["output_shape"][1:], a["kernel"], a["stride"], a["padding"]
        )
    )
    count = np.outer(rows, columns).astype(x.dtype)
    return total / (count[:, :, None] if run.layout.is_channels_last else count)


def _pixels_seen(size, positions, kernel, stride, padding):
    """Along one axis, how many pixels of the image lie in the window at each position; padding is left out."""
    begin = np.arange(positions) * stride - padding
    return np.minimum(begin + kernel, size) - np.maximum(begin, 0)


def _global_avg_pool(run, layer, weights, x):
    return x.mean((1, 2) if run.layout.is_channels_last else (2, 3))


def _batch_norm(run, layer, weights, x):
    a, spread = layer["attributes"], run.layout.spread
    mean, variance = weights["mean"], weights["variance"]
    if run.is_training:
        channel = run.layout.channel if x.ndim == 4 else 1
        axes = tuple(axis for axis in range(x.ndim) if axis != channel)
        count = x.size // x.shape[channel]
        batch_mean, batch_variance = x.mean(axes), x.var(axes)
        unbiased = batch_variance * (count / max(count - 1, 1))
        for name, old, new in (("mean", mean, batch_mean), ("variance", variance, unbiased)):
            run.statistics[layer["name"] + "/" + name] = (1 - a["momentum"]) * old + a["momentum"] * new
        mean, variance = batch_mean, batch_variance
    scale = run.lax.rsqrt(variance + a["epsilon"]) * weights["gamma"]
    return (x - spread(mean, x)) * spread(scale, x) + spread(weights["beta"], x)


def _relu(run, layer, weights, x):
    return run.nn.relu(x)                # not maximum, whose gradient at 0 is 1/2


def _tanh(run, layer, weights, x):
    return run.np.tanh(x)


def _sigmoid(run, layer, weights, x):
    return run.nn.sigmoid(x)


def _softmax(run, layer, weights, x):
    return run.nn.softmax(x)


def _dropout(run, layer, weights, x):
    if not run.is_training:
        return x
    if run.masks is not None:
        return x * run.masks[layer["name"]].astype(x.dtype)
    kept = 1 - layer["attributes"]["rate"]
    return run.np.where(run.draw(x.shape, kept), x / kept, 0)


def _local_response_norm(run, layer, weights, x):
    a = layer["attributes"]
    size, padding = [1] * 4, [(0, 0)] * 4
    size[run.layout.channel], padding[run.layout.channel] = a["size"], (a["size"] // 2,) * 2
    squares = run.lax.reduce_window(x * x, 0.0, run.lax.add, size, (1,) * 4, padding)
    return x * (a["k"] + a["alpha"] / a["size"] * squares) ** -a["beta"]


def _add(run, layer, weights, *inputs):
    return sum(inputs[1:], inputs[0])


def _concat(run, layer, weights, *inputs):
    return run.np.concatenate(inputs, run.layout.channel if inputs[0].ndim == 4 else 1)


def _flatten(run, layer, weights, x):
    if layer["name"] not in run.as_in_memory:
        x = run.layout.canonical(x)
    return x.reshape(len(x), -1)


def _embedding(run, layer, weights, tokens):
    return weights["weight"][tokens]


def _lstm(run, layer, weights, x):
    # The inputs' share of all steps is one product; steps come first then, as scan takes them.
    from_inputs = _plus_bias(run, x @ weights["weight_input"], weights["bias"]).swapaxes(0, 1)
    weight_hidden = weights["weight_hidden"]

    def step(state, from_input):
        hidden, cell = state
        i, f, g, o = run.np.split(from_input + hidden @ weight_hidden, 4, axis=-1)
        cell = run.nn.sigmoid(f) * cell + run.nn.sigmoid(i) * run.np.tanh(g)
        hidden = run.nn.sigmoid(o) * run.np.tanh(cell)
        return (hidden, cell), hidden

    start = run.np.zeros((len(x), layer["attributes"]["hidden"]), x.dtype)
    return run.lax.scan(step, (start, start), from_inputs)[1].swapaxes(0, 1)


def _reshape(run, layer, weights, x):
    return run.layout.kept(run.layout.canonical(x).reshape(len(x), *layer["attributes"]["shape"]))


def _transpose(run, layer, weights, x):
    axes = [0, *(axis + 1 for axis in layer["attributes"]["axes"])]
    return run.layout.kept(run.layout.canonical(x).transpose(axes))


IN_FP32 = ("batch_norm", "local_response_norm", "softmax")       # whatever their input is, unless that is wider


LOWERINGS = {
    "conv2d": _conv2d,
    "dense": _dense,
    "max_pool": _max_pool,
    "avg_pool": _avg_pool,
    "global_avg_pool": _global_avg_pool,
    "batch_norm": _batch_norm,
    "relu": _relu,
    "tanh": _tanh,
    "sigmoid": _sigmoid,
    "softmax": _softmax,
    "dropout": _dropout,
    "local_response_norm": _local_response_norm,
    "add": _add,
    "concat": _concat,
    "flatten": _flatten,
    "embedding": _embedding,
    "lstm": _lstm,
    "reshape": _reshape,
    "transpose": _transpose,
}
