"""Comparisons of elements, and the choice between two values that follows from one."""

import numpy as np

from ._base import Operation, unbroadcast


class Greater(Operation):
    def forward(self, left, right):
        return left > right


class Less(Operation):
    def forward(self, left, right):
        return left < right


class Equal(Operation):
    def forward(self, left, right):
        return left == right


class Where(Operation):
    def forward(self, condition, left, right):
        self.condition, self.shapes = condition, (left.shape, right.shape)
        return np.where(condition, left, right)

    def backward(self, gradient):
        of_left, of_right = np.where(self.condition, gradient, 0), np.where(self.condition, 0, gradient)
        return (None, unbroadcast(of_left, self.shapes[0]), unbroadcast(of_right, self.shapes[1]))


LOWERINGS = {
    "greater": Greater,
    "less": Less,
    "equal": Equal,
    "where": Where,
}
