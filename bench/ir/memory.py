"""How much memory a step of a network needs, from its definition: a simulation of what lives when.

It allocates and frees as an eager framework does that runs fused kernels; workspaces of kernels are not counted.
evidence/memory_estimates.py compares it with what PyTorch allocates.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from rigmark.bench.ir.graph import Graph, Layer
from rigmark.bench.ir.ops import Tensor

ITEMSIZES = {"int64": 8, "bool": 1}          # of values that are no floats
LOSS_COPIES = {"softmax_cross_entropy": 3, "mean_squared_error": 2, "binary_cross_entropy": 2, "value": 1}
"""Arrays as large as the output while the loss goes backward: probabilities, their gradient, that of the output."""
LOSS_BYTES = 4                               # of a number in them, at least


@dataclass(frozen=True, kw_only=True)
class Formats:
    """Bytes of a number, by what it is."""

    weight: float = 4.0                      # as it is stored
    value: float = 4.0                       # that one layer writes and the next reads
    gradient: float = 4.0                    # of a weight; the optimizer's numbers are as wide
    product: float = 0.0                     # of a weight's copy in the format of products; 0: there is none


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Bytes by what they hold at the moment of a step that needs most."""

    weights: float                           # running statistics among them
    gradients: float = 0.0                   # of weights
    optimizer: float = 0.0                   # its states, and what an update needs for a moment
    cache: float = 0.0                       # keys and values of earlier tokens, while text is generated
    values: float = 0.0                      # inputs, what layers gave and what of it waits, and gradients of these

    @property
    def total(self) -> float:
        return self.weights + self.gradients + self.optimizer + self.cache + self.values


def itemsize(value: Tensor, formats: Formats = Formats()) -> float:
    """Bytes of an element of a value."""
    return ITEMSIZES.get(value.dtype, formats.value)


def peak(graph: Graph, *, batch: int, training: bool, formats: Formats = Formats(), cached: int = 0) -> Memory:
    """The memory at the peak of a step with ``batch`` samples, of which each has so many numbers in a cache."""
    every = moments(graph, batch=batch, training=training, formats=formats, cached=cached)
    return max(every, key=lambda each: each.total)


def moments(
    graph: Graph, *, batch: int, training: bool, formats: Formats = Formats(), cached: int = 0
) -> list[Memory]:
    """The memory while each layer runs forward and, in training, backward, and while the optimizer updates.

    Each number is linear in the batch.
    """
    numbers = sum(math.prod(p.shape) for p in graph.parameters.values())
    weights = numbers * (formats.weight + formats.product)
    step = _Step(graph, batch, training, formats)
    if not training:                         # a loop holds the last answer while it computes the next
        cache = batch * cached * formats.value
        return [Memory(weights=weights, cache=cache, values=values + step.of_outputs) for values in step.forward()]
    counts = [update.parameter_count for update in graph.updates]
    states = sum(count * update.optimizer.states for count, update in zip(counts, graph.updates, strict=True))
    return [
        Memory(
            weights=weights if is_computing else numbers * formats.weight,
            gradients=(sum(counts[:index]) + gradients) * formats.gradient,
            optimizer=(states + more) * formats.gradient, values=values + step.of_inputs,
        )
        for index, update in enumerate(graph.updates)
        for values, gradients, more, is_computing in _of_update(_Step(update, batch, training, formats), update)
    ]


def _of_update(step: _Step, graph: Graph) -> Iterator[tuple[float, int, int, bool]]:
    """(bytes of values but the inputs, numbers of gradients, numbers that an update needs for a moment, whether layers
    are computed) of each moment. The gradients of earlier objectives stay beside them."""
    for values in step.forward():
        yield values - step.of_inputs, 0, 0, True
    for values, gradients in step.backward():
        yield values - step.of_inputs, gradients, 0, True
    # An update of many parameters at once writes the roots of all second moments.
    yield 0.0, graph.parameter_count, graph.parameter_count * (graph.optimizer.states > 1), False


