"""Normalisation by statistics of a batch, of channels or of features."""

import numpy as np

from ._base import Operation


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
        # The mean and variance of the batch depend on every element, so two means are subtracted.
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
        # Neighbourhood is symmetric, so the gradient is the same sum.
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


class LayerNorm(Operation):
    """Over the last axis."""

    def forward(self, x):
        self.scale = 1 / np.sqrt(x.var(axis=-1, keepdims=True) + self.attributes["epsilon"])
        self.normal = (x - x.mean(axis=-1, keepdims=True)) * self.scale
        return self.normal * self.weights["gamma"] + self.weights["beta"]

    def backward(self, gradient):
        others = tuple(range(gradient.ndim - 1))
        self.gradients = {"gamma": (gradient * self.normal).sum(axis=others), "beta": gradient.sum(axis=others)}
        gradient = gradient * self.weights["gamma"]
        mean, slope = (each.mean(axis=-1, keepdims=True) for each in (gradient, gradient * self.normal))
        return ((gradient - mean - self.normal * slope) * self.scale,)


class RmsNorm(Operation):
    def forward(self, x):
        self.scale = 1 / np.sqrt(np.square(x).mean(axis=-1, keepdims=True) + self.attributes["epsilon"])
        self.normal = x * self.scale
        return self.normal * self.weights["gamma"]

    def backward(self, gradient):
        self.gradients["gamma"] = (gradient * self.normal).sum(axis=tuple(range(gradient.ndim - 1)))
        gradient = gradient * self.weights["gamma"]
        return ((gradient - self.normal * (gradient * self.normal).mean(axis=-1, keepdims=True)) * self.scale,)


class GroupNorm(Operation):
    """Each group as one vector that is normalised, each channel with its own scale and shift."""

    def forward(self, x):
        groups = x.reshape(len(x), self.attributes["groups"], -1)
        self.scale = 1 / np.sqrt(groups.var(axis=-1, keepdims=True) + self.attributes["epsilon"])
        self.normal = ((groups - groups.mean(axis=-1, keepdims=True)) * self.scale).reshape(x.shape)
        return self.normal * self.spread("gamma") + self.spread("beta")

    def backward(self, gradient):
        axes = (0, 2, 3)
        self.gradients = {"gamma": (gradient * self.normal).sum(axis=axes), "beta": gradient.sum(axis=axes)}
        shape = (len(gradient), self.attributes["groups"], -1)
        of_normal, normal = (gradient * self.spread("gamma")).reshape(shape), self.normal.reshape(shape)
        mean, slope = (each.mean(axis=-1, keepdims=True) for each in (of_normal, of_normal * normal))
        return (((of_normal - mean - normal * slope) * self.scale).reshape(gradient.shape),)

    def spread(self, name):
        return self.weights[name].reshape(-1, 1, 1)


LOWERINGS = {
    "batch_norm": BatchNorm,
    "local_response_norm": LocalResponseNorm,
    "layer_norm": LayerNorm,
    "rms_norm": RmsNorm,
    "group_norm": GroupNorm,
}
