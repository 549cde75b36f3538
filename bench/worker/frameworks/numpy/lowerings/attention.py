"""Softmax and attention."""

import numpy as np

from ._base import Operation, unbroadcast


class Softmax(Operation):
    def forward(self, x):
        powers = np.exp(x - x.max(axis=-1, keepdims=True))
        self.output = powers / powers.sum(axis=-1, keepdims=True)
        return self.output

    def backward(self, gradient):
        mean = (gradient * self.output).sum(axis=-1, keepdims=True)
        return ((gradient - mean) * self.output,)


class LogSoftmax(Operation):
    def forward(self, x):
        shifted = x - x.max(axis=-1, keepdims=True)
        self.output = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
        return self.output

    def backward(self, gradient):
        return (gradient - np.exp(self.output) * gradient.sum(axis=-1, keepdims=True),)


class Attention(Operation):
    def forward(self, query, key, value, mask=None):
        self.factor = query.dtype.type(self.attributes.get("scale", 1 / np.sqrt(query.shape[-1])))
        self.served = query.shape[1] // key.shape[1]             # heads of the query for each of the key
        key, value = (np.repeat(x, self.served, axis=1) for x in (key, value))
        scores = np.matmul(query, key.swapaxes(-1, -2)) * self.factor
        if self.attributes["causal"]:
            mask = np.tril(np.ones(scores.shape[-2:], dtype=bool))
        if mask is not None:
            scores = np.where(mask, scores, -np.inf) if mask.dtype == bool else scores + mask
        powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
        self.shares = powers / powers.sum(axis=-1, keepdims=True)
        self.query, self.key, self.value = query, key, value
        self.added = None if mask is None or mask.dtype == bool else mask.shape
        return np.matmul(self.shares, value)

    def backward(self, gradient):
        of_shares = np.matmul(gradient, self.value.swapaxes(-1, -2))
        of_scores = (of_shares - (of_shares * self.shares).sum(axis=-1, keepdims=True)) * self.shares
        return (
            np.matmul(of_scores, self.key) * self.factor,
            self.summed(np.matmul(of_scores.swapaxes(-1, -2), self.query) * self.factor),
            self.summed(np.matmul(self.shares.swapaxes(-1, -2), gradient)),
            None if self.added is None else unbroadcast(of_scores, self.added),
        )

    def summed(self, gradient):
        """Over the heads of the query that one head serves."""
        batch, heads, *rest = gradient.shape
        return gradient.reshape(batch, heads // self.served, self.served, *rest).sum(axis=2)


class Rotary(Operation):
    def forward(self, x):
        steps, features = x.shape[-2:]
        speeds = self.attributes["base"] ** (-np.arange(0, features, 2) / features)
        angles = np.arange(steps)[:, None] * speeds
        self.cos, self.sin = np.cos(angles).astype(x.dtype), np.sin(angles).astype(x.dtype)
        return self.turned(x, self.sin)

    def backward(self, gradient):
        return (self.turned(gradient, -self.sin),)

    def turned(self, x, sin):
        half = x.shape[-1] // 2
        if self.attributes["interleaved"]:
            first, second = (Ellipsis, slice(0, None, 2)), (Ellipsis, slice(1, None, 2))
        else:
            first, second = (Ellipsis, slice(0, half)), (Ellipsis, slice(half, None))
        result = np.empty_like(x)
        result[first] = x[first] * self.cos - x[second] * sin
        result[second] = x[second] * self.cos + x[first] * sin
        return result


LOWERINGS = {
    "softmax": Softmax,
    "log_softmax": LogSoftmax,
    "attention": Attention,
    "rotary": Rotary,
}
