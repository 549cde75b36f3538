"""Functions of each element, and of elements that broadcasting brings together."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from rigmark.bench.ir.ops._base import (
    BadGraph,
    Op,
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


@dataclass(frozen=True, kw_only=True)
class Clip(_Unary):
    """min(max(x, low), high); the gradient is 0 outside."""

    kind: ClassVar[str] = "clip"
    work: ClassVar[int] = 2
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Tanh(_Unary):
    kind: ClassVar[str] = "tanh"


@dataclass(frozen=True, kw_only=True)
class Sigmoid(_Unary):
    kind: ClassVar[str] = "sigmoid"


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
class Exp(_Unary):
    kind: ClassVar[str] = "exp"


@dataclass(frozen=True, kw_only=True)
class Log(_Unary):
    """The natural logarithm."""

    kind: ClassVar[str] = "log"


@dataclass(frozen=True, kw_only=True)
class Sqrt(_Unary):
    kind: ClassVar[str] = "sqrt"


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
    rate: float

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
    count: ClassVar[int | None] = 2

    def outputs(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        all_of(self.kind, "float", inputs, self.count)
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
