"""Softmax and attention."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from rigmark.bench.ir.ops._base import BadGraph, Op, SampleOp, Shape, Tensor, all_of, broadcast, describe, one


@dataclass(frozen=True, kw_only=True)
class Softmax(SampleOp):
    """exp(x) / sum(exp(x)) over the last axis."""

    kind: ClassVar[str] = "softmax"
    backward_reads: ClassVar[tuple[str, ...]] = ("outputs",)

    def output_shape(self, *inputs: Shape) -> Shape:
        shape = one(self.kind, inputs)
        if not shape:
            raise BadGraph(f"{self.kind} takes samples with features, not numbers")
        return shape

    def flops(self, *inputs: Shape) -> int:
        return 3 * math.prod(inputs[0])          # exp, sum, divide


@dataclass(frozen=True, kw_only=True)
class LogSoftmax(Softmax):
    """The logarithm of softmax."""

    kind: ClassVar[str] = "log_softmax"


@dataclass(frozen=True, kw_only=True)
class Attention(Op):
    """softmax(query key^T / sqrt(features)) value (Vaswani et al. 2017), of inputs (batch, heads, steps, features).

    With ``causal`` a query sees keys up to its own step only; FLOPs are of the pairs that are seen. A fourth input is
    a mask that broadcasts to (batch, heads, queries, keys): bool, True where a key is seen, or float, which is added
    before the softmax. Key and value may have fewer heads, each of which serves as many neighbouring heads of the query
    (Ainslie et al. 2023, grouped queries).
    """

    kind: ClassVar[str] = "attention"
    backward_reads: ClassVar[tuple[str, ...]] = ("inputs", "outputs")
    causal: bool = False
    scale: float | None = None       # of the products, in place of 1 / sqrt(features)

    def outputs(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        if len(inputs) not in (3, 4):
            raise BadGraph(f"attention takes query, key, value and perhaps a mask, not {len(inputs)} inputs")
        all_of(self.kind, "float", inputs[:3])
        query, key, value = inputs[:3]
        shapes = {(x.shape[0], x.batch, len(x.shape)) for x in (query, key, value)}
        if len(shapes) > 1 or query.batch != 0 or len(query.shape) != 4:
            raise BadGraph(f"attention takes inputs of (heads, steps, features), not {describe(inputs)}")
        if key.shape[1] != value.shape[1] or query.shape[1] % key.shape[1]:
            raise BadGraph(f"attention needs as many heads in key and value, and a multiple of them in query, not "
                           f"{describe(inputs)}")
        if query.shape[3] != key.shape[3] or key.shape[2] != value.shape[2]:
            raise BadGraph(f"attention needs as many features in query and key, and steps in key and value, not "
                           f"{describe(inputs)}")
        if self.causal and query.shape[2] != key.shape[2]:
            raise BadGraph(f"causal attention needs as many queries as keys, not {describe(inputs)}")
        self._refuse_mask(query, key, inputs[3:])
        return (Tensor(shape=(*query.shape[:3], value.shape[3])),)

    def _refuse_mask(self, query: Tensor, key: Tensor, masks: tuple[Tensor, ...]) -> None:
        pairs = Tensor(shape=(*query.shape[:3], key.shape[2]))
        for mask in masks:
            if self.causal:
                raise BadGraph("attention takes a mask or is causal, not both; let the mask say what is seen")
            if mask.dtype not in ("bool", "float") or broadcast(self.kind, (pairs, mask)).shape != pairs.shape:
                raise BadGraph(f"attention's mask must broadcast to {pairs.sample}, which {mask.shape} does not")

    def _pairs(self, query: Shape, key: Shape) -> int:
        steps, seen = query[2], key[2]
        return query[1] * (steps * (steps + 1) // 2 if self.causal else steps * seen)

    def multiply_adds(self, *inputs: Shape) -> int:
        query, key, value = inputs[:3]
        return self._pairs(query, key) * (query[3] + value[3])

    def flops(self, *inputs: Shape) -> int:
        # Scale, exponential, sum, division; and a mask's sum or choice.
        return 2 * self.multiply_adds(*inputs) + (1 + len(inputs)) * self._pairs(inputs[0], inputs[1])

    def saved(self, batch: int, *inputs: Tensor) -> int:
        """Of a fused kernel, which computes the pairs again: inputs and output."""
        return sum(value.elements(batch) for value in (*inputs, *self.outputs(*inputs)))


@dataclass(frozen=True, kw_only=True)
class Rotary(Op):
    """Pairs of features turned by an angle that grows with the step (Su et al. 2021), of (..., steps, features).

    Pair i of step s turns by s * base ** (-2 i / features). Pairs are the first half of the features with the second,
    as in Llama, or neighbours with ``interleaved``, as in the paper.
    """

    kind: ClassVar[str] = "rotary"
    base: float = 10000.0
    interleaved: bool = False

    def outputs(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        all_of(self.kind, "float", inputs, 1)
        value, rank = inputs[0], len(inputs[0].shape)
        if rank < 2 or value.batch in (rank - 2, rank - 1) or value.shape[-1] % 2 or self.base <= 0:
            raise BadGraph(f"rotary takes an even number of features behind steps, and a positive base, not "
                           f"{describe(inputs)} and {self.base}")
        return (value,)

    def flops(self, *inputs: Shape) -> int:
        return 3 * math.prod(inputs[0])          # two products and a sum

    def saved(self, batch: int, *inputs: Tensor) -> int:
        return 0
