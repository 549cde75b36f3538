"""Rigmark benchmarks identical neural networks across frameworks, builds, devices and precisions.

This module has what notebooks and authors of suites need; each part is loaded when it is first used::

    import rigmark

    results = rigmark.load("results")          # stored results as pandas tables

The parts of the program are beside this file: ``rigmark.bench``, ``rigmark.reports`` and ``rigmark.suites``.
"""

from __future__ import annotations

from rigmark.bench.version import __version__

TYPE_CHECKING = False            # as that of typing, which the command need not wait for before it is ready for Ctrl-C
if TYPE_CHECKING:
    from typing import Any

    from rigmark.bench.asv.benchmark import benchmark
    from rigmark.bench.devices import Device
    from rigmark.bench.enums import CompileMode, Isa, Layout, Mode, Precision, Setting, StartMethod
    from rigmark.bench.errors import UserError
    from rigmark.bench.plan.case import Case, Timing
    from rigmark.bench.plan.sweep import Sweep
    from rigmark.bench.reporting.notebook import Results, load

_PLACES = {
    "bench.asv.benchmark": ("benchmark",),
    "bench.devices": ("Device",),
    "bench.enums": ("CompileMode", "Isa", "Layout", "Mode", "Precision", "Setting", "StartMethod"),
    "bench.errors": ("UserError",),
    "bench.plan.case": ("Case", "Timing"),
    "bench.plan.sweep": ("Sweep",),
    "bench.reporting.notebook": ("Results", "load"),
}
_PLACE = {name: place for place, names in _PLACES.items() for name in names}

__all__ = (
    "Case", "CompileMode", "Device", "Isa", "Layout", "Mode", "Precision", "Results", "Setting", "StartMethod",
    "Sweep", "Timing", "UserError", "__version__", "benchmark", "load",
)


def __getattr__(name: str) -> Any:
    import importlib

    if name not in _PLACE:
        raise AttributeError(f"module 'rigmark' has no attribute '{name}'; it has: {', '.join(__all__)}")
    return getattr(importlib.import_module(f"rigmark.{_PLACE[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
