"""Values that come from no other layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rigmark.bench.ir.ops._base import BadGraph, Op, Parameter, Shape, Tensor


@dataclass(frozen=True, kw_only=True)
class ParameterValue(Op):
    """A parameter as a value that all samples share: position embeddings, or a constant where it is not trained."""

    kind: ClassVar[str] = "parameter"
    shape: Shape
    init: str
    is_trainable: bool = True

    def outputs(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        if inputs or not self.shape:
            raise BadGraph(f"a parameter has a shape and takes no inputs, not {self.shape} and {len(inputs)}")
        return (Tensor(shape=self.shape, batch=None),)

    def parameters(self, *inputs: Shape) -> tuple[Parameter, ...]:
        return (Parameter(name="value", shape=self.shape, init=self.init, is_trainable=self.is_trainable),)

    def is_view(self, *, training: bool) -> bool:
        return True                              # its reader reads it
