"""Comparisons of elements, and the choice between two values that follows from one."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

from rigmark.bench.ir.ops._base import BadGraph, Op, Shape, Tensor, all_of, broadcast, describe


@dataclass(frozen=True, kw_only=True)
class _Comparison(Op):
    def outputs(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        all_of(self.kind, "float", inputs, 2)
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
class Equal(_Comparison):
    """True where both inputs are equal."""

    kind: ClassVar[str] = "equal"


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
