"""Matrix products."""

import numpy as np

from ._base import Operation, unbroadcast


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


class Matmul(Operation):
    def forward(self, left, right):
        self.left, self.right = left, right
        return np.matmul(left, right)

    def backward(self, gradient):
        return (
            unbroadcast(np.matmul(gradient, self.right.swapaxes(-1, -2)), self.left.shape),
            unbroadcast(np.matmul(self.left.swapaxes(-1, -2), gradient), self.right.shape),
        )


LOWERINGS = {
    "dense": Dense,
    "matmul": Matmul,
}
