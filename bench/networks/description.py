"""What a network is, and which frameworks could run it, before anything is measured."""

from __future__ import annotations

import collections
import math
from typing import Any

from rigmark.bench.enums import Mode
from rigmark.bench.ir.decoding import decoding
from rigmark.bench.ir.graph import Graph
from rigmark.bench.ir.ops import BadGraph
from rigmark.bench.networks import Network
from rigmark.bench.worker import frameworks


def described(network: Network) -> dict[str, Any]:
    """The facts of a network as plain data.

    "frameworks" has, by name, the "modes" that an adapter has for it, and the operations that it lacks with the number
    of their layers; with one that is lacking there is no mode.
    """
    graph = network.graph
    return {
        "model": graph.name, "reference": network.reference, "graph_fingerprint": graph.fingerprint,
        "weights": network.digest, "agreement": network.agreement, "notes": list(network.notes),
        "inputs": [each.plain() for each in graph.inputs], "outputs": list(graph.outputs),
        "output_shape": list(graph.output_shape), "loss": graph.loss, "optimizer": graph.optimizer.plain(),
        "objectives": [_objective(graph, each) for each in graph.updates] if graph.objectives else [],
        "layers": len(graph.layers), "operations": dict(_operations(network).most_common()),
        "parameters": graph.parameter_count, "multiply_adds": graph.multiply_adds,
        "flops_per_sample": {mode.value: graph.flops_per_sample(training=mode is Mode.TRAINING)
                             for mode in (Mode.INFERENCE, Mode.TRAINING)},
        "frameworks": supports(network),
    }


def each_layer(graph: Graph) -> list[dict[str, Any]]:
    """A row per layer, in order: what it reads and gives, the parameters that it is the first to have, trained or not,
    and its FLOPs per sample forward."""
    first: dict[str, str] = {}
    for layer in graph.layers:
        for key in layer.keyed_parameters:
            first.setdefault(key, layer.name)
    return [
        {
            "layer": layer.name, "operation": layer.op.kind, "inputs": list(layer.inputs),
            "output_shape": list(layer.output_shape),
            "parameters": sum(math.prod(p.shape) for key, p in layer.keyed_parameters.items()
                              if first[key] == layer.name),
            "flops_per_sample": graph.cost(layer, batch=1, itemsize=4, training=False).flops,
        }
        for layer in graph.layers
    ]


def supports(network: Network) -> dict[str, dict[str, Any]]:
    """By framework, the modes that its adapter has for a network, and the operations that it lacks."""
    operations, generates = _operations(network), _generates(network)
    return {name: _support(network, name, operations, generates) for name in frameworks.NAMES}


def _objective(graph: Graph, update: Graph) -> dict[str, Any]:
    """What one objective of a training step makes smaller, and what it changes and costs for that."""
    return {
        "name": update.name.removeprefix(f"{graph.name}."), "output": update.outputs[0], "trains": list(update.trains),
        "parameters": update.parameter_count, "optimizer": update.optimizer.plain(),
        "flops_per_sample": update.flops_per_sample(training=True),
    }


def _operations(network: Network) -> collections.Counter[str]:
    return collections.Counter(layer.op.kind for layer in network.graph.layers)


def _support(
    network: Network, framework: str, operations: collections.Counter[str], generates: bool
) -> dict[str, Any]:
    adapter = frameworks.load(framework)
    lacking = {kind: count for kind, count in sorted(operations.items()) if kind not in adapter.LOWERINGS}
    modes = [mode for mode in frameworks.modes(framework) if mode != Mode.DECODE or generates]
    if network.graph.objectives and not getattr(adapter, "OBJECTIVES", False):
        modes = [mode for mode in modes if mode != Mode.TRAINING]
    carries = not network.graph.carried or getattr(adapter, "CARRIES", False)
    return {"modes": modes if carries and not lacking else [], "lacking": lacking}


def _generates(network: Network) -> bool:
    """Whether it is a causal language model, which generates text."""
    try:
        decoding(network.graph)
    except BadGraph:
        return False
    return True
