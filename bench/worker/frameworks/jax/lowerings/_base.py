"""Shared by the lowerings: the layout of images, the pass that is traced, and sums that are rounded once."""

from ..._image_layouts import inverse


class Layout:
    """The order in which images and convolution weights are kept; other arrays are kept as they come."""

    def __init__(self, name):
        self.is_channels_last = name == "channels_last"
        self.channel = 3 if self.is_channels_last else 1
        self.convolution = ("NHWC", "HWIO", "NHWC") if self.is_channels_last else ("NCHW", "OIHW", "NCHW")
        self._images = (0, 2, 3, 1) if self.is_channels_last else (0, 1, 2, 3)
        self._convolution_weight = (2, 3, 1, 0) if self.is_channels_last else (0, 1, 2, 3)

    def kept(self, images):
        """A batch of images, from canonical order."""
        return images.transpose(self._images)

    def canonical(self, images):
        """The inverse of ``kept``."""
        return images.transpose(inverse(self._images))

    def parameter_axes(self, op, rank):
        """The permutation from a parameter's canonical axes; matrices are (in, out), as x @ weight reads them."""
        if op == "conv2d" and rank == 4:
            return self._convolution_weight
        if op == "conv_transpose2d" and rank == 4:
            return (2, 3, 0, 1) if self.is_channels_last else (0, 1, 2, 3)
        return (1, 0) if rank == 2 and op in ("dense", "lstm", "gru", "rnn") else tuple(range(rank))

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

    def __init__(self, jax, layout, shared, is_training=False, masks=None, seed=None, step=None):
        self.jax, self.np, self.lax, self.nn = jax, jax.numpy, jax.lax, jax.nn
        self.layout = layout
        self.shared = shared                 # keys of parameters that are kept in canonical order
        self.is_training = is_training
        self.masks = masks
        self.seed, self.step = seed, step
        self.drawn = 0
        self.statistics = {}

    def draw(self, shape, share):
        """Random booleans that are True with probability ``share``."""
        random = self.jax.random
        key_of_step = random.fold_in(random.key(self.seed), self.step)
        self.drawn += 1
        return random.bernoulli(random.fold_in(key_of_step, self.drawn), share, shape)


def plus_bias(run, y, bias):
    """The sum, rounded once. The gradient of the bias is a sum over samples, which XLA on a CPU rounds at each term."""
    if y.dtype.itemsize >= 4:
        return y + bias
    wide = run.np.float32
    return (y.astype(wide) + bias.astype(wide)).astype(y.dtype)
