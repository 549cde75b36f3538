"""A network as an ordered list of named layers: the one definition that every framework lowers."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, Literal, get_args

from rigmark.bench.ir.ops import BadGraph, Op, Parameter, Shape, Tensor, of_sample
from rigmark.bench.ir.training import Loss, Objective, Optimizer, as_trained

INPUT = "input"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
"""What every framework takes as the name of a scope, so that its trace can be read by layers."""


Draw = Literal["normal", "tokens", "ones", "bits", "lengths", "positions"]
"""How synthetic samples are drawn. normal: standard normal floats. tokens: integers below a vocabulary.

ones: as the mask of a sequence without padding. bits: zeros and ones, either as likely. lengths: for each sample, ones
up to a length that is drawn, of at least 1, and zeros behind, along the last axis: the mask of a padded sequence.
positions: 0, 1, 2, ... along the last axis.
"""
_DTYPES_OF_DRAWS = {
    "normal": ("float",), "tokens": ("int64",), "ones": ("float", "int64", "bool"), "bits": ("float", "int64", "bool"),
    "lengths": ("float", "int64", "bool"), "positions": ("float", "int64"),
}


@dataclass(frozen=True, kw_only=True)
class Input:
    """A part of every sample: an array of this shape, which layers read by its name."""

    shape: Shape
    name: str = INPUT
    dtype: str = "float"             # as Tensor has it
    draw: Draw = "normal"
    vocabulary: int | None = None    # of tokens only

    @property
    def tensor(self) -> Tensor:
        return of_sample(self.shape, self.dtype)

    def refuse_mistakes(self) -> None:
        """Raises BadGraph for a name that files cannot carry, and where draw, dtype and vocabulary do not fit."""
        if not NAME.fullmatch(self.name):
            raise BadGraph(f"an input cannot be named '{self.name}'; use letters, digits, '_', '-' and '.'")
        if self.draw not in get_args(Draw):
            raise BadGraph(f"input '{self.name}' is drawn as '{self.draw}', which is none of: "
                           f"{', '.join(get_args(Draw))}")
        if self.dtype not in _DTYPES_OF_DRAWS[self.draw]:
            raise BadGraph(f"input '{self.name}' is drawn as {self.draw}, which gives "
                           f"{' or '.join(_DTYPES_OF_DRAWS[self.draw])}, not {self.dtype}")
        if self.draw in ("lengths", "positions") and not self.shape:
            raise BadGraph(f"input '{self.name}' is drawn as {self.draw} along its last axis, and has none")
        if (self.draw == "tokens") != (self.vocabulary is not None):
            raise BadGraph(f"input '{self.name}' is drawn as {self.draw} with a vocabulary of {self.vocabulary}; "
                           "tokens need a vocabulary, and only they have one")

    def plain(self) -> dict[str, Any]:
        return {**asdict(self), "shape": list(self.shape)}


def tokens(shape: Shape, vocabulary: int, name: str = INPUT) -> Input:
    """An input of integers from 0 up to, and without, ``vocabulary``."""
    return Input(shape=shape, name=name, dtype="int64", draw="tokens", vocabulary=vocabulary)


def _is_usual(inputs: tuple[Input, ...]) -> bool:
    """Whether the plain form names the only input nowhere, as it did before there could be several."""
    return len(inputs) == 1 and inputs[0].name == INPUT and inputs[0].draw in ("normal", "tokens")


@dataclass(frozen=True, kw_only=True)
class Layer:
    """An operation with a name, its inputs by name, and the values that it takes and gives.

    Readers name its first output as the layer itself, "split", and those behind it "split:1", "split:2".
    """

    name: str
    op: Op
    inputs: tuple[str, ...]
    input_tensors: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    shares: tuple[tuple[str, str], ...] = ()     # (own parameter's name, key of an earlier layer's that it is)

    @cached_property
    def input_shapes(self) -> tuple[Shape, ...]:
        """As the rules of its operation take them."""
        return self.op.shapes(*self.input_tensors)

    @property
    def with_gradient(self) -> tuple[str, ...]:
        """The inputs to which the operation passes a gradient on."""
        return tuple(
            name for place, (name, value) in enumerate(zip(self.inputs, self.input_tensors, strict=True))
            if value.dtype == "float" and place not in self.op.without_gradient
        )

    @property
    def rows(self) -> int:
        """How often a sample of the batch costs what the rules of its operation say."""
        return self.op.rows(*self.input_tensors)

    @property
    def output_shape(self) -> Shape:
        """Of one sample of the first output."""
        return self.outputs[0].sample

    @cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        """Those that it computes with, shared ones among them."""
        return self.op.parameters(*self.input_shapes)

    def values(self) -> dict[str, Tensor]:
        """Its outputs by the names that readers use."""
        return {self.name if index == 0 else f"{self.name}:{index}": each for index, each in enumerate(self.outputs)}

    @cached_property
    def keyed_parameters(self) -> dict[str, Parameter]:
        """The parameters by their key, "conv1/weight", which is another layer's for a shared one."""
        shares = dict(self.shares)
        return {shares.get(p.name, f"{self.name}/{p.name}"): p for p in self.parameters}


