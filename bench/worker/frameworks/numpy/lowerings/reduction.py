"""Sums, means and extremes along axes, and where these lie."""

import numpy as np

from ._base import Operation


class Reduction(Operation):
    def forward(self, x):
        self.axes = tuple(axis % x.ndim for axis in self.attributes["axes"])
        self.x = x
        self.kept = self.function(x, axis=self.axes, keepdims=True)
        return self.kept if self.attributes["keep"] else self.kept.squeeze(self.axes)

    def spread(self, gradient):
        """The gradient with the reduced axes restored, with size 1."""
        return gradient.reshape(self.kept.shape)


class ReduceSum(Reduction):
    function = staticmethod(np.sum)

    def backward(self, gradient):
        return (np.broadcast_to(self.spread(gradient), self.x.shape),)


class ReduceMean(Reduction):
    function = staticmethod(np.mean)

    def backward(self, gradient):
        count = self.x.size // self.kept.size
        return (np.broadcast_to(self.spread(gradient) / count, self.x.shape),)


class ReduceMax(Reduction):
    function = staticmethod(np.max)

    def backward(self, gradient):
        return (self.spread(gradient) * (self.x == self.kept),)


class ReduceMin(ReduceMax):
    function = staticmethod(np.min)


class CumulativeSum(Operation):
    def forward(self, x):
        return np.cumsum(x, axis=self.attributes["axis"])

    def backward(self, gradient):
        axis = self.attributes["axis"]
        return (np.flip(np.cumsum(np.flip(gradient, axis), axis=axis), axis),)


class ArgMax(Operation):
    def forward(self, x):
        axis = self.attributes["axis"]
        places = np.argmax(x, axis=axis)
        return np.expand_dims(places, axis) if self.attributes["keep"] else places


class TopK(Operation):
    def forward(self, x):
        axis, self.x = self.attributes["axis"], x
        order = np.argsort(-x, axis=axis, kind="stable")
        self.places = np.take(order, np.arange(self.attributes["count"]), axis=axis)
        return np.take_along_axis(x, self.places, axis), self.places

    def backward(self, gradient, _):
        whole = np.zeros_like(self.x)
        np.put_along_axis(whole, self.places, gradient, self.attributes["axis"])
        return (whole,)


LOWERINGS = {
    "reduce_sum": ReduceSum,
    "reduce_mean": ReduceMean,
    "reduce_max": ReduceMax,
    "reduce_min": ReduceMin,
    "cumulative_sum": CumulativeSum,
    "argmax": ArgMax,
    "top_k": TopK,
}
