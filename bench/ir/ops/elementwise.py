"""Functions of each element, and of elements that broadcasting brings together."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from rigmark.bench.ir.ops._base import (
    BadGraph,
    Op,
    Parameter,
    SampleOp,
    Shape,
    Tensor,
    all_of,
    broadcast,
    one,
)


@dataclass(frozen=True, kw_only=True)
class _Unary(Op):
    work: ClassVar[int] = 1      # FLOPs of an element

    def outputs(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        value = one(self.kind, inputs)
        all_of(self.kind, "float", inputs)
        return (value,)

    def flops(self, *inputs: Shape) -> int:
        return self.work * math.prod(inputs[0])

    def saved(self, batch: int, *inputs: Tensor) -> int:
        return inputs[0].elements(batch)


@dataclass(frozen=True, kw_only=True)
class Relu(_Unary):
    """max(x, 0); its gradient at 0 is 0."""

    kind: ClassVar[str] = "relu"
    backward_reads: ClassVar[tuple[str, ...]] = ("outputs",)
    may_overwrite: ClassVar[bool] = True


@dataclass(frozen=True, kw_only=True)
class Clip(_Unary):
    """min(max(x, low), high); the gradient is 0 outside."""

    kind: ClassVar[str] = "clip"
    work: ClassVar[int] = 2
    low: float | None = None     # None: no bound
    high: float | None = None


@dataclass(frozen=True, kw_only=True)
class Tanh(_Unary):
    kind: ClassVar[str] = "tanh"
    backward_reads: ClassVar[tuple[str, ...]] = ("outputs",)


@dataclass(frozen=True, kw_only=True)
class Sigmoid(_Unary):
    kind: ClassVar[str] = "sigmoid"
    backward_reads: ClassVar[tuple[str, ...]] = ("outputs",)


@dataclass(frozen=True, kw_only=True)
class Gelu(_Unary):
    """x times the normal distribution at x (Hendrycks and Gimpel 2016): x / 2 * (1 + erf(x / sqrt(2))).

    ``tanh``: their approximation x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x ** 3))), as GPT-2 has it.
    """

    kind: ClassVar[str] = "gelu"
    tanh: bool = False

    def flops(self, *inputs: Shape) -> int:
        return (9 if self.tanh else 5) * math.prod(inputs[0])


@dataclass(frozen=True, kw_only=True)
class Silu(_Unary):
    """x * sigmoid(x), also called swish."""

    kind: ClassVar[str] = "silu"
    work: ClassVar[int] = 2


@dataclass(frozen=True, kw_only=True)
class LeakyRelu(_Unary):
    """x where it is above 0, else slope * x (Maas, Hannun and Ng 2013)."""

    kind: ClassVar[str] = "leaky_relu"
    work: ClassVar[int] = 2
    slope: float = 0.01


@dataclass(frozen=True, kw_only=True)
class PRelu(SampleOp):
    """x where it is above 0, else a learned slope times x (He et al. 2015): one slope per channel, or one for all.

    Channels are the first axis of a sample.
    """

    kind: ClassVar[str] = "prelu"
    is_shared: bool = False

    def output_shape(self, *inputs: Shape) -> Shape:
        shape = one(self.kind, inputs)
        if not shape:
            raise BadGraph("prelu takes samples with channels, not numbers")
        return shape

    def parameters(self, *inputs: Shape) -> tuple[Parameter, ...]:
        return (Parameter(name="slope", shape=(1,) if self.is_shared else inputs[0][:1], init="quarter"),)

    def flops(self, *inputs: Shape) -> int:
        return 2 * math.prod(inputs[0])

    def backward_flops(self, *inputs: Shape, needs_input_gradient: bool = True) -> int:
        # A product and a sum for the slopes, a product for the input.
        return (4 if needs_input_gradient else 2) * math.prod(inputs[0])


@dataclass(frozen=True, kw_only=True)
class Elu(_Unary):
    """x where it is above 0, else alpha * (exp(x) - 1) (Clevert, Unterthiner and Hochreiter 2016)."""

    kind: ClassVar[str] = "elu"
    work: ClassVar[int] = 3
    alpha: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Selu(_Unary):
    """1.0507... times an ELU whose alpha is 1.6732... (Klambauer et al. 2017)."""

    kind: ClassVar[str] = "selu"
    work: ClassVar[int] = 4


@dataclass(frozen=True, kw_only=True)
class Softplus(_Unary):
    """log(1 + exp(x))."""

    kind: ClassVar[str] = "softplus"
    work: ClassVar[int] = 3


@dataclass(frozen=True, kw_only=True)
class HardSigmoid(_Unary):
    """min(max(alpha * x + beta, 0), 1); MobileNet v3 has alpha = 1/6, ONNX and Keras 2 have 0.2 unless told."""

    kind: ClassVar[str] = "hard_sigmoid"
    work: ClassVar[int] = 4
    alpha: float = 1 / 6
    beta: float = 0.5


@dataclass(frozen=True, kw_only=True)
class HardSwish(_Unary):
    """x * min(max(x / 6 + 1 / 2, 0), 1) (Howard et al. 2019)."""

    kind: ClassVar[str] = "hard_swish"
    work: ClassVar[int] = 5


@dataclass(frozen=True, kw_only=True)
class Power(_Unary):
    """x to a constant power; x is positive unless the power is a whole number."""

    kind: ClassVar[str] = "power"
    exponent: float


@dataclass(frozen=True, kw_only=True)
class Reciprocal(_Unary):
    """1 / x."""

    kind: ClassVar[str] = "reciprocal"


@dataclass(frozen=True, kw_only=True)
class Erf(_Unary):
    """The error function."""

    kind: ClassVar[str] = "erf"


@dataclass(frozen=True, kw_only=True)
class Exp(_Unary):
    kind: ClassVar[str] = "exp"
    backward_reads: ClassVar[tuple[str, ...]] = ("outputs",)


@dataclass(frozen=True, kw_only=True)
class Log(_Unary):
    """The natural logarithm."""

    kind: ClassVar[str] = "log"


@dataclass(frozen=True, kw_only=True)
class Sqrt(_Unary):
    kind: ClassVar[str] = "sqrt"
    backward_reads: ClassVar[tuple[str, ...]] = ("outputs",)


@dataclass(frozen=True, kw_only=True)
class Abs(_Unary):
    """The gradient at 0 is 0."""

    kind: ClassVar[str] = "abs"


@dataclass(frozen=True, kw_only=True)
class Negative(_Unary):
    kind: ClassVar[str] = "negative"


@dataclass(frozen=True, kw_only=True)
class Sin(_Unary):
    kind: ClassVar[str] = "sin"


@dataclass(frozen=True, kw_only=True)
class Cos(_Unary):
    kind: ClassVar[str] = "cos"


@dataclass(frozen=True, kw_only=True)
class Dropout(SampleOp):
    """Inverted dropout: in training an element is zeroed with probability ``rate``, the others grow by 1/(1-rate).

    Nothing happens in inference, so it has no FLOPs there.
    """

    kind: ClassVar[str] = "dropout"
    backward_reads: ClassVar[tuple[str, ...]] = ()       # but a mask
    rate: float

    def outputs(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        if self.rows(*inputs) > 1:
            raise BadGraph(f"dropout draws a mask for each sample, of which {inputs[0].shape} has many rows; regroup "
                           "it to one before")
        return super().outputs(*inputs)

    def output_shape(self, *inputs: Shape) -> Shape:
        if not 0 <= self.rate < 1:
            raise BadGraph(f"dropout needs a rate from 0 to below 1, not {self.rate}")
        return one(self.kind, inputs)

    def flops(self, *inputs: Shape) -> int:
        return 0

    def training_flops(self, *inputs: Shape) -> int:
        return math.prod(inputs[0])              # one scaling

    def backward_flops(self, *inputs: Shape, needs_input_gradient: bool = True) -> int:
        return math.prod(inputs[0])

    def is_view(self, *, training: bool) -> bool:
        return not training


@dataclass(frozen=True, kw_only=True)
class _Broadcast(Op):
    takes: ClassVar[tuple[str, ...]] = ("float", "int64")    # all inputs are of one of these
    count: ClassVar[int | None] = 2

    def outputs(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        dtype = inputs[0].dtype if inputs and inputs[0].dtype in self.takes else self.takes[0]
        all_of(self.kind, dtype, inputs, self.count)
        return (broadcast(self.kind, inputs),)

    def flops(self, *inputs: Shape) -> int:
        return (len(inputs) - 1) * _result(inputs)

    def backward_flops(self, *inputs: Shape, needs_input_gradient: bool = True) -> int:
        # One product for the gradient of each input, and the sum over what was broadcast.
        return 2 * _result(inputs) + _summed(inputs)

    def saved(self, batch: int, *inputs: Tensor) -> int:
        return sum(value.elements(batch) for value in inputs)


def _result(inputs: tuple[Shape, ...]) -> int:
    rank = max(map(len, inputs))
    return math.prod(map(max, zip(*((1,) * (rank - len(shape)) + shape for shape in inputs), strict=True)))


def _summed(inputs: tuple[Shape, ...]) -> int:
    """Additions by which the gradients of broadcast inputs come back to their shapes."""
    result = _result(inputs)
    return sum(result for shape in inputs if math.prod(shape) < result)


@dataclass(frozen=True, kw_only=True)
class _Sum(_Broadcast):
    def backward_flops(self, *inputs: Shape, needs_input_gradient: bool = True) -> int:
        return _summed(inputs)                   # the gradient passes through

    def saved(self, batch: int, *inputs: Tensor) -> int:
        return 0


@dataclass(frozen=True, kw_only=True)
class Add(_Sum):
    """Sum of two or more inputs."""

    kind: ClassVar[str] = "add"
    may_overwrite: ClassVar[bool] = True
    count: ClassVar[int | None] = None

    def outputs(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        if len(inputs) < 2:
            raise BadGraph(f"add takes two or more inputs, not {len(inputs)}")
        return super().outputs(*inputs)


@dataclass(frozen=True, kw_only=True)
class Subtract(_Sum):
    """The first input less the second."""

    kind: ClassVar[str] = "subtract"


@dataclass(frozen=True, kw_only=True)
class Multiply(_Broadcast):
    """Product of two inputs, element by element."""

    kind: ClassVar[str] = "multiply"


@dataclass(frozen=True, kw_only=True)
class Divide(_Broadcast):
    """The first input by the second."""

    kind: ClassVar[str] = "divide"
    takes: ClassVar[tuple[str, ...]] = ("float",)

    def backward_flops(self, *inputs: Shape, needs_input_gradient: bool = True) -> int:
        return 4 * _result(inputs) + _summed(inputs)     # g / b, and the same times -a / b


@dataclass(frozen=True, kw_only=True)
class Maximum(_Broadcast):
    """The larger of two inputs; of equal ones the gradient is not defined, and frameworks differ."""

    kind: ClassVar[str] = "maximum"


@dataclass(frozen=True, kw_only=True)
class Minimum(_Broadcast):
    """The smaller of two inputs; of equal ones the gradient is not defined, and frameworks differ."""

    kind: ClassVar[str] = "minimum"