class _Step:
    """What lives when: values by name, and the memory that each has, which is named by the value that it was made for.

    A view has the memory of its input; so has the result of a layer that may overwrite it.
    """

    def __init__(self, graph: Graph, batch: int, training: bool, formats: Formats):
        self._graph, self._batch, self._training, self._formats = graph, batch, training, formats
        self._layers = [layer for layer in graph.layers if graph.runs(layer.name, training=training)]
        self._loss_bytes = max(LOSS_BYTES, formats.value)
        self._tensors = {
            name: value for layer in self._layers
            for name, value in (*zip(layer.inputs, layer.input_tensors, strict=True), *layer.values().items())
        }
        made = {name: layer for layer in self._layers for name in layer.values()}
        self.of_inputs = sum(self._size(name) for name in self._tensors if name not in made)
        self._outputs = graph.ends_of_training if training else graph.outputs
        self.of_outputs = sum(map(self._size, self._outputs))
        self._readers = Counter(name for layer in self._layers for name in set(layer.inputs))
        self._memory: dict[str, str] = {}        # of weights and of the inputs of the network: not here
        self._last_read: dict[str, int] = {}
        for index, layer in enumerate(self._layers):
            first = layer.inputs[0] if layer.inputs else ""
            if not self._is_alias(layer) and not self._overwrites(layer, made.get(first)):
                self._memory.update(zip(layer.values(), layer.values(), strict=True))
            elif first in self._memory:
                self._memory.update(dict.fromkeys(layer.values(), self._memory[first]))
            for name in (*layer.inputs, *layer.values()):
                if name in self._memory:
                    self._last_read[self._memory[name]] = index
        for name in self._outputs:
            if name in self._memory:
                self._last_read[self._memory[name]] = len(self._layers)
        self._waits = {layer.name: self._read_backward(layer) for layer in self._layers} if training else {}

    def _size(self, name: str) -> float:
        tensor = self._tensors[name]
        return tensor.elements(self._batch) * itemsize(tensor, self._formats)

    def _is_alias(self, layer: Layer) -> bool:
        """Whether its forward pass gives what it takes under another shape or name."""
        return layer.op.is_view(training=False) and not (
            self._training and layer.op.training_flops(*layer.input_shapes))

    def _overwrites(self, layer: Layer, producer: Layer | None) -> bool:
        """Whether the result may take the place of the first input: nothing else reads that, forward or backward."""
        return (
            layer.op.may_overwrite and producer is not None and not self._is_alias(producer)
            and self._readers[layer.inputs[0]] == 1 and layer.inputs[0] not in self._outputs
            and "outputs" not in self._reads(producer)
            and layer.outputs == producer.outputs
        )

    def _read_backward(self, layer: Layer) -> frozenset[str]:
        """The memory that waits for the layer's backward pass."""
        if not self._graph.needs_gradient(layer.name):
            return frozenset()
        values = {"inputs": layer.inputs, "outputs": tuple(layer.values())}
        return frozenset(
            self._memory[name] for which in self._reads(layer) for name in values[which] if name in self._memory)

    def _own(self, layer: Layer) -> float:
        """Bytes that wait for the backward pass and are neither input nor output, such as gates of an LSTM."""
        if not self._graph.needs_gradient(layer.name):
            return 0.0
        values = {"inputs": layer.input_tensors, "outputs": layer.outputs}
        others = sum(value.elements(self._batch) for which in self._reads(layer) for value in values[which])
        return max(0, self._graph.saved(layer, self._batch) - others) * self._formats.value

    def _reads(self, layer: Layer) -> tuple[str, ...]:
        """Which of "inputs" and "outputs" its backward pass reads."""
        return layer.op.backward_reads if self._graph.saved(layer, 1) else ()

    def forward(self) -> list[float]:
        """Bytes of values while each layer runs."""
        moments: list[float] = []
        alive: set[str] = set()
        waiting: set[str] = set()
        values = self.of_inputs
        for index, layer in enumerate(self._layers):
            new = {self._memory[name] for name in layer.values() if name in self._memory} - alive - waiting
            alive |= new
            waiting |= self._waits.get(layer.name, frozenset())
            values += sum(map(self._size, new)) + (self._own(layer) if self._training else 0.0)
            moments.append(values)
            dead = {name for name in alive if self._last_read[name] <= index}
            alive -= dead
            values -= sum(map(self._size, dead - waiting))
        return moments

    def backward(self) -> list[tuple[float, int]]:
        """(bytes of values, numbers of the gradients of weights) while each layer goes backward."""
        waiting = Counter(name for names in self._waits.values() for name in names)
        values = self.of_inputs + sum(map(self._own, self._layers)) + sum(map(self._size, waiting))
        of_loss = LOSS_COPIES[self._graph.loss] * self._graph.output.elements(self._batch) * self._loss_bytes
        moments = [(values + of_loss, 0)]
        arrived = dict.fromkeys(self._graph.outputs[:1], self._graph.outputs[0])     # value: whose gradient it has
        known: set[str] = set()
        numbers = 0
        for layer in reversed(self._layers):
            if not self._graph.needs_gradient(layer.name):
                continue
            passed = next((arrived[name] for name in layer.values() if name in arrived), layer.name)
            for name in layer.inputs:
                if self._graph.needs_gradient(name):
                    arrived.setdefault(name, passed if self._passes_through(layer) else name)
            new = {key: p for key, p in self._graph.trainable(layer).items() if key not in known}
            known.update(new)
            numbers += sum(math.prod(p.shape) for p in new.values())
            moments.append((values + sum(map(self._size, set(arrived.values()))), numbers))
            for name in layer.values():
                arrived.pop(name, None)
            waiting.subtract(self._waits[layer.name])
            values -= self._own(layer) + sum(self._size(name) for name in self._waits[layer.name] if not waiting[name])
        return moments

    def _passes_through(self, layer: Layer) -> bool:
        """Whether the gradient of the output is that of each input."""
        is_whole = all(value.shape == layer.outputs[0].shape for value in layer.input_tensors)
        has_work = self._reads(layer) or layer.op.backward_flops(*layer.input_shapes)
        return not has_work and (is_whole or layer.op.is_view(training=True))
