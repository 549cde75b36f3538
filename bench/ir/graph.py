"""A network as an ordered list of named layers: the one definition that every framework lowers."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, Literal, get_args

from rigmark.bench.ir.ops import BadGraph, Op, Pair, Parameter, Shape, Tensor, of_sample
from rigmark.bench.ir.ops.arrangement import Concat, Flatten, Reshape, Slice, Split, Transpose
from rigmark.bench.ir.ops.attention import Attention, Softmax
from rigmark.bench.ir.ops.convolution import Conv2d, ConvTranspose2d
from rigmark.bench.ir.ops.elementwise import Add, Dropout, Gelu, Relu, Sigmoid, Tanh
from rigmark.bench.ir.ops.lookup import Embedding
from rigmark.bench.ir.ops.normalisation import NORMAL_EPSILON, NORMAL_MOMENTUM, BatchNorm, LayerNorm, LocalResponseNorm
from rigmark.bench.ir.ops.parameters import ParameterValue
from rigmark.bench.ir.ops.pooling import AvgPool, GlobalAvgPool, MaxPool
from rigmark.bench.ir.ops.products import Dense
from rigmark.bench.ir.ops.recurrent import Gru, Lstm
from rigmark.bench.ir.training import WITHOUT_TARGET, Loss, Objective, Optimizer, as_trained

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

    @property
    def input_shapes(self) -> tuple[Shape, ...]:
        """As the rules of its operation take them."""
        return self.op.shapes(*self.input_tensors)

    @property
    def rows(self) -> int:
        """How often a sample of the batch costs what the rules of its operation say."""
        return self.op.rows(*self.input_tensors)

    @property
    def output_shape(self) -> Shape:
        """Of one sample of the first output."""
        return self.outputs[0].sample

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Those that it computes with, shared ones among them."""
        return self.op.parameters(*self.input_shapes)

    def values(self) -> dict[str, Tensor]:
        """Its outputs by the names that readers use."""
        return {self.name if index == 0 else f"{self.name}:{index}": each for index, each in enumerate(self.outputs)}

    @property
    def keyed_parameters(self) -> dict[str, Parameter]:
        """The parameters by their key, "conv1/weight", which is another layer's for a shared one."""
        shares = dict(self.shares)
        return {shares.get(p.name, f"{self.name}/{p.name}"): p for p in self.parameters}


def _weight_bytes(layer: Layer, itemsize: int, weight_itemsize: Callable[[str], int] | None) -> int:
    """Bytes of all parameters of a layer."""
    each = itemsize if weight_itemsize is None else weight_itemsize(layer.op.kind)
    return each * sum(math.prod(p.shape) for p in layer.parameters)


def _layer_of(value: str) -> str:
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
class Graph:
    """Layers in an order in which each comes after its inputs.

    ``outputs`` are names of values, for which inference runs what leads to them. The loss takes the first; a training
    step runs only the layers that lead to it. ``trains`` is what the names of the layers begin with whose parameters it
    changes.

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
        return {name: self[_layer_of(name)].values()[name] for name in self.outputs}

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
        _refuse_wrong_loss(self.name, changed.get("loss", self.loss), self.output)
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
        return _layer_of(name) in self._with_gradient

    @cached_property
    def _with_gradient(self) -> frozenset[str]:
        if self.objectives:
            return frozenset().union(*(update._with_gradient for update in self.updates))
        having: set[str] = set()
        for layer in self.layers:
            has_own = bool(self.trainable(layer))
            is_float = any(value.dtype == "float" for value in layer.outputs)
            if is_float and (has_own or any(_layer_of(value) in having for value in layer.inputs)):
                having.add(layer.name)
        reached = {_layer_of(self.outputs[0])}
        for layer in reversed(self.layers):
            if layer.name in having & reached:
                reached.update(map(_layer_of, layer.inputs))
        return frozenset(having & reached)

    def leads_to_loss(self, name: str) -> bool:
        """Whether a loss depends on what this layer gives: a training step runs no other layers."""
        return name in self._for_loss

    def runs(self, name: str, *, training: bool) -> bool:
        """Whether a step runs this layer: in training if a loss depends on it, in inference if an output does."""
        return name in (self._for_loss if training else self._for_outputs)

    @property
    def ends_of_training(self) -> tuple[str, ...]:
        """The values that the losses take."""
        return tuple(each.output for each in self.objectives) or self.outputs[:1]

    @cached_property
    def _for_loss(self) -> frozenset[str]:
        return self._leading_to(self.ends_of_training)

    @cached_property
    def _for_outputs(self) -> frozenset[str]:
        return self._leading_to(self.outputs)

    def _leading_to(self, names: Sequence[str]) -> frozenset[str]:
        """The names of the layers, and inputs, on which these values depend."""
        needed = {_layer_of(name) for name in names}
        for layer in reversed(self.layers):
            if layer.name in needed:
                needed.update(map(_layer_of, layer.inputs))
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
                for name, value in zip(layer.inputs, layer.input_tensors, strict=True) if _layer_of(name) not in group}
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
        has "outputs" unless the last layer's first value is the only one, "copies" and "objectives" if there are any,
        and "trains" if it has no objectives and does not train every layer. A parameter is trainable if an update
        changes it: none does that only other outputs than the first depend on, or that is copied to.
        """
        if _is_usual(self.inputs):
            ends: dict[str, Any] = {"input": {"shape": list(self.input.shape), "vocabulary": self.input.vocabulary}}
        else:
            ends = {"inputs": [each.plain() for each in self.inputs]}
        if self.outputs != (self.layers[-1].name,):
            ends["outputs"] = list(self.outputs)
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


