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
        self.part = (slice(None),) * (a["axis"] % x.ndim) + (slice(a["start"], a["stop"], a.get("step")),)
        return x[self.part]

    def backward(self, gradient):
        whole = np.zeros(self.shape, dtype=gradient.dtype)
        whole[self.part] = gradient
        return (whole,)


class Split(Operation):
    def forward(self, x):
        a = self.attributes
        parts = np.split(x, np.cumsum(a["sizes"])[:-1] if "sizes" in a else a["parts"], axis=a["axis"])
        self.shapes = [part.shape for part in parts]
        return tuple(parts)

    def backward(self, *gradients):
        dtype = next(each.dtype for each in gradients if each is not None)
        parts = [np.zeros(shape, dtype=dtype) if each is None else each for shape, each in zip(self.shapes, gradients)]
        return (np.concatenate(parts, axis=self.attributes["axis"]),)


class Expand(Operation):
    def forward(self, value, like):
        return np.broadcast_to(value, (len(like), *value.shape))

    def backward(self, gradient):
        return gradient.sum(axis=0), None


class Join(Operation):
    def forward(self, *inputs):
        axis = self.attributes["axis"]
        self.ends = np.cumsum([x.shape[axis] for x in inputs])[:-1]
        return np.concatenate(inputs, axis=axis)

    def backward(self, gradient):
        return tuple(np.split(gradient, self.ends, axis=self.attributes["axis"]))


class Permute(Transpose):
    def axes(self):
        return tuple(self.attributes["axes"])


class Regroup(Operation):
    def forward(self, x):
        self.shape = x.shape
        return x.reshape(self.new_shape())

    def new_shape(self):
        """With -1 where the batch is."""
        shape = list(self.attributes["shape"])
        if "batch" in self.attributes:
            shape[self.attributes["batch"]] = -1
        return shape

    def backward(self, gradient):
        return (gradient.reshape(self.shape),)


class Tile(Operation):
    def forward(self, x):
        self.shape = x.shape
        return np.tile(x, self.attributes["times"])

    def backward(self, gradient):
        pairs = [each for pair in zip(self.attributes["times"], self.shape) for each in pair]
        return (gradient.reshape(pairs).sum(axis=tuple(range(0, len(pairs), 2))),)


class Pad(Operation):
    """What it adds along an axis are entries of that axis, whose gradients add up; axis after axis."""

    def forward(self, x):
        self.shape = x.shape
        pairs, mode = self.pairs(), self.attributes["mode"]
        if mode == "constant":
            return np.pad(x, pairs, mode, constant_values=self.attributes["value"])
        return np.pad(x, pairs, mode)

    def pairs(self):
        return list(zip(self.attributes["before"], self.attributes["after"]))

    def backward(self, gradient):
        for axis, (before, after) in enumerate(self.pairs()):
            if before + after == 0:
                continue
            size, leading = self.shape[axis], (slice(None),) * axis
            inner = gradient[(*leading, slice(before, before + size))]
            if self.attributes["mode"] != "constant":
                inner = inner.copy()
                sources = np.pad(np.arange(size), (before, after), self.attributes["mode"])
                for place in (*range(before), *range(before + size, before + size + after)):
                    inner[(*leading, sources[place])] += gradient[(*leading, place)]
            gradient = inner
        return (gradient,)


LOWERINGS = {
    "concat": Concat,
    "flatten": Flatten,
    "reshape": Reshape,
    "transpose": Transpose,
    "slice": Slice,
    "split": Split,
    "expand": Expand,
    "join": Join,
    "permute": Permute,
    "regroup": Regroup,
    "tile": Tile,
    "pad": Pad,
}
