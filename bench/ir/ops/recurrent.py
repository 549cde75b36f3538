"""Layers with a state that goes from step to step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rigmark.bench.ir.ops._base import BadGraph, Parameter, SampleOp, Shape, Tensor, of_sample, show


@dataclass(frozen=True, kw_only=True)
class _Recurrent(SampleOp):
    """Over a sequence, (steps, features) to every step's hidden state, (steps, directions x hidden).

    With 2 directions another such layer, whose parameters end in "_reverse", reads the sequence backwards; its states
    stand behind the others'. States start at 0, or as further inputs say, each of shape (directions, hidden). With
    ``final``, further outputs are the states after the last step that each direction read, in the same shape.
    """

    gates: ClassVar[int]
    states: ClassVar[int] = 1
    element_wise: ClassVar[int]              # FLOPs of a step of a hidden unit, beside products
    kept: ClassVar[int]                      # numbers of a step of a hidden unit that the backward pass reads
    hidden: int
    directions: int | None = None            # None: 1
    final: bool | None = None                # None: False

    def outputs(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        (sequence,) = super().outputs(*inputs)
        if sequence.shape[0] != 1:
            raise BadGraph(f"{self.kind} takes one sequence for each sample, not {sequence.shape[0]}")
        return (sequence, *[of_sample(self._state)] * (self.states if self.final else 0))

    def output_shape(self, *inputs: Shape) -> Shape:
        sequence, *states = inputs or ((),)
        if len(sequence) != 2:
            raise BadGraph(f"{self.kind} takes a sequence of shape (steps, features), not {sequence}")
        if self.directions not in (None, 1, 2) or self.hidden < 1:
            raise BadGraph(f"{self.kind} has 1 or 2 directions and at least 1 hidden unit, not {self.directions} and "
                           f"{self.hidden}")
        if states and states != [self._state] * self.states:
            raise BadGraph(f"{self.kind} takes {self.states} states of {self._state} or none, not "
                           f"{show(tuple(states))}")
        return (sequence[0], self._directions * self.hidden)

    @property
    def _directions(self) -> int:
        return self.directions or 1

    @property
    def _state(self) -> Shape:
        return self._directions, self.hidden

    def parameters(self, *inputs: Shape) -> tuple[Parameter, ...]:
        return tuple(
            Parameter(name=name + suffix, shape=shape, init="uniform_fan_in", fan_in=self.hidden)
            for suffix in ("", "_reverse")[:self._directions]
            for name, shape in self._shapes(inputs[0][-1]).items()
        )

    def _shapes(self, features: int) -> dict[str, Shape]:
        """Of the parameters of one direction."""
        rows = self.gates * self.hidden
        return {"weight_input": (rows, features), "weight_hidden": (rows, self.hidden), "bias": (rows,)}

    def multiply_adds(self, *inputs: Shape) -> int:
        steps, features = inputs[0]
        return self._directions * steps * self.gates * self.hidden * (features + self.hidden)

    def flops(self, *inputs: Shape) -> int:
        return 2 * self.multiply_adds(*inputs) + self._directions * inputs[0][0] * self.element_wise * self.hidden

    def saved_elements(self, *inputs: Shape) -> int:
        steps, features = inputs[0]
        return steps * (features + self._directions * self.kept * self.hidden)


@dataclass(frozen=True, kw_only=True)
class Lstm(_Recurrent):
    """Long short-term memory.

    i, f, g, o = split(W_input x + W_hidden h + bias), in this order; c = sigmoid(f) c + sigmoid(i) tanh(g);
    h = sigmoid(o) tanh(c). Its states are h and c. One bias only (Hochreiter and Schmidhuber 1997, with the forget gate
    of Gers et al. 2000; gate order of PyTorch and cuDNN).
    """

    kind: ClassVar[str] = "lstm"
    gates: ClassVar[int] = 4
    states: ClassVar[int] = 2
    element_wise: ClassVar[int] = 17         # two sums for each gate, five functions, four products and sums
    kept: ClassVar[int] = 6                  # gates, cell and hidden states


@dataclass(frozen=True, kw_only=True)
class Gru(_Recurrent):
    """Gated recurrent unit (Cho et al. 2014), gates r, z, n in this order, as PyTorch and cuDNN have them.

    r and z = sigmoid(W_input x + bias + W_hidden h); h = (1 - z) n + z h, where n = tanh(W_input x + bias +
    r (W_hidden h + bias_hidden)) with ``reset_after``, as in PyTorch, cuDNN, Keras and ONNX with linear_before_reset;
    ``bias_hidden`` is then added for r and z as well. Else n = tanh(W_input x + bias + W_hidden (r h)), as in the
    paper, with one bias only.
    """

    kind: ClassVar[str] = "gru"
    gates: ClassVar[int] = 3
    kept: ClassVar[int] = 5                  # gates, what r multiplies, and hidden states
    reset_after: bool = True

    @property
    def element_wise(self) -> int:           # type: ignore[override]
        # Sums of each gate, three functions, a product with r, and four for the mean that z weights.
        return 3 * (3 if self.reset_after else 2) + 3 + 1 + 4

    def _shapes(self, features: int) -> dict[str, Shape]:
        further = {"bias_hidden": (3 * self.hidden,)} if self.reset_after else {}
        return {**super()._shapes(features), **further}


@dataclass(frozen=True, kw_only=True)
class Rnn(_Recurrent):
    """h = tanh(W_input x + bias + W_hidden h) (Elman 1990), or with max(., 0) in place of tanh."""

    kind: ClassVar[str] = "rnn"
    gates: ClassVar[int] = 1
    element_wise: ClassVar[int] = 3
    kept: ClassVar[int] = 1
    relu: bool = False
