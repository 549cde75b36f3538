"""The networks: one file a model, found by its name. No framework code."""

from __future__ import annotations

from rigmark.bench.errors import UserError, unknown
from rigmark.bench.ir.graph import Graph
from rigmark.bench.worker import registry

NAMES: tuple[str, ...] = registry.names(__path__)


def build(name: str) -> Graph:
    """The graph of a model at its published size; raises UnknownName with the nearest names.

    Raises UserError where the graph bears another name than its file, since trials and reports go by both.
    """
    if name not in NAMES:
        raise unknown("model", name, NAMES)
    graph: Graph = registry.load(__name__, name).build()
    if graph.name != name:
        raise UserError(f"bench/models/{name}.py builds a graph named '{graph.name}'; name it Builder(\"{name}\", ...)")
    return graph
