"""The networks: one file per model, found by its name. They contain no framework code."""

from __future__ import annotations

from rigmark.bench import added
from rigmark.bench.errors import UserError, unknown
from rigmark.bench.ir.graph import Graph
from rigmark.bench.worker import registry

NAMES: tuple[str, ...] = registry.names(__path__)


def build(name: str) -> Graph:
    """The graph of a model at its published size; raises UnknownName with the nearest name.

    Raises UserError for a mistake in its file, and if the graph has another name than the file, since trials and
    reports use both names.
    """
    if name not in NAMES:
        raise unknown("model", name, NAMES)
    module = added.load(__name__, name, "model")
    with added.mistakes_in(__name__, name, "model"):
        graph: Graph = module.build()
        if not isinstance(graph, Graph):
            raise TypeError(f"build() returns a {type(graph).__name__}, not a Graph; let it return net.build(...)")
        assert graph.fingerprint         # computing it checks the whole graph
    if graph.name != name:
        raise UserError(f"bench/models/{name}.py builds a graph named '{graph.name}'; name it Builder(\"{name}\", ...)")
    return graph


def about(name: str) -> tuple[str, str]:
    """What a network is and where it is from, by its docstring: the first sentence, and what follows "Source: ".

    Both are "" where the docstring does not say; raises as ``build``.
    """
    if name not in NAMES:
        raise unknown("model", name, NAMES)
    first, _, rest = (added.load(__name__, name, "model").__doc__ or "").strip().partition("\n\n")
    source = rest.partition("Source: ")[2].partition("\n\n")[0]
    return " ".join(first.split()).removesuffix("."), " ".join(source.split())
