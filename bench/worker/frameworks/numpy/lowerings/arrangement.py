"""The same elements in another shape or order."""

import numpy as np

from ..._image_layouts import inverse
from ._base import Operation


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


class Slice(Operation):
    def forward(self, x):
        a = self.attributes
        self.shape = x.shape
        self.part = (slice(None),) * (a["axis"] % x.ndim) + (slice(a["start"], a["stop"]),)
        return x[self.part]

    def backward(self, gradient):
        whole = np.zeros(self.shape, dtype=gradient.dtype)
        whole[self.part] = gradient
        return (whole,)


class Split(Operation):
    def forward(self, x):
        parts = np.split(x, self.attributes["parts"], axis=self.attributes["axis"])
        self.shape = parts[0].shape
        return tuple(parts)

    def backward(self, *gradients):
        dtype = next(each.dtype for each in gradients if each is not None)
        parts = [np.zeros(self.shape, dtype=dtype) if each is None else each for each in gradients]
        return (np.concatenate(parts, axis=self.attributes["axis"]),)


class Expand(Operation):
    def forward(self, value, like):
        return np.broadcast_to(value, (len(like), *value.shape))

    def backward(self, gradient):
        return gradient.sum(axis=0), None


LOWERINGS = {
    "concat": Concat,
    "flatten": Flatten,
    "reshape": Reshape,
    "transpose": Transpose,
    "slice": Slice,
    "split": Split,
    "expand": Expand,
}
