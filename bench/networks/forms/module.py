"""A torch module of the user's own, as a factory makes it: package.module:factory, or file.py:factory."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from rigmark.bench.networks.forms import Arrays, Ask, Imported, Options
from rigmark.bench.plan.reference import FACTORY, short

DISTRIBUTIONS = ("torch",)


def fits(reference: str) -> bool:
    return FACTORY.fullmatch(reference) is not None


def content(reference: str, options: Options, ask: Ask) -> None:
    """Not known: the factory may import and read anything."""


def bring(reference: str, options: Options, ask: Ask) -> Imported:
    facts, weights = ask(_job(reference, options))
    return Imported(plain=facts["graph"], weights=weights, notes=tuple(facts["notes"]), original=facts["original"])


def outputs(
    reference: str, options: Options, imported: Imported, inputs: Path, ask: Ask
) -> tuple[str, Arrays] | str:
    """What the module itself gives in evaluation mode."""
    _, arrays = ask({"kind": "import_outputs_torch", "original": dict(imported.original), "inputs": str(inputs)})
    return "the module itself", arrays


def _job(reference: str, options: Options) -> dict[str, Any]:
    source, _, factory = reference.rpartition(":")
    inputs = [{"name": name, "shape": list(shape), "dtype": options.dtypes.get(name, "float32")}
              for name, shape in options.shapes.items()]
    return {
        "kind": "import_torch", "source": source, "factory": factory, "folder": os.getcwd(), "name": short(reference),
        "inputs": inputs,
    }
