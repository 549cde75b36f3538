"""Reads a graph from its plain form, as ``Graph.plain`` writes it and importers answer it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from rigmark.bench.ir.building import Builder
from rigmark.bench.ir.graph import Carried, Copy, Graph, Input, Layer, tokens
from rigmark.bench.ir.ops import OPS, BadGraph, Op
from rigmark.bench.ir.training import OPTIMIZERS, Loss, Objective, Optimizer
from rigmark.bench.ir.weights import INITIALISERS, initialiser

MOST_LAYERS = 100_000
MOST_ELEMENTS = 2**40        # of a value or parameter; no machine holds more

T = TypeVar("T")


class _OnlyInput(Struct):
    shape: list[int]
    vocabulary: int | None = None


class _Parameter(Struct):
    name: str
    key: str


class _Layer(Struct):
    name: str
    op: str
    inputs: list[str]
    attributes: dict[str, Any]
    input_shapes: list[list[int]] | None = None
    output_shape: list[int] | None = None
    outputs: list[dict[str, Any]] | None = None
    parameters: list[_Parameter] = []


class _Objective(Struct):
    name: str
    output: str
    trains: list[str]
    optimizer: dict[str, Any]


class _Graph(Struct):
    name: str
    layers: list[_Layer]
    loss: Loss
    optimizer: dict[str, Any]
    input: _OnlyInput | None = None
    inputs: list[Input] = []
    outputs: list[str] = []
    carried: list[Carried] = []
    copies: list[Copy] = []
    trains: tuple[str, ...] = ("",)
    objectives: list[_Objective] = []


def read(plain: object) -> Graph:
    """The graph of this plain form: operations are found by their kind, and all shapes are computed again.

    Shapes may be left out; those that are given must be the computed ones. Of its parameters a layer needs to state
    only those whose key is another layer's. Raises BadGraph for anything else.
    """
    given = _converted(plain, _Graph, "a graph")
    if not given.layers or len(given.layers) > MOST_LAYERS:
        raise BadGraph(f"{given.name}: a graph has 1 to {MOST_LAYERS:,} layers, not {len(given.layers):,}")
    net = Builder(given.name)
    for each in _inputs(given):
        net.add_input(each)
    for stated in given.layers:
        _add(net, stated, given.name)
    graph = net.build(
        loss=given.loss, optimizer=_optimizer(given.optimizer, given.name), outputs=given.outputs,
        copies=given.copies, carried=given.carried, trains=given.trains, objectives=[
            Objective(name=each.name, output=each.output, trains=tuple(each.trains),
                      optimizer=_optimizer(each.optimizer, given.name))
            for each in given.objectives
        ],
    )
    for stated, layer in zip(given.layers, graph.layers, strict=True):
        _refuse_impossible(layer, given.name)
        _refuse_other_shapes(stated, layer, given.name)
    return graph


def _converted(plain: object, kind: type[T], what: str) -> T:
    try:
        return msgspec.convert(plain, kind)
    except (msgspec.ValidationError, RecursionError) as error:
        raise BadGraph(f"not {what}: {error}") from None


def _inputs(given: _Graph) -> list[Input]:
    """Those that it states one by one, or the only one."""
    if (given.input is None) == (not given.inputs):
        raise BadGraph(f"{given.name}: a graph states its only input as 'input', or those that it has as 'inputs'")
    inputs = given.inputs
    if given.input is not None:
        shape, vocabulary = tuple(given.input.shape), given.input.vocabulary
        inputs = [Input(shape=shape) if vocabulary is None else tokens(shape, vocabulary)]
    for each in inputs:
        if min(each.shape, default=1) < 1 or (each.vocabulary or 1) < 1 or math.prod(each.shape) > MOST_ELEMENTS:
            raise BadGraph(f"{given.name}: input '{each.name}' needs sizes and a vocabulary of at least 1, and at most "
                           f"{MOST_ELEMENTS:,} elements, not {each.shape} and {each.vocabulary}")
    return inputs


def _add(net: Builder, layer: _Layer, graph: str) -> None:
    op = _operation(layer, graph)
    shares = {p.name: p.key for p in layer.parameters if p.key != f"{layer.name}/{p.name}"}
    try:
        net.add_layer(layer.name, op, layer.inputs, shares=shares)
    except BadGraph:
        raise
    except (ArithmeticError, IndexError, TypeError, ValueError) as error:    # a rule that met what no model has
        raise BadGraph(f"{graph}: layer '{layer.name}': {layer.op} with {layer.attributes} does not fit its inputs "
                       f"({type(error).__name__})") from None


def _operation(layer: _Layer, graph: str) -> Op:
    if layer.op not in OPS:
        raise BadGraph(f"{graph}: layer '{layer.name}' is '{layer.op}', which is no operation; known: "
                       f"{', '.join(sorted(OPS))}")
    kind = OPS[layer.op]
    what = f"the attributes of {layer.op} in layer '{layer.name}' of {graph}"
    op = _converted(layer.attributes, kind, what)
    if unknown := sorted(layer.attributes.keys() - {each.name for each in fields(op)}):
        raise BadGraph(f"not {what}: it has no '{unknown[0]}'")
    return op


def _optimizer(plain: Mapping[str, Any], graph: str) -> Optimizer:
    kind = str(plain.get("kind"))
    if kind not in OPTIMIZERS:
        raise BadGraph(f"{graph}: no optimizer '{kind}'; known: {', '.join(OPTIMIZERS)}")
    return _converted({name: value for name, value in plain.items() if name != "kind"}, OPTIMIZERS[kind],
                      f"the settings of {kind} in {graph}")


def _refuse_impossible(layer: Layer, graph: str) -> None:
    """Raises BadGraph for sizes that no array has, and for unknown initialisers."""
    shapes = [(f"output {index}", value.shape) for index, value in enumerate(layer.outputs)]
    shapes += [(f"'{p.name}'", p.shape) for p in layer.parameters]
    for what, shape in shapes:
        if min(shape, default=1) < 1 or math.prod(shape) > MOST_ELEMENTS:
            raise BadGraph(f"{graph}: layer '{layer.name}' has {what} of shape {shape}; sizes are at least 1, and no "
                           f"value has more than {MOST_ELEMENTS:,} elements")
    for parameter in layer.parameters:
        if initialiser(parameter.init) is None:
            raise BadGraph(f"{graph}: layer '{layer.name}' starts '{parameter.name}' as '{parameter.init}'; known: "
                           f"{', '.join(INITIALISERS)}, and numbers")


def _refuse_other_shapes(stated: _Layer, layer: Layer, graph: str) -> None:
    """Raises BadGraph where a layer does not give what was stated."""
    computed: dict[str, Any] = {
        "input_shapes": list(map(list, layer.input_shapes)), "output_shape": list(layer.output_shape),
        "outputs": [value.plain() for value in layer.outputs],
    }
    for name, value in computed.items():
        given = getattr(stated, name)
        if given is not None and given != value:
            raise BadGraph(f"{graph}: layer '{layer.name}' states {name} {given}, but computes {value}")
