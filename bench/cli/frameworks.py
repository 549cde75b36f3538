"""``rigmark frameworks``: what each framework that has an adapter can do, whether or not it is installed."""

from __future__ import annotations

import json as json_format
import sys
from types import ModuleType
from typing import Annotated, Any

import typer

WIDTH = 120


def command(json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> None:
    """List the frameworks with their modes, precisions, compile modes, devices and layer times; none is imported.

    Example: rigmark frameworks --json
    """
    from rich.console import Console
    from rich.table import Table

    from rigmark.bench.worker import frameworks

    described = [_described(name) for name in frameworks.NAMES]
    if json:
        print(json_format.dumps(described, indent=2))
        return
    table = Table(box=None, pad_edge=False)
    titles = "framework", "modes", "precisions", "compile modes", "devices", "layer times", "operations", "Python"
    for title in titles:
        table.add_column(title)
    for each in described:
        table.add_row(
            each["name"], *(", ".join(each[key]) for key in ("modes", "precisions", "compile_modes", "devices")),
            "yes" if each["has_layer_times"] else "no", str(len(each["operations"])), each["python"] or "any",
        )
    Console(file=sys.stdout, width=None if sys.stdout.isatty() else WIDTH, highlight=False).print(table)


def _described(name: str) -> dict[str, Any]:
    """The constants of an adapter; ``python`` is None where no release is known to be too old for it.

    It is the one that a current release of the framework needs, or those that its recipe works with.
    """
    from rigmark.bench.builds.build import recipes
    from rigmark.bench.doctor.compatibility import PYTHONS
    from rigmark.bench.worker import frameworks

    adapter, recipe = frameworks.load(name), recipes().get(name)
    _, needed = PYTHONS.get(name, (None, None))
    return {
        "name": name, "modes": list(frameworks.modes(name)), "precisions": list(adapter.PRECISIONS),
        "compile_modes": list(adapter.COMPILE_MODES), "layouts": list(adapter.LAYOUTS),
        "devices": list(adapter.DEVICES), "has_layer_times": _has_layer_times(adapter),
        "operations": sorted(adapter.LOWERINGS),
        "python": ", ".join(recipe["pythons"]) if recipe else needed,
    }


def _has_layer_times(adapter: ModuleType) -> bool:
    """Whether a framework times its layers in place, in some compile mode and mode at least."""
    from rigmark.bench.worker.frameworks import Prepared

    classes = [each for each in vars(adapter).values() if isinstance(each, type) and issubclass(each, Prepared)]
    return any(each.layer_times is not Prepared.layer_times for each in classes)
