"""How a causal language model answers token by token, which follows from its graph.

Every value has the axis along which its tokens lie, or none if all tokens share it. An operation that keeps tokens
apart runs on any number of them; causal attention reads the keys and values of earlier tokens from a cache; and a value
for each position, such as a table of position embeddings, is read from the position of the first token on. A graph in
which tokens meet in any other way has no such form, and is refused with the layer where they do.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from rigmark.bench.ir.building import Builder
from rigmark.bench.ir.graph import Graph, Layer
from rigmark.bench.ir.ops import BadGraph, Op, Tensor
from rigmark.bench.ir.ops.arrangement import Concat, Reshape, Slice, Split, Transpose
from rigmark.bench.ir.ops.attention import Attention, Softmax
from rigmark.bench.ir.ops.comparison import Where
from rigmark.bench.ir.ops.elementwise import Dropout, _Broadcast, _Unary
from rigmark.bench.ir.ops.lookup import Embedding, Gather
from rigmark.bench.ir.ops.normalisation import _FeatureNorm
from rigmark.bench.ir.ops.products import Dense, Matmul
from rigmark.bench.ir.ops.reduction import _Reduction

TOKENS = 1                   # the axis of the tokens in the input and in the scores

CACHED_ATTENTION, POSITIONS = "cached_attention", "positions"
"""The operations that only parts of a generation have; see Decoding.part."""


@dataclass(frozen=True, kw_only=True)
class Decoding:
    """A causal language model that can be run on any number of tokens."""

    graph: Graph
    most_tokens: int | None          # that its tables of positions have room for; None: any number

    def refuse(self, prompt: int, generated: int) -> None:
        """Raises BadGraph if the model has no positions for so many tokens."""
        needed = prompt + generated - 1      # nothing follows the last token, so it is never read
        if self.most_tokens is not None and needed > self.most_tokens:
            raise BadGraph(f"{self.graph.name} has positions for {self.most_tokens} tokens, and {generated} tokens "
                           f"after a prompt of {prompt} need {needed}; ask for fewer")

    def of_length(self, tokens: int) -> Graph:
        """The model on so many tokens at once, without a cache; parameters have the same keys."""
        return _Walk(self.graph, tokens).built()

    def of_prompt(self, tokens: int) -> Graph:
        """The same, with the scores of the last token alone."""
        return _Walk(self.graph, tokens, scores_all=False).built()

    def cached(self, tokens: int) -> int:
        """How many numbers the keys and values of so many tokens are, in all layers of one sequence."""
        layers = [layer for layer in self.of_prompt(tokens).layers if isinstance(layer.op, Attention)]
        return sum(value.elements(1) for layer in layers for value in layer.input_tensors[1:3])

    def part(self, tokens: int, capacity: int) -> dict[str, Any]:
        """The plain form of what computes the scores of the last of so many new tokens, with a cache.

        Attention is "cached_attention", which appends the keys and values that it is given to a cache with room for
        ``capacity`` tokens, and lets each query see all up to its own. "positions" is the part of a value along "axis"
        from "start" + the number of tokens before, "count" long.
        """
        walk = _Walk(self.graph, tokens, scores_all=False)
        plain = walk.built().plain()
        for layer in plain["layers"]:
            if layer["op"] == Attention.kind:
                layer.update(op=CACHED_ATTENTION, attributes={**layer["attributes"], "capacity": capacity})
            elif layer["name"] in walk.positions:
                axis, start = layer["attributes"]["axis"], layer["attributes"]["start"]
                layer.update(op=POSITIONS, attributes={"axis": axis, "start": start, "count": tokens})
        return plain

    def flops_per_sample(self, prompt: int, generated: int) -> int:
        """FLOPs of one sequence: each token once, and scores only where a token is chosen."""
        whole = self.of_length(prompt + generated - 1)
        last = whole.layers[-1]
        scores = last.op.flops(*last.input_shapes) if isinstance(last.op, Dense) else 0
        return whole.flops_per_sample(training=False) - scores * (prompt - 1) // (prompt + generated - 1)


def decoding(graph: Graph) -> Decoding:
    """Raises BadGraph with a sentence if the graph is no causal language model."""
    if len(graph.inputs) > 1:
        names = ", ".join(each.name for each in graph.inputs)
        raise BadGraph(f"{graph.name} does not generate text: it takes {names}, and not its own tokens alone; use "
                       "--mode inference")
    vocabulary = graph.input.vocabulary
    if vocabulary is None or len(graph.outputs) > 1 or graph.output_shape != (*graph.input.shape, vocabulary):
        raise BadGraph(f"{graph.name} does not generate text: it does not score the next of its tokens at every step; "
                       "use --mode inference or a causal language model such as gpt2")
    (tokens,) = graph.input.shape
    if tokens < 2:
        raise BadGraph(f"{graph.name} takes a single token, so what depends on positions cannot be told; give its "
                       "graph two steps or more")
    walk = _Walk(graph, tokens)
    walk.built()
    return Decoding(graph=graph, most_tokens=min(walk.room, default=None))


Places = Sequence[int | None]        # the axis of the tokens in each input; None: all tokens share it


@dataclass
class _Walk:
    """The layers of a graph, written again for another number of tokens."""

    graph: Graph
    tokens: int
    scores_all: bool = True          # else only those of the last token
    room: list[int] = field(default_factory=list)                # tokens that each table of positions has room for
    positions: dict[str, str] = field(default_factory=dict)      # layers that read one, and of which value

    def built(self) -> Graph:
        (self.before,) = self.graph.input.shape
        given = self.graph.input
        self.net = Builder(self.graph.name)
        self.net.add_input(replace(given, shape=(self.tokens,)))
        self.values = {given.name: given.tensor} | {
            name: value for layer in self.graph.layers for name, value in _values(layer).items()
        }
        self.places: dict[str, int | None] = {given.name: TOKENS}
        self.written: set[str] = {given.name}
        for layer in self.graph.layers:
            if any(self.places.get(name) is not None for name in layer.inputs):
                self._write_of_tokens(layer)
        name = self.graph.layers[-1].name
        if self.places.get(name) != TOKENS:
            raise BadGraph(f"{self.graph.name}: its scores do not follow from its tokens, so it cannot generate any")
        if not self.scores_all and not isinstance(self.graph.layers[-1].op, Dense):
            self._write_last(name)
        return self.net.build(loss=self.graph.loss, optimizer=self.graph.optimizer)

    def _write_of_tokens(self, layer: Layer) -> None:
        places = [self.places.get(name) for name in layer.inputs]
        op, place = self._rule(layer)(self, layer, places)
        inputs = [self._input(layer, index, places) for index in range(len(layer.inputs))]
        if layer is self.graph.layers[-1] and not self.scores_all and isinstance(op, Dense):
            inputs = [self._write_last(inputs[0])]
        self.net.add_layer(layer.name, op, inputs, shares=dict(layer.shares))
        for name in _values(layer):
            self.places[name] = place
            self.written.add(name)

    def _write_last(self, name: str) -> str:
        """The value for the last token alone."""
        if self.tokens == 1:
            return name
        last = Slice(axis=TOKENS, start=self.tokens - 1, stop=self.tokens)
        return self.net.add_layer(f"{name.replace(':', '.')}.last", last, name)

    def _input(self, layer: Layer, index: int, places: Places) -> str:
        """What a layer reads: a value of tokens, one that they share, or the rows of one for their positions."""
        name = layer.inputs[index]
        if places[index] is not None:
            return name
        axis = self._axis_of_positions(layer, index, places)
        return self._shared(name) if axis is None else self._of_positions(name, axis)

    def _axis_of_positions(self, layer: Layer, index: int, places: Places) -> int | None:
        """The axis along which a value that is the same for all tokens has one entry for each; None if it has none."""
        if not isinstance(layer.op, _Broadcast | Where):
            return None
        value = layer.input_tensors[index]
        axis = len(value.shape) - _from_end(layer, places)
        return axis if axis >= 0 and value.shape[axis] == self.before else None

    def _shared(self, name: str) -> str:
        """A value that no token decides, with the layers that give it."""
        if name not in self.written:
            layer = self.graph[name.partition(":")[0]]
            for each in layer.inputs:
                self._shared(each)
            self.net.add_layer(layer.name, layer.op, layer.inputs, shares=dict(layer.shares))
            self.written.update(_values(layer))
        return name

    def _of_positions(self, name: str, axis: int) -> str:
        """The rows for the positions of the tokens, of a whole table where the graph reads its first rows."""
        layer, source, start = self.graph[name.partition(":")[0]], name, 0
        if isinstance(layer.op, Slice) and layer.op.axis % len(layer.outputs[0].shape) == axis:
            source, start = layer.inputs[0], layer.op.start
        own = name if source != name else f"{name.replace(':', '.')}.of_positions"
        self.room.append(self.values[source].shape[axis] - start)
        if own not in self.positions:
            self.positions[own] = source
            if self.tokens > self.room[-1]:
                raise BadGraph(f"{self.graph.name} has positions for {self.room[-1]} tokens, not {self.tokens}")
            rows = Slice(axis=axis, start=start, stop=start + self.tokens)
            self.net.add_layer(own, rows, self._shared(source))
            self.written.add(own)
        return own

    def _rule(self, layer: Layer) -> Rule:
        for kinds, rule in RULES.items():
            if isinstance(layer.op, kinds):
                return rule
        raise self.refusal(layer, "has no form that takes one token after the other")

    def refusal(self, layer: Layer, why: str) -> BadGraph:
        return BadGraph(f"{self.graph.name} does not generate text token by token: {layer.op.kind} in layer "
                        f"'{layer.name}' {why}; use --mode inference")


def _values(layer: Layer) -> dict[str, Tensor]:
    return {layer.name if index == 0 else f"{layer.name}:{index}": value for index, value in enumerate(layer.outputs)}


# Rules: the operation for another number of tokens, and the axis of the tokens in its outputs -----------------------

Rule = Callable[[_Walk, Layer, Places], tuple[Op, int]]
MIXES = "brings different tokens together"


def _only(walk: _Walk, layer: Layer, places: Places) -> int:
    """The axis of the tokens in the one input."""
    (place,) = places
    assert place is not None
    return place


def _unchanged(walk: _Walk, layer: Layer, places: Places) -> tuple[Op, int]:
    return layer.op, _only(walk, layer, places)


def _along_features(walk: _Walk, layer: Layer, places: Places) -> tuple[Op, int]:
    place = _only(walk, layer, places)
    if place == len(layer.input_tensors[0].shape) - 1:
        raise walk.refusal(layer, MIXES)
    return layer.op, place


def _along_axis(walk: _Walk, layer: Layer, places: Places) -> tuple[Op, int]:
    place, rank = _only(walk, layer, places), len(layer.input_tensors[0].shape)
    axis = layer.op.attributes()["axis"]
    if axis % rank == place:
        raise walk.refusal(layer, MIXES)
    return layer.op, place


def _embedding(walk: _Walk, layer: Layer, places: Places) -> tuple[Op, int]:
    return layer.op, _only(walk, layer, places)


def _reshape(walk: _Walk, layer: Layer, places: Places) -> tuple[Op, int]:
    place, old, new = _only(walk, layer, places), layer.input_tensors[0].shape, layer.outputs[0].shape
    for axis, size in enumerate(new):
        if size == walk.before and math.prod(old[:place]) == math.prod(new[:axis]):
            sample = axis - 1        # its shape has no axis for the batch
            shape = (*layer.output_shape[:sample], walk.tokens, *layer.output_shape[sample + 1:])
            return Reshape(shape=shape), axis
    raise walk.refusal(layer, MIXES)


def _transpose(walk: _Walk, layer: Layer, places: Places) -> tuple[Op, int]:
    op = layer.op
    assert isinstance(op, Transpose)
    return op, op.axes.index(_only(walk, layer, places) - 1) + 1


def _reduce(walk: _Walk, layer: Layer, places: Places) -> tuple[Op, int]:
    place, rank, op = _only(walk, layer, places), len(layer.input_tensors[0].shape), layer.op
    assert isinstance(op, _Reduction)
    axes = {axis % rank for axis in op.axes}
    if place in axes:
        raise walk.refusal(layer, MIXES)
    return op, place if op.keep else place - sum(axis < place for axis in axes)


def _from_end(layer: Layer, places: Places) -> int:
    """How far from the end of the shapes the tokens lie, by the first input that has any."""
    return next(len(value.shape) - place for value, place in zip(layer.input_tensors, places, strict=True)
                if place is not None)


def _broadcast(walk: _Walk, layer: Layer, places: Places) -> tuple[Op, int]:
    ends = {len(value.shape) - place for value, place in zip(layer.input_tensors, places, strict=True)
            if place is not None}
    if len(ends) > 1:
        raise walk.refusal(layer, MIXES)
    return layer.op, len(layer.outputs[0].shape) - ends.pop()


def _concat(walk: _Walk, layer: Layer, places: Places) -> tuple[Op, int]:
    if set(places) != {2}:       # axis 1 is that along which it joins
        raise walk.refusal(layer, MIXES)
    return layer.op, 2


def _matmul(walk: _Walk, layer: Layer, places: Places) -> tuple[Op, int]:
    left, right = places
    rank = len(layer.input_tensors[0].shape)
    if right is not None or left is None or left == rank - 1:
        raise walk.refusal(layer, MIXES)
    return layer.op, len(layer.outputs[0].shape) - (rank - left)


def _attention(walk: _Walk, layer: Layer, places: Places) -> tuple[Op, int]:
    op = layer.op
    assert isinstance(op, Attention)
    if not op.causal:
        raise walk.refusal(layer, "sees later tokens, since it is not causal")
    if len(places) != 3 or set(places) != {2}:
        raise walk.refusal(layer, "does not take queries, keys and values of the same tokens alone")
    return op, 2


RULES: Mapping[tuple[type[Op], ...], Rule] = {
    (_Unary, Dropout): _unchanged,
    (Embedding,): _embedding,
    (_FeatureNorm, Softmax, Dense): _along_features,
    (Slice, Split, Gather): _along_axis,
    (Reshape,): _reshape,
    (Transpose,): _transpose,
    (_Reduction,): _reduce,
    (_Broadcast, Where): _broadcast,
    (Concat,): _concat,
    (Matmul,): _matmul,
    (Attention,): _attention,
}
"""What has no rule here has no form that takes one token after the other: convolutions, recurrent layers, pooling."""