def _weight_bytes(layer: Layer, itemsize: int, weight_itemsize: Callable[[str], int] | None) -> int:
    """Bytes of all parameters of a layer."""
    each = itemsize if weight_itemsize is None else weight_itemsize(layer.op.kind)
    return each * sum(math.prod(p.shape) for p in layer.parameters)


def layer_of(value: str) -> str:
    return value.partition(":")[0]


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Work of one layer in one direction for one batch."""

    flops: int
    bytes_moved: int             # lower bound: each operand read once, each result written once


@dataclass(frozen=True, kw_only=True)
class Copy:
    """After every so many steps of training, the parameters of some layers become those of others.

    ``source`` and ``target`` are what the names of these layers begin with; the rest of the names is equal. No update
    changes what is copied to, and no gradient of it is computed: so it is with the target network of Q-learning.
    """

    source: str
    target: str
    every: int

    def plain(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Carried:
    """An input that takes, in each step but the first, what the step before it gave as ``value``: a recurrent state.

    The first step takes what the batch has for it. Both are of one shape and dtype. No gradient goes back through it
    into the step before, as where users cut a long text into pieces.
    """

    input: str
    value: str

    def plain(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Graph:
    """Layers in an order in which each comes after its inputs.

    ``outputs`` are names of values, for which inference runs what leads to them. The loss takes the first; a training
    step runs only the layers that lead to it. ``trains`` is what the names of the layers begin with whose parameters it
    changes.

    What is ``carried`` to the next step is among the outputs, and a training step computes it too.

    A graph of several ``objectives`` has no other loss: a training step takes them in order, each of which runs the
    layers that lead to its own output, and changes its parameters before the next one begins. See ``updates``.
    """

    name: str
    inputs: tuple[Input, ...]
    layers: tuple[Layer, ...]
    outputs: tuple[str, ...]
    loss: Loss
    optimizer: Optimizer
    copies: tuple[Copy, ...] = ()
    trains: tuple[str, ...] = ("",)
    objectives: tuple[Objective, ...] = ()
    carried: tuple[Carried, ...] = ()

    @cached_property
    def updates(self) -> tuple[Graph, ...]:
        """The graphs of one loss each that a training step takes one after the other: this one, unless it has
        objectives."""
        return tuple(self._update_of(each) for each in self.objectives) or (self,)

    def _update_of(self, objective: Objective) -> Graph:
        needed = self._leading_to((objective.output,))
        return replace(
            self, name=f"{self.name}.{objective.name}", layers=tuple(x for x in self.layers if x.name in needed),
            outputs=(objective.output,), trains=objective.trains, optimizer=objective.optimizer or self.optimizer,
            objectives=(),
        )

    @property
    def input(self) -> Input:
        """The only input; raises BadGraph where there are several."""
        if len(self.inputs) != 1:
            raise BadGraph(f"{self.name} has several inputs: {', '.join(each.name for each in self.inputs)}")
        return self.inputs[0]

    @property
    def output_values(self) -> dict[str, Tensor]:
        """The outputs by their names."""
        return {name: self[layer_of(name)].values()[name] for name in self.outputs}

    @property
    def output(self) -> Tensor:
        """The value that the loss takes."""
        return self.output_values[self.outputs[0]]

    @property
    def output_shape(self) -> Shape:
        return self.output.sample

    def trained(self, *, loss: str, optimizer: str) -> Graph:
        """The same network with another loss and optimizer, where they are not ``OWN``; see bench.ir.training.

        Raises BadGraph where the output does not fit the loss, and ValueError for what there is not.
        """
        changed = as_trained(loss, optimizer)
        if self.objectives and "loss" in changed:
            raise BadGraph(f"{self.name} has losses of its own, {', '.join(each.name for each in self.objectives)}, "
                           f"and cannot be trained by {loss}; leave --loss out")
        if self.objectives and changed:
            changed["objectives"] = tuple(replace(each, **changed) for each in self.objectives)
        refuse_wrong_loss(self.name, changed.get("loss", self.loss), self.output)
        return replace(self, **changed) if changed else self

    def __getitem__(self, name: str) -> Layer:
        return self._by_name[name]

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    @cached_property
    def _by_name(self) -> dict[str, Layer]:
        return {layer.name: layer for layer in self.layers}

    @cached_property
    def parameters(self) -> dict[str, Parameter]:
        """Every parameter by its key, "conv1/weight", in layer order; a shared one as its first layer has it."""
        parameters: dict[str, Parameter] = {}
        for layer in self.layers:
            for key, parameter in layer.keyed_parameters.items():
                parameters.setdefault(key, parameter)
        return parameters

    @cached_property
    def copied(self) -> dict[str, str]:
        """The parameters, and running statistics, that are copied to: by key, the key of what they become."""
        return {
            key: copy.source + key[len(copy.target):]
            for copy in self.copies for key in self.parameters if key.startswith(copy.target)
        }

    def trainable(self, layer: Layer) -> dict[str, Parameter]:
        """The parameters of a layer that an optimizer may change, by key."""
        return {key: p for key, p in layer.keyed_parameters.items() if self._may_train(key, p)}

    def _may_train(self, key: str, parameter: Parameter) -> bool:
        return parameter.is_trainable and key.startswith(self.trains) and key not in self.copied

    @property
    def parameter_count(self) -> int:
        """Trainable numbers, as papers count them: running statistics, copies and what is frozen are left out."""
        return sum(math.prod(p.shape) for key, p in self.parameters.items() if self._may_train(key, p))

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds of one sample's forward pass, matrix products only, as papers count them."""
        return sum(layer.rows * layer.op.multiply_adds(*layer.input_shapes)
                   for layer in self.layers if layer.name in self._for_outputs)

    def flops_per_sample(self, *, training: bool) -> int:
        """FLOPs of one sample: forward, and backward too if training; loss and update are not counted."""
        directions = (False, True) if training else (False,)
        return sum(
            self.cost(layer, batch=1, itemsize=4, training=training, backward=backward).flops
            for backward in directions for layer in self.layers
        )

    def needs_gradient(self, name: str) -> bool:
        """True where this value has a gradient: a trainable parameter lies in or before it, and it leads to the first
        output, or to that of the same objective, by values of floats.
        """
        return layer_of(name) in self._with_gradient

    @cached_property
    def _with_gradient(self) -> frozenset[str]:
        if self.objectives:
            return frozenset().union(*(update._with_gradient for update in self.updates))
        having: set[str] = set()
        for layer in self.layers:
            has_own = bool(self.trainable(layer))
            is_float = any(value.dtype == "float" for value in layer.outputs)
            if is_float and (has_own or any(layer_of(value) in having for value in layer.with_gradient)):
                having.add(layer.name)
        reached = {layer_of(self.outputs[0])}
        for layer in reversed(self.layers):
            if layer.name in having & reached:
                reached.update(map(layer_of, layer.with_gradient))
        return frozenset(having & reached)

    def leads_to_loss(self, name: str) -> bool:
        """Whether a loss depends on what this layer gives: a training step runs no other layers."""
        return name in self._for_loss

    def runs(self, name: str, *, training: bool) -> bool:
        """Whether a step runs this layer: in training if a loss depends on it, in inference if an output does."""
        return name in (self._for_loss if training else self._for_outputs)

    @property
    def ends_of_training(self) -> tuple[str, ...]:
        """The values that the losses take, and what is carried to the next step."""
        return tuple(each.output for each in self.objectives) or (
            *self.outputs[:1], *(each.value for each in self.carried))

    @cached_property
    def _for_loss(self) -> frozenset[str]:
        return self._leading_to(self.ends_of_training)

    @cached_property
    def _for_outputs(self) -> frozenset[str]:
        return self._leading_to(self.outputs)

    def _leading_to(self, names: Sequence[str]) -> frozenset[str]:
        """The names of the layers, and inputs, on which these values depend."""
        needed = {layer_of(name) for name in names}
        for layer in reversed(self.layers):
            if layer.name in needed:
                needed.update(map(layer_of, layer.inputs))
        return frozenset(needed)

    def cost(
        self, layer: Layer, *, batch: int, itemsize: int, training: bool, backward: bool = False,
        weight_itemsize: Callable[[str], int] | None = None,
    ) -> Cost:
        """FLOPs and least traffic of a layer for a batch, forward or, of a training step only, backward.

        ``itemsize`` is bytes per element; ``weight_itemsize`` gives that of weights by the kind of their operation, if
        it is another. A training step does not run layers that only other outputs than the first need, nor inference
        those that only objectives need; of objectives, the costs are added.
        """
        if training and self.objectives:
            return _sum(
                update.cost(layer, batch=batch, itemsize=itemsize, training=True, backward=backward,
                            weight_itemsize=weight_itemsize)
                for update in self.updates if layer.name in update
            )
        if not self.runs(layer.name, training=training):
            return Cost(flops=0, bytes_moved=0)
        inputs = sum(value.elements(batch) for value in layer.input_tensors)
        outputs = sum(value.elements(batch) for value in layer.outputs)
        of_weights = _weight_bytes(layer, itemsize, weight_itemsize)
        times = layer.rows * (1 if all(value.batch is None for value in layer.outputs) else batch)
        if not backward:
            flops = layer.op.training_flops if training else layer.op.flops
            moved = 0 if layer.op.is_view(training=training) else itemsize * (inputs + outputs) + of_weights
            return Cost(flops=times * flops(*layer.input_shapes), bytes_moved=moved)
        if not self.needs_gradient(layer.name):
            return Cost(flops=0, bytes_moved=0)
        passes_on = any(self.needs_gradient(name) for name in layer.inputs)
        if self.is_frozen(layer):
            work, own = layer.op.frozen_backward_flops(*layer.input_shapes), 0
        else:
            work, own = layer.op.backward_flops(*layer.input_shapes, needs_input_gradient=passes_on), 1
        if layer.op.is_view(training=True):
            return Cost(flops=times * work, bytes_moved=0)
        moved = itemsize * (outputs + self.saved(layer, batch) + passes_on * inputs)
        moved += of_weights * (passes_on + own)          # read for the input's gradient, and their own gradient
        return Cost(flops=times * work, bytes_moved=moved)

    def is_frozen(self, layer: Layer) -> bool:
        """Whether it has parameters that could be trained and are not: then none of them has a gradient."""
        return not self.trainable(layer) and any(p.is_trainable for p in layer.parameters)

    def saved(self, layer: Layer, batch: int) -> int:
        """Elements of a batch that its backward pass reads again: a product with a frozen matrix needs none."""
        if self.is_frozen(layer) and layer.op.is_linear:
            return 0
        return layer.op.saved(batch, *layer.input_tensors)

    def fused_cost(
        self, names: Sequence[str], *, batch: int, itemsize: int, training: bool, backward: bool = False,
        weight_itemsize: Callable[[str], int] | None = None,
    ) -> Cost:
        """FLOPs and least traffic of several layers that run as one: what passes between them need not be moved."""
        if training and self.objectives:
            return _sum(
                update.fused_cost(own, batch=batch, itemsize=itemsize, training=True, backward=backward,
                                  weight_itemsize=weight_itemsize)
                for update in self.updates if (own := [name for name in names if name in update])
            )
        costs = [
            self.cost(
                self[name], batch=batch, itemsize=itemsize, training=training, backward=backward,
                weight_itemsize=weight_itemsize,
            )
            for name in names
        ]
        apart = sum(cost.bytes_moved for cost in costs)
        if len(costs) < 2:
            return Cost(flops=sum(cost.flops for cost in costs), bytes_moved=apart)
        group = set(names)
        read = {name: value for layer in map(self.__getitem__, names)
                for name, value in zip(layer.inputs, layer.input_tensors, strict=True) if layer_of(name) not in group}
        written = [value for layer in map(self.__getitem__, names) for name, value in layer.values().items()
                   if name in self.outputs or not self._readers[name] or self._readers[name] - group]
        passes_on = backward and any(map(self.needs_gradient, read))
        elements = sum(value.elements(batch) for value in written)
        elements += sum(value.elements(batch) for value in read.values()) * (2 if passes_on else 1)
        of_weights = sum(_weight_bytes(self[name], itemsize, weight_itemsize) for name in names)
        moved = itemsize * elements + of_weights * (2 if passes_on else 1)
        return Cost(flops=sum(cost.flops for cost in costs), bytes_moved=min(apart, moved))

    @cached_property
    def _readers(self) -> dict[str, set[str]]:
        readers: dict[str, set[str]] = {name: set() for layer in self.layers for name in layer.values()}
        for layer in self.layers:
            for name in layer.inputs:
                readers.setdefault(name, set()).add(layer.name)
        return readers

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the computation: inputs, shapes, operations, wiring, shared parameters, outputs, loss and optimiser.

        Names, batch, precision, memory layout and the values of the weights are not part of it.
        """
        index: dict[str, int | str] = {each.name: -1 - i for i, each in enumerate(self.inputs)}
        for i, layer in enumerate(self.layers):
            index[layer.name] = i
            index.update((f"{layer.name}:{output}", f"{i}:{output}") for output in range(1, len(layer.outputs)))
        plain = self.plain()
        facts = {
            "loss": plain["loss"], "optimizer": plain["optimizer"],
            "layers": [
                [layer["op"], layer["attributes"], [index[name] for name in layer["inputs"]]]
                for layer in plain["layers"]
            ],
        }
        if "input" in plain:
            facts["input"] = plain["input"]
        else:
            facts["inputs"] = [{key: fact for key, fact in each.items() if key != "name"} for each in plain["inputs"]]
        if "outputs" in plain:
            facts["outputs"] = [index[name] for name in plain["outputs"]]
        if self.trains != ("",) and not self.objectives:
            facts["trains"] = self._places_of(self.trains)
        if self.objectives:
            facts["objectives"] = [
                [index[each.output], self._places_of(each.trains), (each.optimizer or self.optimizer).plain()]
                for each in self.objectives
            ]
        if self.carried:
            facts["carried"] = [[index[each.input], index[each.value]] for each in self.carried]
        if self.copies:
            facts["copies"] = [
                [copy.every, [[index[layer.name], index[copy.source + layer.name[len(copy.target):]]]
                              for layer in self.layers if layer.parameters and layer.name.startswith(copy.target)]]
                for copy in self.copies
            ]
        for _, attributes, _ in facts["layers"]:
            attributes.pop("init", None)
        for layer, its_facts in zip(self.layers, facts["layers"], strict=True):
            if layer.shares:
                its_facts.append([[own, index[key.rpartition("/")[0]], key.rpartition("/")[2]]
                                  for own, key in layer.shares])
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]

    def _places_of(self, trains: tuple[str, ...]) -> list[int]:
        """Where the layers stand of which something is trained."""
        return [i for i, layer in enumerate(self.layers)
                if any(p.is_trainable and key.startswith(trains) for key, p in layer.keyed_parameters.items())]

    def plain(self) -> dict[str, Any]:
        """The graph as plain data, the form in which it crosses to a worker.

        It has "input", {"shape", "vocabulary"}, if the only one is named so and is floats or tokens; else "inputs". It
        has "outputs" unless the last layer's first value is the only one, "carried", "copies" and "objectives" if there
        are any, and "trains" if it has no objectives and does not train every layer. A parameter is trainable if an
        update changes it: none does that only other outputs than the first depend on, or that is copied to.
        """
        if _is_usual(self.inputs):
            ends: dict[str, Any] = {"input": {"shape": list(self.input.shape), "vocabulary": self.input.vocabulary}}
        else:
            ends = {"inputs": [each.plain() for each in self.inputs]}
        if self.outputs != (self.layers[-1].name,):
            ends["outputs"] = list(self.outputs)
        if self.carried:
            ends["carried"] = [each.plain() for each in self.carried]
        if self.copies:
            ends["copies"] = [copy.plain() for copy in self.copies]
        if self.objectives:
            ends["objectives"] = [
                {"name": each.name, "output": each.output, "trains": list(each.trains),
                 "optimizer": (each.optimizer or self.optimizer).plain()}
                for each in self.objectives
            ]
        elif self.trains != ("",):
            ends["trains"] = list(self.trains)
        trained = {
            key for update in self.updates for layer in update.layers if update.needs_gradient(layer.name)
            for key in update.trainable(layer)
        }
        return {
            "name": self.name,
            **ends,
            "layers": [
                {
                    "name": layer.name,
                    "op": layer.op.kind,
                    "inputs": list(layer.inputs),
                    "attributes": layer.op.attributes(),
                    "input_shapes": [list(shape) for shape in layer.input_shapes],
                    "output_shape": list(layer.output_shape),
                    "outputs": [value.plain() for value in layer.outputs],
                    "parameters": [
                        {"name": p.name, "key": key, "shape": list(p.shape), "is_trainable": key in trained}
                        for key, p in layer.keyed_parameters.items()
                    ],
                }
                for layer in self.layers
            ],
            "loss": self.loss,
            "optimizer": self.optimizer.plain(),
        }


def _sum(costs: Iterable[Cost]) -> Cost:
    flops, moved = 0, 0
    for cost in costs:
        flops, moved = flops + cost.flops, moved + cost.bytes_moved
    return Cost(flops=flops, bytes_moved=moved)


def refuse_wrong_loss(name: str, loss: Loss, output: Tensor) -> None:
    """Raises BadGraph where a loss cannot take this output of the network ``name``."""
    if loss == "softmax_cross_entropy" and len(output.sample) not in (1, 2):
        raise BadGraph(f"{name}: softmax_cross_entropy needs a vector or sequence of scores, not {output.sample}")
