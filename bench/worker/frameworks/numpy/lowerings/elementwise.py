"""Functions of each element, and of elements that broadcasting brings together."""

import math

import numpy as np

from ._base import Operation, unbroadcast


class Relu(Operation):
    def forward(self, x):
        if self.training:
            self.passes = x > self.tie_width(x) * self.sides(x.shape)
        return np.maximum(x, 0)

    def backward(self, gradient):
        return (gradient * self.passes,)


class Tanh(Operation):
    def forward(self, x):
        self.output = np.tanh(x)
        return self.output

    def backward(self, gradient):
        return (gradient * (1 - self.output ** 2),)


def sigmoid(x):
    """1 / (1 + exp(-x)), accurate to a few roundings; computed with tanh, its lower tail would be lost in 1 - 1."""
    result = np.negative(x)
    with np.errstate(over="ignore"):     # 1 / infinity is the 0 that is closest
        np.exp(result, out=result)
    result += 1
    return np.reciprocal(result, out=result)


class Sigmoid(Operation):
    def forward(self, x):
        self.output = sigmoid(x)
        return self.output

    def backward(self, gradient):
        # From the output, as in every framework, with the same loss of accuracy near 1 in fp32.
        return (gradient * self.output * (1 - self.output),)


class Dropout(Operation):
    def forward(self, x):
        return x * self.mask if self.training else x

    def backward(self, gradient):
        return (gradient * self.mask,)


class Add(Operation):
    def forward(self, *inputs):
        self.shapes = [x.shape for x in inputs]
        return sum(inputs[1:], inputs[0])

    def backward(self, gradient):
        return tuple(gradient if shape == gradient.shape else unbroadcast(gradient, shape) for shape in self.shapes)


class Clip(Operation):
    def forward(self, x):
        low, high = self.attributes.get("low", -np.inf), self.attributes.get("high", np.inf)
        width, sides = self.tie_width(x), self.sides(x.shape)
        self.passes = (x > low + width * sides) & (x < high + width * sides)
        return np.clip(x, low, high)

    def backward(self, gradient):
        return (gradient * self.passes,)


erf = np.frompyfunc(math.erf, 1, 1)      # NumPy has none
ROOT_OF_TWO_OVER_PI = math.sqrt(2 / math.pi)


class Gelu(Operation):
    """x / 2 * (1 + bent), where ``bent`` is erf or tanh of ``inner``."""

    def forward(self, x):
        self.x = x
        if self.attributes["tanh"]:
            self.bent = np.tanh(ROOT_OF_TWO_OVER_PI * (x + 0.044715 * x ** 3))
        else:
            self.bent = erf(x * math.sqrt(0.5)).astype(x.dtype)
        return x * 0.5 * (1 + self.bent)

    def backward(self, gradient):
        x, bent = self.x, self.bent
        if self.attributes["tanh"]:
            slope = (1 - bent ** 2) * ROOT_OF_TWO_OVER_PI * (1 + 3 * 0.044715 * x ** 2)
        else:
            slope = ROOT_OF_TWO_OVER_PI * np.exp(-0.5 * x ** 2)
        return (gradient * 0.5 * (1 + bent + x * slope),)


class Silu(Operation):
    def forward(self, x):
        self.x, self.share = x, sigmoid(x)
        return x * self.share

    def backward(self, gradient):
        return (gradient * self.share * (1 + self.x * (1 - self.share)),)


class Unary(Operation):
    """A function of each element, and its derivative from input and output."""

    def forward(self, x):
        self.x, self.output = x, self.function(x)
        return self.output

    def backward(self, gradient):
        return (gradient * self.slope(self.x, self.output),)


class LeakyRelu(Operation):
    def forward(self, x):
        self.passes = x > self.tie_width(x) * self.sides(x.shape)
        return np.where(x > 0, x, self.slope() * x)

    def slope(self):
        return self.attributes["slope"]

    def backward(self, gradient):
        return (np.where(self.passes, gradient, self.slope() * gradient),)


class PRelu(LeakyRelu):
    def forward(self, x):
        self.x = x
        return super().forward(x)

    def slope(self):
        return self.weights["slope"].reshape(-1, *[1] * (self.x.ndim - 2))

    def backward(self, gradient):
        others = tuple(range(2, gradient.ndim))
        of_channels = np.where(self.passes, 0, gradient * self.x).sum(axis=(0, *others))
        self.gradients["slope"] = of_channels.sum(keepdims=True) if self.attributes["is_shared"] else of_channels
        return super().backward(gradient)


class HardSigmoid(Operation):
    def forward(self, x):
        alpha, beta = self.attributes["alpha"], self.attributes["beta"]
        border = self.tie_width(x) * self.sides(x.shape)
        self.passes = (x > -beta / alpha + border) & (x < (1 - beta) / alpha + border)
        return np.clip(alpha * x + beta, 0, 1)

    def backward(self, gradient):
        return (gradient * self.attributes["alpha"] * self.passes,)


