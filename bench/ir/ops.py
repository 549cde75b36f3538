"""The operations a network is made of, as frozen values.

Shapes leave out the batch: an image is ``(channels, height, width)``, a sequence ``(steps, features)``, a
vector ``(features,)``, tokens ``(steps,)``. Every number an operation depends on is a field of it; nothing is
left to a framework's default.

FLOPs count one multiply-add as 2. Element-wise work counts 1 per output element and arithmetic operation or
elementary function. Traffic counts elements: each operand read once, each result written once, a lower bound.
"""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

Shape = tuple[int, ...]
Pair = tuple[int, int]

NORMAL_MOMENTUM = 0.1  # share of the new batch in a running statistic (PyTorch's meaning, Keras: 0.9)
NORMAL_EPSILON = 1e-5


class BadGraph(ValueError):
    """An operation cannot take these inputs; the message names the layer, the shapes and the remedy."""


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """An array that belongs to a layer, in the canonical layout that each adapter converts from."""

    name: str                    # "weight"
    shape: Shape
    init: str                    # a name in bench.ir.weights.INITIALISERS
    fan_in: int = 1
    fan_out: int = 1
    is_trainable: bool = True    # running statistics are not


@dataclass(frozen=True, kw_only=True)
class Op(ABC):
    """One operation: shape rule, parameters, FLOPs and traffic, per sample."""

    kind: ClassVar[str]

    @abstractmethod
    def output_shape(self, *inputs: Shape) -> Shape:
        """Shape of the result; raises BadGraph where the inputs do not fit."""

    def parameters(self, *inputs: Shape) -> tuple[Parameter, ...]:
        return ()

    def multiply_adds(self, *inputs: Shape) -> int:
        """Multiply-adds of one sample's forward pass, as papers count them: matrix products only, no bias."""
        return 0

    def flops(self, *inputs: Shape) -> int:
        """FLOPs of one sample's forward pass."""
        return 2 * self.multiply_adds(*inputs)

    def training_flops(self, *inputs: Shape) -> int:
        """FLOPs of one sample's forward pass in a training step, where some operations do more."""
        return self.flops(*inputs)

    def backward_flops(self, *inputs: Shape, needs_input_gradient: bool = True) -> int:
        """FLOPs of one sample's backward pass; the first layer needs no gradient of its input."""
        products = 2 * self.multiply_adds(*inputs)
        element_wise = self.flops(*inputs) - products
        return products * (2 if needs_input_gradient else 1) + element_wise

    def saved_elements(self, *inputs: Shape) -> int:
        """Elements of one sample that the backward pass must read again besides the output's gradient."""
        return sum(math.prod(shape) for shape in inputs)

    def is_view(self, *, training: bool) -> bool:
        """True where no pass in this mode need move any data."""
        return False

    def attributes(self) -> dict[str, Any]:
        """The fields as plain data, tuples as lists."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in dataclasses.asdict(self).items()
        }


def _image(kind: str, shapes: tuple[Shape, ...]) -> Shape:
    if len(shapes) != 1 or len(shapes[0]) != 3:
        raise BadGraph(f"{kind} takes one image of shape (channels, height, width), not {_show(shapes)}")
    return shapes[0]


def _one(kind: str, shapes: tuple[Shape, ...]) -> Shape:
    if len(shapes) != 1:
        raise BadGraph(f"{kind} takes one input, not {len(shapes)}")
    return shapes[0]


def _show(shapes: tuple[Shape, ...]) -> str:
    return ", ".join(map(str, shapes)) or "none"


def _window(kind: str, image: Shape, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair = (1, 1)) -> Pair:
    """Height and width that a sliding window leaves: rounded down, padding on both sides."""
    if min(stride) < 1 or min(kernel) < 1 or min(dilation) < 1 or min(padding) < 0:
        raise BadGraph(f"{kind} needs kernel, stride and dilation of at least 1 and padding of at least 0")
    extent = tuple(d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True))
    sizes = tuple(
        (size + 2 * p - e) // s + 1 for size, p, e, s in zip(image[1:], padding, extent, stride, strict=True)
    )
    if min(sizes) < 1:
        raise BadGraph(f"{kind} with kernel {kernel} and padding {padding} does not fit an image of {image[1:]}")
    return sizes[0], sizes[1]


@dataclass(frozen=True, kw_only=True)
class Conv2d(Op):
    """Cross-correlation with an OIHW weight, as every deep-learning framework means "convolution"."""

    kind: ClassVar[str] = "conv2d"
    out_channels: int
    kernel: Pair
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)       # zeros on both sides, (rows, columns)
    dilation: Pair = (1, 1)
    groups: int = 1
    bias: bool = True
    init: str = "he_normal"

    def output_shape(self, *inputs: Shape) -> Shape:
        image = _image(self.kind, inputs)
        if self.groups < 1 or self.out_channels < 1:
            raise BadGraph(f"conv2d needs at least 1 channel and 1 group, not {self.out_channels} and {self.groups}")
        if image[0] % self.groups or self.out_channels % self.groups:
            raise BadGraph(f"conv2d cannot split {image[0]} to {self.out_channels} channels into {self.groups} groups")
        window = _window(self.kind, image, self.kernel, self.stride, self.padding, self.dilation)
        return (self.out_channels, *window)

    def parameters(self, *inputs: Shape) -> tuple[Parameter, ...]:
        area = math.prod(self.kernel)
        in_per_group = inputs[0][0] // self.groups
        weight = Parameter(
            name="weight", shape=(self.out_channels, in_per_group, *self.kernel), init=self.init,
            fan_in=in_per_group * area, fan_out=self.out_channels // self.groups * area,
        )
        bias = Parameter(name="bias", shape=(self.out_channels,), init="zeros")
        return (weight, bias) if self.bias else (weight,)

    def multiply_adds(self, *inputs: Shape) -> int:
        outputs = math.prod(self.output_shape(*inputs))
        return outputs * inputs[0][0] // self.groups * math.prod(self.kernel)

    def flops(self, *inputs: Shape) -> int:
        return 2 * self.multiply_adds(*inputs) + self.bias * math.prod(self.output_shape(*inputs))


@dataclass(frozen=True, kw_only=True)
class Dense(Op):
    """Matrix product over the last axis with a weight of (out, in)."""

    kind: ClassVar[str] = "dense"
    out_features: int
    bias: bool = True
    init: str = "he_normal"

    def output_shape(self, *inputs: Shape) -> Shape:
        shape = _one(self.kind, inputs)
        if len(shape) > 2:
            raise BadGraph(f"dense takes a vector or a sequence, not {shape}; flatten it first")
        return (*shape[:-1], self.out_features)

    def parameters(self, *inputs: Shape) -> tuple[Parameter, ...]:
        fan_in = inputs[0][-1]
        weight = Parameter(
            name="weight", shape=(self.out_features, fan_in), init=self.init, fan_in=fan_in, fan_out=self.out_features
        )
        bias = Parameter(name="bias", shape=(self.out_features,), init="zeros")
        return (weight, bias) if self.bias else (weight,)

    def multiply_adds(self, *inputs: Shape) -> int:
        return math.prod(inputs[0]) * self.out_features

    def flops(self, *inputs: Shape) -> int:
        return 2 * self.multiply_adds(*inputs) + self.bias * math.prod(self.output_shape(*inputs))


@dataclass(frozen=True, kw_only=True)
class _Pool(Op):
    kernel: Pair
    stride: Pair
    padding: Pair = (0, 0)

    def output_shape(self, *inputs: Shape) -> Shape:
        image = _image(self.kind, inputs)
        if any(2 * p > k for p, k in zip(self.padding, self.kernel, strict=True)):
            raise BadGraph(f"{self.kind} padding {self.padding} exceeds half of the kernel {self.kernel}")
        return (image[0], *_window(self.kind, image, self.kernel, self.stride, self.padding))

    def flops(self, *inputs: Shape) -> int:
        return math.prod(self.output_shape(*inputs)) * math.prod(self.kernel)

    def backward_flops(self, *inputs: Shape, needs_input_gradient: bool = True) -> int:
        return self.flops(*inputs) if needs_input_gradient else 0


@dataclass(frozen=True, kw_only=True)
class MaxPool(_Pool):
    """Largest value of a window; padding counts as minus infinity. Sizes are rounded down."""

    kind: ClassVar[str] = "max_pool"

    def saved_elements(self, *inputs: Shape) -> int:
        return math.prod(self.output_shape(*inputs))     # which element won


@dataclass(frozen=True, kw_only=True)
class AvgPool(_Pool):
    """Mean of a window. With ``count_include_pad`` the divisor is the whole window, padding included."""

    kind: ClassVar[str] = "avg_pool"
    count_include_pad: bool = True

    def saved_elements(self, *inputs: Shape) -> int:
        return 0


@dataclass(frozen=True, kw_only=True)
class GlobalAvgPool(Op):
    """Mean over height and width: an image becomes a vector of its channels."""

    kind: ClassVar[str] = "global_avg_pool"

    def output_shape(self, *inputs: Shape) -> Shape:
        return (_image(self.kind, inputs)[0],)

    def flops(self, *inputs: Shape) -> int:
        return math.prod(inputs[0])

    def saved_elements(self, *inputs: Shape) -> int:
        return 0


@dataclass(frozen=True, kw_only=True)
class BatchNorm(Op):
    """Normalise each channel over batch, height and width (Ioffe and Szegedy 2015).

    Training uses the biased variance of the batch and moves the running statistics by ``momentum`` towards the
    batch's mean and *unbiased* variance, as cuDNN, PyTorch and TensorFlow's fused kernel do. Inference uses the
    running statistics.
    """

    kind: ClassVar[str] = "batch_norm"
    epsilon: float = NORMAL_EPSILON
    momentum: float = NORMAL_MOMENTUM

    def output_shape(self, *inputs: Shape) -> Shape:
        shape = _one(self.kind, inputs)
        if len(shape) not in (1, 3):
            raise BadGraph(f"batch_norm takes an image or a vector, not {shape}")
        return shape

    def parameters(self, *inputs: Shape) -> tuple[Parameter, ...]:
        shape = (inputs[0][0],)
        return (
            Parameter(name="gamma", shape=shape, init="ones"),
            Parameter(name="beta", shape=shape, init="zeros"),
            Parameter(name="mean", shape=shape, init="zeros", is_trainable=False),
            Parameter(name="variance", shape=shape, init="ones", is_trainable=False),
        )

    def flops(self, *inputs: Shape) -> int:
        return 2 * math.prod(inputs[0])          # x * scale + shift

    def training_flops(self, *inputs: Shape) -> int:
        return 4 * math.prod(inputs[0])          # and two statistics of the batch

    def backward_flops(self, *inputs: Shape, needs_input_gradient: bool = True) -> int:
        # Two sums over dy, then dx = a * dy + b * x + c.
        return (6 if needs_input_gradient else 4) * math.prod(inputs[0])


@dataclass(frozen=True, kw_only=True)
class _ElementWise(Op):
    def output_shape(self, *inputs: Shape) -> Shape:
        return _one(self.kind, inputs)

    def flops(self, *inputs: Shape) -> int:
        return math.prod(inputs[0])


@dataclass(frozen=True, kw_only=True)
class Relu(_ElementWise):
    """max(x, 0); its gradient at 0 is 0."""

    kind: ClassVar[str] = "relu"


@dataclass(frozen=True, kw_only=True)
class Tanh(_ElementWise):
    kind: ClassVar[str] = "tanh"


@dataclass(frozen=True, kw_only=True)
class Sigmoid(_ElementWise):
    kind: ClassVar[str] = "sigmoid"


@dataclass(frozen=True, kw_only=True)
class Softmax(_ElementWise):
    """exp(x) / sum(exp(x)) over the last axis of a vector or sequence."""

    kind: ClassVar[str] = "softmax"

    def output_shape(self, *inputs: Shape) -> Shape:
        shape = _one(self.kind, inputs)
        if len(shape) > 2:
            raise BadGraph(f"softmax takes a vector or a sequence, not {shape}; flatten it first")
        return shape

    def flops(self, *inputs: Shape) -> int:
        return 3 * math.prod(inputs[0])          # exp, sum, divide


@dataclass(frozen=True, kw_only=True)
class Dropout(_ElementWise):
    """Inverted dropout: in training an element is zeroed with probability ``rate``, the others grow by 1/(1-rate).

    Nothing happens in inference, so it has no FLOPs there.
    """

    kind: ClassVar[str] = "dropout"
    rate: float

    def output_shape(self, *inputs: Shape) -> Shape:
        if not 0 <= self.rate < 1:
            raise BadGraph(f"dropout needs a rate from 0 to below 1, not {self.rate}")
        return _one(self.kind, inputs)

    def flops(self, *inputs: Shape) -> int:
        return 0

    def training_flops(self, *inputs: Shape) -> int:
        return math.prod(inputs[0])              # one scaling

    def backward_flops(self, *inputs: Shape, needs_input_gradient: bool = True) -> int:
        return math.prod(inputs[0])

    def is_view(self, *, training: bool) -> bool:
        return not training


@dataclass(frozen=True, kw_only=True)
class LocalResponseNorm(Op):
    """y = x / (k + alpha / size * sum of x**2 over ``size`` neighbouring channels) ** beta.

    Alpha is divided by the size, as Caffe and PyTorch do (Krizhevsky 2012 prints it undivided). Size is odd;
    channels beyond the edge count as 0.
    """

    kind: ClassVar[str] = "local_response_norm"
    size: int
    alpha: float
    beta: float
    k: float

    def output_shape(self, *inputs: Shape) -> Shape:
        if self.size < 1 or self.size % 2 == 0:
            raise BadGraph(f"local_response_norm needs an odd size, not {self.size}")
        return _image(self.kind, inputs)

    def flops(self, *inputs: Shape) -> int:
        return (self.size + 5) * math.prod(inputs[0])    # square, sum, scale, shift, power, product

    def backward_flops(self, *inputs: Shape, needs_input_gradient: bool = True) -> int:
        return 2 * self.flops(*inputs) if needs_input_gradient else 0


@dataclass(frozen=True, kw_only=True)
class Add(Op):
    """Element-wise sum of two or more inputs of one shape."""

    kind: ClassVar[str] = "add"

    def output_shape(self, *inputs: Shape) -> Shape:
        if len(inputs) < 2 or len(set(inputs)) != 1:
            raise BadGraph(f"add takes two or more inputs of one shape, not {_show(inputs)}")
        return inputs[0]

    def flops(self, *inputs: Shape) -> int:
        return (len(inputs) - 1) * math.prod(inputs[0])

    def backward_flops(self, *inputs: Shape, needs_input_gradient: bool = True) -> int:
        return 0                                 # the gradient passes through

    def saved_elements(self, *inputs: Shape) -> int:
        return 0


@dataclass(frozen=True, kw_only=True)
class Concat(Op):
    """Channels of images, or features of vectors, one after another."""

    kind: ClassVar[str] = "concat"

    def output_shape(self, *inputs: Shape) -> Shape:
        if len(inputs) < 2 or len({(len(s), s[1:]) for s in inputs}) != 1 or len(inputs[0]) not in (1, 3):
            raise BadGraph(f"concat takes two or more images of one height and width, or vectors, not {_show(inputs)}")
        return (sum(shape[0] for shape in inputs), *inputs[0][1:])

    def saved_elements(self, *inputs: Shape) -> int:
        return 0


@dataclass(frozen=True, kw_only=True)
class Flatten(Op):
    """Any shape to a vector, in (channel, row, column) order."""

    kind: ClassVar[str] = "flatten"

    def output_shape(self, *inputs: Shape) -> Shape:
        return (math.prod(_one(self.kind, inputs)),)

    def saved_elements(self, *inputs: Shape) -> int:
        return 0

    def is_view(self, *, training: bool) -> bool:
        return True


@dataclass(frozen=True, kw_only=True)
class Embedding(Op):
    """Row of a table for each token: (steps,) to (steps, features)."""

    kind: ClassVar[str] = "embedding"
    vocabulary: int
    features: int

    def output_shape(self, *inputs: Shape) -> Shape:
        shape = _one(self.kind, inputs)
        if len(shape) != 1:
            raise BadGraph(f"embedding takes tokens of shape (steps,), not {shape}")
        return (*shape, self.features)

    def parameters(self, *inputs: Shape) -> tuple[Parameter, ...]:
        return (Parameter(name="weight", shape=(self.vocabulary, self.features), init="standard_normal"),)

    def saved_elements(self, *inputs: Shape) -> int:
        return math.prod(inputs[0])              # the tokens


@dataclass(frozen=True, kw_only=True)
class Lstm(Op):
    """Long short-term memory over a sequence, every step's hidden state: (steps, features) to (steps, hidden).

    i, f, g, o = split(W_input x + W_hidden h + bias), in this order; c = sigmoid(f) c + sigmoid(i) tanh(g);
    h = sigmoid(o) tanh(c); h and c start at 0. One bias only (Hochreiter and Schmidhuber 1997, with the forget gate
    of Gers et al. 2000; gate order of PyTorch and cuDNN).
    """

    kind: ClassVar[str] = "lstm"
    hidden: int

    def output_shape(self, *inputs: Shape) -> Shape:
        shape = _one(self.kind, inputs)
        if len(shape) != 2:
            raise BadGraph(f"lstm takes a sequence of shape (steps, features), not {shape}")
        return (shape[0], self.hidden)

    def parameters(self, *inputs: Shape) -> tuple[Parameter, ...]:
        gates = 4 * self.hidden
        return tuple(
            Parameter(name=name, shape=shape, init="uniform_fan_in", fan_in=self.hidden)
            for name, shape in (
                ("weight_input", (gates, inputs[0][-1])), ("weight_hidden", (gates, self.hidden)), ("bias", (gates,))
            )
        )

    def multiply_adds(self, *inputs: Shape) -> int:
        steps, features = inputs[0]
        return steps * 4 * self.hidden * (features + self.hidden)

    def flops(self, *inputs: Shape) -> int:
        # Element-wise: two sums for each gate, five functions, four products and sums.
        return 2 * self.multiply_adds(*inputs) + inputs[0][0] * 17 * self.hidden

    def saved_elements(self, *inputs: Shape) -> int:
        steps, features = inputs[0]
        return steps * (features + 6 * self.hidden)      # inputs, gates, cell and hidden states


@dataclass(frozen=True, kw_only=True)
class Reshape(Op):
    """The same elements, in (channel, row, column) or (step, feature) order, under another shape."""

    kind: ClassVar[str] = "reshape"
    shape: Shape

    def output_shape(self, *inputs: Shape) -> Shape:
        if math.prod(_one(self.kind, inputs)) != math.prod(self.shape) or not 1 <= len(self.shape) <= 3:
            raise BadGraph(f"reshape cannot make {self.shape} of {inputs[0]}")
        return self.shape

    def saved_elements(self, *inputs: Shape) -> int:
        return 0

    def is_view(self, *, training: bool) -> bool:
        return True


@dataclass(frozen=True, kw_only=True)
class Transpose(Op):
    """Axes in another order; axis 0 is the first after the batch."""

    kind: ClassVar[str] = "transpose"
    axes: tuple[int, ...]

    def output_shape(self, *inputs: Shape) -> Shape:
        shape = _one(self.kind, inputs)
        if sorted(self.axes) != list(range(len(shape))):
            raise BadGraph(f"transpose by {self.axes} does not fit {shape}")
        return tuple(shape[axis] for axis in self.axes)

    def saved_elements(self, *inputs: Shape) -> int:
        return 0


OPS: dict[str, type[Op]] = {
    op.kind: op
    for op in tuple(globals().values())
    if isinstance(op, type) and issubclass(op, Op) and "kind" in vars(op)
}
"""Every operation above by its name; the conformance test runs over this table."""
