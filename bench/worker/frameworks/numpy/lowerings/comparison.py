"""Comparisons of elements, logic of their results, the choice between two values, and other kinds of numbers."""

import numpy as np

from ._base import Operation, unbroadcast


class Greater(Operation):
    def forward(self, left, right):
        return left > right


class Less(Operation):
    def forward(self, left, right):
        return left < right


class GreaterEqual(Operation):
    def forward(self, left, right):
        return left >= right


class LessEqual(Operation):
    def forward(self, left, right):
        return left <= right


class And(Operation):
    def forward(self, left, right):
        return left & right


class Or(Operation):
    def forward(self, left, right):
        return left | right


class Not(Operation):
    def forward(self, x):
        return ~x


class Cast(Operation):
    def forward(self, x):
        return x.astype({"float": self.dtype, "int64": np.int64, "bool": bool}[self.attributes["to"]])


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
    "greater_equal": GreaterEqual,
    "less_equal": LessEqual,
    "and": And,
    "or": Or,
    "not": Not,
    "cast": Cast,
    "where": Where,
}
