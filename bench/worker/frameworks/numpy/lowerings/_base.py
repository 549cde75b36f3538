"""The base class of operations, and functions that several families share."""

import numpy as np


class Operation:
    """One operation in one pass: ``forward`` once, then optionally ``backward`` once, using values that it kept.

    ``weights`` maps the layer's own parameters by name. ``mask`` is what dropout multiplies with in training.
    Without ``needs_input_gradient`` a costly input gradient is left out, and backward returns (None,).
    After backward in training, ``gradients`` holds those of the parameters, and after forward in training,
    ``statistics`` the new running statistics, both by parameter name.
    """

    def __init__(self, attributes, weights, training=False, mask=None, needs_input_gradient=True, tie_margin=0,
                 random=None, dtype=np.float64):
        self.attributes = attributes
        self.weights = weights
        self.training = training
        self.mask = mask
        self.needs_input_gradient = needs_input_gradient
        self.tie_margin = tie_margin
        self.random = random
        self.dtype = dtype               # of floats that no input tells
        self.gradients = {}
        self.statistics = {}

    def forward(self, *inputs):
        """The output; a tuple if the operation has several."""
        raise NotImplementedError

    def backward(self, *gradients):
        """The gradients of the inputs, a tuple, from those of the outputs; None for an output that nothing reads."""
        raise NotImplementedError

    rounding = None      # of a narrower format, to study its effect; see Rounding

    def tie_width(self, x):
        """The difference above which a value counts as larger; 0 except to study the effect of ties."""
        return self.tie_margin * np.sqrt(np.mean(np.square(x[np.isfinite(x)]))) if self.tie_margin else 0

    def sides(self, shape):
        """1, or 1 or -1 at random for each decision: the side on which a value must differ by the width."""
        return 1 if self.random is None else self.random.choice([-1.0, 1.0], size=shape)


def unbroadcast(gradient, shape):
    """The gradient of a value of this shape from the gradient of its broadcast value."""
    gradient = gradient.sum(axis=tuple(range(gradient.ndim - len(shape))))
    repeated = tuple(axis for axis, size in enumerate(shape) if size == 1 and gradient.shape[axis] != 1)
    return gradient.sum(axis=repeated, keepdims=True) if repeated else gradient
