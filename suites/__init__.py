"""The suites: named sets of sweeps, one file per suite, found by its name. It is also the benchmark folder of asv."""

from __future__ import annotations

from rigmark.bench import added
from rigmark.bench.errors import UserError, unknown
from rigmark.bench.plan.sweep import Sweep
from rigmark.bench.worker import registry

NAMES: tuple[str, ...] = registry.names(__path__)


def title(name: str) -> str:
    """The purpose of a suite: the first line of its docstring, without the full stop."""
    return (added.load(__name__, name, "suite").__doc__ or "").strip().partition("\n")[0].removesuffix(".")


def sweeps(name: str) -> tuple[Sweep, ...]:
    """The sweeps of a suite; raises UnknownName with the nearest name, or UserError for a mistake in its file."""
    if name not in NAMES:
        raise unknown("suite", name, NAMES)
    declared = getattr(added.load(__name__, name, "suite"), "SWEEPS", None)
    if not isinstance(declared, tuple | list) or not declared or not all(isinstance(each, Sweep) for each in declared):
        raise UserError(f"suite '{name}' declares nothing: suites/{name}.py needs SWEEPS = (Sweep(...),)")
    return tuple(declared)
