"""Layers with a state that goes from step to step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rigmark.bench.ir.ops._base import BadGraph, Parameter, SampleOp, Shape, one


@dataclass(frozen=True, kw_only=True)
class Lstm(SampleOp):
    """Long short-term memory over a sequence, every step's hidden state: (steps, features) to (steps, hidden).

    i, f, g, o = split(W_input x + W_hidden h + bias), in this order; c = sigmoid(f) c + sigmoid(i) tanh(g);
    h = sigmoid(o) tanh(c); h and c start at 0. One bias only (Hochreiter and Schmidhuber 1997, with the forget gate
    of Gers et al. 2000; gate order of PyTorch and cuDNN).
    """

    kind: ClassVar[str] = "lstm"
    hidden: int

    def output_shape(self, *inputs: Shape) -> Shape:
        shape = one(self.kind, inputs)
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
