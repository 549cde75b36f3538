"""The suites: named sets of sweeps, one file each, found by its name. Also asv's benchmark folder."""

from __future__ import annotations

import importlib
import pkgutil

from rigmark.bench.errors import unknown
from rigmark.bench.plan.sweep import Sweep

NAMES: tuple[str, ...] = tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))


def sweeps(name: str) -> tuple[Sweep, ...]:
    """What a suite declares; raises UnknownName with the nearest names."""
    if name not in NAMES:
        raise unknown("suite", name, NAMES)
    declared: tuple[Sweep, ...] = importlib.import_module(f"suites.{name}").SWEEPS
    return declared
