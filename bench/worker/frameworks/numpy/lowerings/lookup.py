"""Rows chosen by their index."""

import numpy as np

from ._base import Operation


class Embedding(Operation):
    def forward(self, tokens):
        self.tokens = tokens
        return self.weights["weight"][tokens]

    def backward(self, gradient):
        # The rows of equal tokens are neighbours after sorting; np.add.at is many times slower before NumPy 1.25.
        tokens = self.tokens.ravel()
        order = np.argsort(tokens, kind="stable")
        distinct, first = np.unique(tokens[order], return_index=True)
        rows = gradient.reshape(len(tokens), -1)[order]
        self.gradients["weight"] = np.zeros_like(self.weights["weight"])
        self.gradients["weight"][distinct] = np.add.reduceat(rows, first)
        return (None,)


class Gather(Operation):
    def forward(self, x):
        self.shape = x.shape
        return np.take(x, self.attributes["indices"], axis=self.attributes["axis"])

    def backward(self, gradient):
        whole = np.zeros(self.shape, dtype=gradient.dtype)
        axis = self.attributes["axis"] % whole.ndim
        np.add.at(whole, (slice(None),) * axis + (self.attributes["indices"],), gradient)
        return (whole,)


class OneHot(Operation):
    def forward(self, x):
        return (x[..., None] == np.arange(self.attributes["depth"])).astype(self.dtype)


class GatherElements(Operation):
    def forward(self, x, indices):
        self.shape, self.indices = x.shape, indices
        return np.take_along_axis(x, indices, self.attributes["axis"])

    def backward(self, gradient):
        whole = np.zeros(self.shape, dtype=gradient.dtype)
        places = list(np.ogrid[tuple(map(slice, self.indices.shape))])
        places[self.attributes["axis"]] = self.indices
        np.add.at(whole, tuple(places), gradient)
        return whole, None


class EmbeddingBag(Embedding):
    def forward(self, tokens):
        total = super().forward(tokens).sum(axis=-2)
        return total / tokens.shape[-1] if self.attributes["mean"] else total

    def backward(self, gradient):
        count = self.tokens.shape[-1]
        each = gradient / count if self.attributes["mean"] else gradient
        return super().backward(np.repeat(each[..., None, :], count, axis=-2))


class ScatterAdd(Operation):
    def forward(self, x, indices, values):
        self.indices = indices
        result, places = x.copy(), list(np.ogrid[tuple(map(slice, indices.shape))])
        places[self.attributes["axis"]] = indices
        np.add.at(result, tuple(places), values)
        return result

    def backward(self, gradient):
        return gradient, None, np.take_along_axis(gradient, self.indices, self.attributes["axis"])


LOWERINGS = {
    "embedding": Embedding,
    "gather": Gather,
    "one_hot": OneHot,
    "gather_elements": GatherElements,
    "embedding_bag": EmbeddingBag,
    "scatter_add": ScatterAdd,
}
