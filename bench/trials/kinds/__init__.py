"""The kinds of trial: one file per kind, found by its name, which is the kind of a trial and of its record.

A file defines ``KIND``, a subclass of bench.trials.kind.Kind. A file whose name begins with "_" is a helper of the
kinds.
"""

from __future__ import annotations

from rigmark.bench.trials.context import Context
from rigmark.bench.trials.kind import Kind
from rigmark.bench.worker import registry

NAMES: tuple[str, ...] = registry.names(__path__)


class Kinds:
    """The kinds of trial of one runner, each created when it is first used."""

    def __init__(self, context: Context):
        self._context = context
        self._made: dict[str, Kind] = {}

    def of(self, kind: str) -> Kind:
        if kind not in self._made:
            self._made[kind] = registry.load(__name__, kind).KIND(self._context)
        return self._made[kind]