def _pair(value: int | Pair) -> Pair:
    return (value, value) if isinstance(value, int) else value


class Builder:
    """Writes a graph layer by layer, so that a model reads like its paper.

    Each method adds a layer and returns its name. A layer takes the one before it, or what ``of`` names.
    ``input`` is the shape of an input named "input"; it has tokens if there is a ``vocabulary``. A network of several
    inputs, or of one with another name, has those that ``add_input`` adds. ``init`` is the initialiser of all weights.
    """

    def __init__(
        self, name: str, input: Shape | None = None, *, vocabulary: int | None = None, init: str = "he_normal"
    ):
        self._name = name
        self._init = init
        self._inputs: list[Input] = []
        self._layers: list[Layer] = []
        self._values: dict[str, Tensor] = {}
        self._parameters: dict[str, Parameter] = {}
        self._prefix = ""
        self._like: tuple[str, str] | None = None        # what names begin with, and those whose parameters they share
        self.last = INPUT
        if input is not None:
            self.add_input(Input(shape=input) if vocabulary is None else tokens(input, vocabulary))

    def add_input(self, given: Input) -> str:
        """Its name. Raises BadGraph for a name that is used twice, and as ``Input.refuse_mistakes``."""
        try:
            given.refuse_mistakes()
        except BadGraph as error:
            raise BadGraph(f"{self._name}: {error}") from None
        if given.name in self._values:
            raise BadGraph(f"{self._name} has two inputs or layers named '{given.name}'")
        self._inputs.append(given)
        self._values[given.name] = given.tensor
        self.last = given.name
        return given.name

    @contextmanager
    def scope(self, name: str, *, like: str | None = None) -> Iterator[None]:
        """Names inside begin with ``name.``; scopes nest.

        ``like`` is the full name of an earlier scope: each layer inside shares the parameters of that in it whose name
        ends as its own, so that a network runs again on other values.
        """
        outer, self._prefix = self._prefix, f"{self._prefix}{name}."
        outer_like = self._like
        if like is not None:
            self._like = (self._prefix, f"{like}.")
        yield
        self._prefix, self._like = outer, outer_like

    def add_layer(
        self, name: str, op: Op, of: str | Sequence[str] | None = None, *, shares: Mapping[str, str] | None = None
    ) -> str:
        """Append any operation; its first output is what the next layer takes. ``shares`` are parameters, by their own
        name, that are those of an earlier layer, by key: {"weight": "embedding/weight"}.

        Raises BadGraph for a name that is used twice or that traces cannot carry, an unknown input, shapes that do not
        fit, or a shared parameter of another shape.
        """
        name = self._prefix + name
        if not NAME.fullmatch(name):
            raise BadGraph(f"{self._name}: a layer cannot be named '{name}'; use letters, digits, '_', '-' and '.'")
        inputs = (self.last,) if of is None else (of,) if isinstance(of, str) else tuple(of)
        if name in self._values:
            raise BadGraph(f"{self._name} has two layers named '{name}'")
        missing = [i for i in inputs if i not in self._values]
        if missing:
            raise BadGraph(f"{self._name}: '{name}' reads '{missing[0]}', which no earlier layer is named")
        tensors = tuple(self._values[i] for i in inputs)
        try:
            outputs = op.outputs(*tensors)
        except BadGraph as error:
            raise BadGraph(f"{self._name}: layer '{name}': {error}") from None
        layer = Layer(
            name=name, op=op, inputs=inputs, input_tensors=tensors, outputs=outputs,
            shares=tuple({**self._shared_with(name), **(shares or {})}.items()),
        )
        self._refuse_wrong_shares(layer)
        self._layers.append(layer)
        self._values.update(layer.values())
        self._parameters = {**layer.keyed_parameters, **self._parameters}
        self.last = name
        return name

    def _shared_with(self, name: str) -> dict[str, str]:
        """The parameters that a layer of this name has from one in an earlier scope."""
        if self._like is None:
            return {}
        own, earlier = self._like
        found = next((each for each in self._layers if each.name == earlier + name[len(own):]), None)
        if found is None:
            raise BadGraph(f"{self._name}: '{name}' has the parameters of '{earlier + name[len(own):]}', which no "
                           "earlier layer is named")
        return {p.name: key for key, p in found.keyed_parameters.items()}

    def _refuse_wrong_shares(self, layer: Layer) -> None:
        own = {p.name: p for p in layer.parameters}
        for name, key in layer.shares:
            if key not in self._parameters:
                raise BadGraph(f"{self._name}: layer '{layer.name}' shares '{key}', which no earlier layer has")
            if name not in own or own[name].shape != self._parameters[key].shape:
                shape = own[name].shape if name in own else "none"
                raise BadGraph(f"{self._name}: layer '{layer.name}' shares '{key}' of "
                               f"{self._parameters[key].shape} as its '{name}' of {shape}")

    def conv2d(
        self, name: str, channels: int, *, kernel: int | Pair, stride: int | Pair = 1, padding: int | Pair = 0,
        dilation: int | Pair = 1, groups: int = 1, bias: bool = True, of: str | None = None,
    ) -> str:
        op = Conv2d(
            out_channels=channels, kernel=_pair(kernel), stride=_pair(stride), padding=_pair(padding),
            dilation=_pair(dilation), groups=groups, bias=bias, init=self._init,
        )
        return self.add_layer(name, op, of)

    def dense(
        self, name: str, features: int, *, bias: bool = True, of: str | None = None, weight: str | None = None
    ) -> str:
        """``weight`` is the key of an earlier parameter that serves as its own, "embedding/weight"."""
        op = Dense(out_features=features, bias=bias, init=self._init)
        return self.add_layer(name, op, of, shares=None if weight is None else {"weight": weight})

    def max_pool(
        self, name: str, *, kernel: int | Pair, stride: int | Pair, padding: int | Pair = 0, of: str | None = None
    ) -> str:
        return self.add_layer(
            name, MaxPool(kernel=_pair(kernel), stride=_pair(stride), padding=_pair(padding)), of
        )

    def avg_pool(
        self, name: str, *, kernel: int | Pair, stride: int | Pair, padding: int | Pair = 0,
        count_include_pad: bool = True, of: str | None = None,
    ) -> str:
        op = AvgPool(
            kernel=_pair(kernel), stride=_pair(stride), padding=_pair(padding), count_include_pad=count_include_pad
        )
        return self.add_layer(name, op, of)

    def global_avg_pool(self, name: str, *, of: str | None = None) -> str:
        return self.add_layer(name, GlobalAvgPool(), of)

    def batch_norm(
        self, name: str, *, epsilon: float = NORMAL_EPSILON, momentum: float = NORMAL_MOMENTUM,
        of: str | None = None,
    ) -> str:
        return self.add_layer(name, BatchNorm(epsilon=epsilon, momentum=momentum), of)

    def relu(self, name: str, *, of: str | None = None) -> str:
        return self.add_layer(name, Relu(), of)

    def tanh(self, name: str, *, of: str | None = None) -> str:
        return self.add_layer(name, Tanh(), of)

    def sigmoid(self, name: str, *, of: str | None = None) -> str:
        return self.add_layer(name, Sigmoid(), of)

    def softmax(self, name: str, *, of: str | None = None) -> str:
        return self.add_layer(name, Softmax(), of)

    def dropout(self, name: str, rate: float, *, of: str | None = None) -> str:
        return self.add_layer(name, Dropout(rate=rate), of)

    def local_response_norm(
        self, name: str, *, size: int, alpha: float, beta: float, k: float, of: str | None = None
    ) -> str:
        return self.add_layer(name, LocalResponseNorm(size=size, alpha=alpha, beta=beta, k=k), of)

    def add(self, name: str, *, of: Sequence[str]) -> str:
        return self.add_layer(name, Add(), of)

    def concat(self, name: str, *, of: Sequence[str]) -> str:
        return self.add_layer(name, Concat(), of)

    def flatten(self, name: str, *, of: str | None = None) -> str:
        return self.add_layer(name, Flatten(), of)

    def embedding(
        self, name: str, features: int, *, init: str = "standard_normal", of: str | None = None
    ) -> str:
        """Rows for the tokens of an input; raises BadGraph where that has no vocabulary."""
        read = self.last if of is None else of
        vocabulary = next((each.vocabulary for each in self._inputs if each.name == read), None)
        if vocabulary is None:
            raise BadGraph(f"{self._name}: layer '{name}' needs an input of tokens; give the Builder a vocabulary")
        op = Embedding(vocabulary=vocabulary, features=features, init=init)
        return self.add_layer(name, op, of)

    def lstm(self, name: str, hidden: int, *, of: str | None = None) -> str:
        return self.add_layer(name, Lstm(hidden=hidden), of)

    def gru(self, name: str, hidden: int, *, of: str | None = None) -> str:
        return self.add_layer(name, Gru(hidden=hidden), of)

    def conv_transpose2d(
        self, name: str, channels: int, *, kernel: int | Pair, stride: int | Pair = 1, padding: int | Pair = 0,
        bias: bool = True, of: str | None = None,
    ) -> str:
        op = ConvTranspose2d(
            out_channels=channels, kernel=_pair(kernel), stride=_pair(stride), padding=_pair(padding), bias=bias,
            init=self._init,
        )
        return self.add_layer(name, op, of)

    def reshape(self, name: str, shape: Shape, *, of: str | None = None) -> str:
        return self.add_layer(name, Reshape(shape=shape), of)

    def transpose(self, name: str, axes: tuple[int, ...], *, of: str | None = None) -> str:
        return self.add_layer(name, Transpose(axes=axes), of)

    def slice(self, name: str, *, axis: int, start: int, stop: int, of: str | None = None) -> str:
        """Axes of this and of those below count the batch's."""
        return self.add_layer(name, Slice(axis=axis, start=start, stop=stop), of)

    def split(self, name: str, parts: int, *, axis: int, of: str | None = None) -> tuple[str, ...]:
        """The names of the parts."""
        self.add_layer(name, Split(axis=axis, parts=parts), of)
        return tuple(self._layers[-1].values())

    def gelu(self, name: str, *, tanh: bool = False, of: str | None = None) -> str:
        return self.add_layer(name, Gelu(tanh=tanh), of)

    def layer_norm(self, name: str, *, epsilon: float = NORMAL_EPSILON, of: str | None = None) -> str:
        return self.add_layer(name, LayerNorm(epsilon=epsilon), of)

    def attention(self, name: str, *, of: Sequence[str], causal: bool = False) -> str:
        """Of query, key, value and perhaps a mask."""
        return self.add_layer(name, Attention(causal=causal), of)

    def parameter(self, name: str, shape: Shape, *, init: str, is_trainable: bool = True) -> str:
        """A value that all samples share."""
        return self.add_layer(name, ParameterValue(shape=shape, init=init, is_trainable=is_trainable), ())

    def build(
        self, *, loss: Loss, optimizer: Optimizer, outputs: Sequence[str] = (),
        copies: Sequence[Copy] = (), trains: Sequence[str] = ("",), objectives: Sequence[Objective] = (),
    ) -> Graph:
        """The finished graph; its only output is the last layer's first value, unless ``outputs`` names others.

        Raises BadGraph where it has no input or layer, where nothing uses one of them, or where an output, a copy or an
        objective does not fit.
        """
        if not self._layers:
            raise BadGraph(f"{self._name} has no layers")
        outputs = tuple(outputs) or (self._layers[-1].name,)
        self._refuse_wrong_outputs(outputs, loss)
        self._refuse_wrong_objectives(objectives, loss, copies)
        ends = (*outputs, *(each.output for each in objectives))
        used = {_layer_of(name) for name in ends}.union(
            _layer_of(name) for layer in self._layers for name in layer.inputs)
        for what, names in (
            ("layer", [layer.name for layer in self._layers]), ("input", [each.name for each in self._inputs]),
        ):
            unused = [name for name in names if name not in used]
            if unused:
                raise BadGraph(f"{self._name}: nothing reads {what} '{unused[0]}' and it is not the output")
        graph = Graph(
            name=self._name, inputs=tuple(self._inputs), layers=tuple(self._layers), outputs=outputs, loss=loss,
            optimizer=optimizer, copies=tuple(copies),
            objectives=tuple(replace(each, optimizer=each.optimizer or optimizer) for each in objectives),
            trains=tuple(name for each in objectives for name in each.trains) or tuple(trains),
        )
        self._refuse_wrong_copies(graph)
        for update in graph.updates:
            self._refuse_what_no_gradient_reaches(update)
        self._refuse_trained_twice(graph)
        return graph

    def _refuse_what_no_gradient_reaches(self, update: Graph) -> None:
        for layer in update.layers:
            is_asked = bool(update.trainable(layer)) and update.leads_to_loss(layer.name)
            if is_asked and not update.needs_gradient(layer.name):
                raise BadGraph(f"{self._name}: layer '{layer.name}' has trainable parameters, but no gradient reaches "
                               "it from the output; only comparisons read what it gives")
        if update.trains == ("",):
            return
        trained = [
            key for layer in update.layers if update.leads_to_loss(layer.name) for key in update.trainable(layer)
        ]
        for name in update.trains:
            if not any(key.startswith(name) for key in trained):
                raise BadGraph(f"{self._name}: '{name}' is to be trained, but {update.outputs[0]} depends on no "
                               "parameter of a layer whose name begins so")

    def _refuse_trained_twice(self, graph: Graph) -> None:
        counts = Counter(
            key for update in graph.updates
            for key in {key for layer in update.layers for key in update.trainable(layer)}
        )
        twice = [key for key, count in counts.items() if count > 1]
        if twice:
            raise BadGraph(f"{self._name}: '{twice[0]}' is trained by several objectives; each parameter has one "
                           "optimizer, so let one objective train it")

    def _refuse_wrong_objectives(self, objectives: Sequence[Objective], loss: Loss, copies: Sequence[Copy]) -> None:
        if not objectives:
            return
        names = [each.name for each in objectives]
        if len(set(names)) < max(2, len(names)) or loss != WITHOUT_TARGET or copies:
            raise BadGraph(f"{self._name}: a graph has two or more objectives, of different names, with no other loss "
                           f"and without copies; not {', '.join(names)} with {loss} and {len(copies)} copies")
        for each in objectives:
            if not NAME.fullmatch(each.name) or not each.trains:
                raise BadGraph(f"{self._name}: an objective has a name of letters, digits, '_', '-' and '.', and "
                               f"trains some layers; not {each}")
            self._refuse_wrong_outputs((each.output,), loss)

    def _refuse_wrong_copies(self, graph: Graph) -> None:
        counts = Counter(key for layer in graph.layers for key in layer.keyed_parameters)
        for copy in graph.copies:
            targets = [layer for layer in graph.layers if layer.parameters and layer.name.startswith(copy.target)]
            if not targets or copy.every < 1 or copy.source.startswith(copy.target):
                raise BadGraph(f"{self._name}: a copy needs layers with parameters that begin with '{copy.target}', "
                               f"others to copy from, and a number of steps of at least 1, not {copy}")
            for target in targets:
                name = copy.source + target.name[len(copy.target):]
                if name not in graph or graph[name].op != target.op or graph[name].parameters != target.parameters:
                    raise BadGraph(f"{self._name}: layer '{target.name}' is to become '{name}', which is no layer of "
                                   "the same kind and size")
                shared = [key for each in (target, graph[name]) for key in each.keyed_parameters if counts[key] > 1]
                if shared:
                    raise BadGraph(f"{self._name}: '{shared[0]}' is copied, so layers cannot share it")

    def _refuse_wrong_outputs(self, outputs: tuple[str, ...], loss: Loss) -> None:
        inputs = {each.name for each in self._inputs}
        for name in outputs:
            if name not in self._values or name in inputs or outputs.count(name) > 1:
                what = "is named twice" if outputs.count(name) > 1 else "no layer gives"
                raise BadGraph(f"{self._name}: output '{name}' {what}")
            if self._values[name].batch != 0:
                raise BadGraph(f"{self._name}: the output '{name}' needs the batch as its first axis, not "
                               f"{self._values[name]}")
        first = self._values[outputs[0]]
        if first.dtype != "float":
            raise BadGraph(f"{self._name}: the output needs floats with the batch as their first axis, not {first}")
        _refuse_wrong_loss(self._name, loss, first)


def _refuse_wrong_loss(name: str, loss: Loss, output: Tensor) -> None:
    if loss == "softmax_cross_entropy" and len(output.sample) not in (1, 2):
        raise BadGraph(f"{name}: softmax_cross_entropy needs a vector or sequence of scores, not {output.sample}")
