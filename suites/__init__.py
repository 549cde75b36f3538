"""The suites: named sets of sweeps, one file each, found by its name. Also asv's benchmark folder."""

from __future__ import annotations

from rigmark.bench.errors import unknown
from rigmark.bench.plan.sweep import Sweep
from rigmark.bench.worker import registry

NAMES: tuple[str, ...] = registry.names(__path__)


def sweeps(name: str) -> tuple[Sweep, ...]:
    """What a suite declares; raises UnknownName with the nearest names."""
    if name not in NAMES:
        raise unknown("suite", name, NAMES)
    declared: tuple[Sweep, ...] = registry.load(__name__, name).SWEEPS
    return declared
