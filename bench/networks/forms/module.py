"""A torch module or Keras model that a factory of the user's makes: package.module:factory, or file.py:factory."""

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
    """What the module or model itself gives in evaluation mode."""
    _, arrays = ask({"kind": "import_outputs_model", "original": dict(imported.original), "inputs": str(inputs)})
    return ("the module itself" if imported.original["library"] == "torch" else "the model's predict"), arrays


def _job(reference: str, options: Options) -> dict[str, Any]:
    source, _, factory = reference.rpartition(":")
    return {"kind": "import_model", "source": source, "factory": factory, **told(reference, options)}


def told(reference: str, options: Options) -> dict[str, Any]:
    """What a job that imports a model must know besides where it is from."""
    inputs = [{"name": name, "shape": list(shape), "dtype": options.dtypes.get(name, "float32")}
              for name, shape in options.shapes.items()]
    return {"folder": os.getcwd(), "name": short(reference), "inputs": inputs}