class HardSwish(Operation):
    def forward(self, x):
        border = self.tie_width(x) * self.sides(x.shape)
        self.slope = np.where(x > 3 + border, 1, np.where(x < -3 + border, 0, x / 3 + 0.5)).astype(x.dtype)
        return x * np.clip(x / 6 + 0.5, 0, 1)

    def backward(self, gradient):
        return (gradient * self.slope,)


class Elu(Unary):
    def function(self, x):
        return np.where(x > 0, x, self.attributes["alpha"] * np.expm1(np.minimum(x, 0)))

    def slope(self, x, y):
        return np.where(x > 0, 1, y + self.attributes["alpha"])


SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772


class Selu(Unary):
    @staticmethod
    def function(x):
        return SELU_SCALE * np.where(x > 0, x, SELU_ALPHA * np.expm1(np.minimum(x, 0)))

    @staticmethod
    def slope(x, y):
        return np.where(x > 0, SELU_SCALE, y + SELU_SCALE * SELU_ALPHA)


class Softplus(Unary):
    function = staticmethod(lambda x: np.logaddexp(x, 0))
    slope = staticmethod(lambda x, y: sigmoid(x))


class Power(Unary):
    def function(self, x):
        return x ** self.attributes["exponent"]

    def slope(self, x, y):
        exponent = self.attributes["exponent"]
        return exponent * x ** (exponent - 1)


class Reciprocal(Unary):
    function = staticmethod(lambda x: 1 / x)
    slope = staticmethod(lambda x, y: -y * y)


class Erf(Unary):
    function = staticmethod(lambda x: erf(x).astype(x.dtype))
    slope = staticmethod(lambda x, y: 2 / math.sqrt(math.pi) * np.exp(-x * x))


class Exp(Unary):
    function = staticmethod(np.exp)
    slope = staticmethod(lambda x, y: y)


class Log(Unary):
    function = staticmethod(np.log)
    slope = staticmethod(lambda x, y: 1 / x)


class Sqrt(Unary):
    function = staticmethod(np.sqrt)
    slope = staticmethod(lambda x, y: 0.5 / y)


class Abs(Unary):
    function = staticmethod(np.abs)
    slope = staticmethod(lambda x, y: np.sign(x))


class Negative(Unary):
    function = staticmethod(np.negative)
    slope = staticmethod(lambda x, y: -np.ones_like(x))


class Sin(Unary):
    function = staticmethod(np.sin)
    slope = staticmethod(lambda x, y: np.cos(x))


class Cos(Unary):
    function = staticmethod(np.cos)
    slope = staticmethod(lambda x, y: -np.sin(x))


class Binary(Operation):
    """A function of two values, and its derivatives by both from inputs and output."""

    def forward(self, left, right):
        self.left, self.right, self.output = left, right, self.function(left, right)
        return self.output

    def backward(self, gradient):
        slopes = self.slopes(self.left, self.right, self.output)
        inputs = self.left, self.right
        return tuple(unbroadcast(gradient * slope, x.shape) for slope, x in zip(slopes, inputs))


class Subtract(Binary):
    function = staticmethod(np.subtract)
    slopes = staticmethod(lambda a, b, y: (1, -1))


class Multiply(Binary):
    function = staticmethod(np.multiply)
    slopes = staticmethod(lambda a, b, y: (b, a))


class Divide(Binary):
    function = staticmethod(np.divide)
    slopes = staticmethod(lambda a, b, y: (1 / b, -y / b))


class Maximum(Binary):
    function = staticmethod(np.maximum)
    slopes = staticmethod(lambda a, b, y: (a > b, b > a))


class Minimum(Binary):
    function = staticmethod(np.minimum)
    slopes = staticmethod(lambda a, b, y: (a < b, b < a))


LOWERINGS = {
    "relu": Relu,
    "tanh": Tanh,
    "sigmoid": Sigmoid,
    "dropout": Dropout,
    "add": Add,
    "clip": Clip,
    "gelu": Gelu,
    "silu": Silu,
    "leaky_relu": LeakyRelu,
    "prelu": PRelu,
    "elu": Elu,
    "selu": Selu,
    "softplus": Softplus,
    "hard_sigmoid": HardSigmoid,
    "hard_swish": HardSwish,
    "power": Power,
    "reciprocal": Reciprocal,
    "erf": Erf,
    "exp": Exp,
    "log": Log,
    "sqrt": Sqrt,
    "abs": Abs,
    "negative": Negative,
    "sin": Sin,
    "cos": Cos,
    "subtract": Subtract,
    "multiply": Multiply,
    "divide": Divide,
    "maximum": Maximum,
    "minimum": Minimum,
}
