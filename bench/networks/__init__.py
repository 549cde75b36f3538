"""The networks of a command by their names: those that Rigmark defines, and those that a user brings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from rigmark.bench import models
from rigmark.bench.errors import UserError
from rigmark.bench.ir import weights as ir_weights
from rigmark.bench.ir.graph import Graph
from rigmark.bench.ir.ops import BadGraph
from rigmark.bench.plan.case import Case

Arrays = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Network:
    """A graph with its weights, and where both are from."""

    graph: Graph
    given: Path | None = None        # the .npz file of weights that were brought; None: they are drawn from a seed
    digest: str | None = None        # hash of these weights
    reference: str | None = None     # as the user wrote it; None: the network is Rigmark's own
    notes: tuple[str, ...] = ()      # sentences of the importer about what the network is not
    agreement: str | None = None     # a sentence: how the graph agrees with the original; None: there is no original
    original: Mapping[str, Any] | None = None    # what a worker must know to run it as written; see forms.Imported

    @property
    def kept(self) -> frozenset[str]:
        """Parameters that the original does not take from outside, so that no proof of it may change them."""
        moved = frozenset((self.original or {}).get("moved", ()))
        return frozenset(self.graph.parameters) - moved

    def weights(self, seed: int) -> Arrays:
        """Every parameter by its key; ``seed`` is of weights that are drawn."""
        if self.given is None:
            return ir_weights.initial_weights(self.graph, seed)
        with np.load(self.given) as stored:
            return dict(stored)


class Networks:
    """Finds networks by the names that cases have; ``brought`` are those of a user, and have the names of references.

    Own networks are built once, when they are asked for.
    """

    def __init__(self, brought: Mapping[str, Network] = MappingProxyType({})):
        self._brought = dict(brought)
        self._built: dict[str, Network] = {}
        self._trained: dict[tuple[str, str, str], Network] = {}

    @property
    def brought(self) -> Mapping[str, Network]:
        return MappingProxyType(self._brought)

    @property
    def originals(self) -> Mapping[str, str]:
        """What each network was imported from, "a PyTorch module", by name; without those that have no original."""
        found = {name: network.original for name, network in self._brought.items()}
        return {name: str(original["kind"]) for name, original in found.items() if original is not None}

    def __getitem__(self, name: str) -> Network:
        """Raises UnknownName, and UserError for a mistake in the file of an own network."""
        if name in self._brought:
            return self._brought[name]
        if name not in self._built:
            self._built[name] = Network(graph=models.build(name))
        return self._built[name]

    def of(self, case: Case) -> Network:
        """The network of a case, trained as that says; raises UserError where it cannot be, and as by name."""
        key = case.model, case.loss_asked, case.optimizer_asked
        if key not in self._trained:
            network = self[case.model]
            try:
                graph = network.graph.trained(loss=case.loss_asked, optimizer=case.optimizer_asked)
            except (BadGraph, ValueError) as error:
                raise UserError(f"{case.model} cannot be trained so: {error}") from None
            self._trained[key] = replace(network, graph=graph)
        return self._trained[key]
