"""The context of trials: the same for all trials of a runner."""

from __future__ import annotations

from dataclasses import dataclass

from rigmark.bench.launch.workers import Workers
from rigmark.bench.store.store import Store
from rigmark.bench.trials.inputs import Inputs
from rigmark.bench.trials.instruction_sets import Watch
from rigmark.bench.trials.oracle import Oracle


@dataclass(frozen=True, kw_only=True)
class Context:
    """The store, the workers and their inputs, in one session."""

    store: Store
    workers: Workers
    inputs: Inputs
    oracle: Oracle
    instruction_sets: Watch
    node: str                        # of this machine; see bench.machine.node
    session: str
    base: Base | None = None         # of pairs; None if there are no pairs


@dataclass(frozen=True, kw_only=True)
class Base:
    """The base of pairs: the same cases in another build, or with other adapters."""

    context: Context
    build: str
