"""Comparisons of elements, logic of their results, the choice between two values, and other kinds of numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

from rigmark.bench.ir.ops._base import BadGraph, Op, Shape, Tensor, all_of, broadcast, describe, one


@dataclass(frozen=True, kw_only=True)
class _Comparison(Op):
    takes: ClassVar[tuple[str, ...]] = ("float", "int64")
    count: ClassVar[int] = 2

    def outputs(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        dtype = inputs[0].dtype if inputs and inputs[0].dtype in self.takes else self.takes[0]
        all_of(self.kind, dtype, inputs, self.count)
        return (replace(broadcast(self.kind, inputs), dtype="bool"),)

    def flops(self, *inputs: Shape) -> int:
        return max(map(math.prod, inputs))

    def backward_flops(self, *inputs: Shape, needs_input_gradient: bool = True) -> int:
        return 0

    def saved(self, batch: int, *inputs: Tensor) -> int:
        return 0


@dataclass(frozen=True, kw_only=True)
class Greater(_Comparison):
    """True where the first input is greater than the second."""

    kind: ClassVar[str] = "greater"


@dataclass(frozen=True, kw_only=True)
class Less(_Comparison):
    """True where the first input is less than the second."""

    kind: ClassVar[str] = "less"


@dataclass(frozen=True, kw_only=True)
class GreaterEqual(_Comparison):
    """True where the first input is not less than the second."""

    kind: ClassVar[str] = "greater_equal"


@dataclass(frozen=True, kw_only=True)
class LessEqual(_Comparison):
    """True where the first input is not greater than the second."""

    kind: ClassVar[str] = "less_equal"


@dataclass(frozen=True, kw_only=True)
class Equal(_Comparison):
    """True where both inputs are equal."""

    kind: ClassVar[str] = "equal"


@dataclass(frozen=True, kw_only=True)
class _Logical(_Comparison):
    takes: ClassVar[tuple[str, ...]] = ("bool",)


@dataclass(frozen=True, kw_only=True)
class And(_Logical):
    """True where both inputs are."""

    kind: ClassVar[str] = "and"


@dataclass(frozen=True, kw_only=True)
class Or(_Logical):
    """True where one of two inputs is, or both."""

    kind: ClassVar[str] = "or"


@dataclass(frozen=True, kw_only=True)
class Not(_Logical):
    """True where the input is False."""

    kind: ClassVar[str] = "not"
    count: ClassVar[int] = 1


@dataclass(frozen=True, kw_only=True)
class Cast(Op):
    """The same numbers as another kind: floats toward zero as integers, all but 0 as True, True as 1.

    Gradients pass from floats to floats only, so not through this.
    """

    kind: ClassVar[str] = "cast"
    to: str                      # "float", "int64" or "bool"

    def outputs(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        value = one(self.kind, inputs)
        if self.to not in ("float", "int64", "bool") or self.to == value.dtype:
            raise BadGraph(f"cast makes float, int64 or bool of another of these, not {self.to} of {value.dtype}")
        return (replace(value, dtype=self.to),)

    def backward_flops(self, *inputs: Shape, needs_input_gradient: bool = True) -> int:
        return 0

    def saved(self, batch: int, *inputs: Tensor) -> int:
        return 0


@dataclass(frozen=True, kw_only=True)
class Where(Op):
    """The second input where the first, of bool, is True, else the third; they broadcast."""

    kind: ClassVar[str] = "where"

    def outputs(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        if len(inputs) != 3 or inputs[0].dtype != "bool" or inputs[1].dtype != inputs[2].dtype:
            raise BadGraph(f"where takes a bool and two values of one dtype, not {describe(inputs)}")
        return (replace(broadcast(self.kind, inputs), dtype=inputs[1].dtype),)

    def saved(self, batch: int, *inputs: Tensor) -> int:
        return inputs[0].elements(batch)
