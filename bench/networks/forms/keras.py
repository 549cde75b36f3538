"""A Keras model with its weights, as ``model.save("net.keras")`` writes it."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from rigmark.bench.host import files
from rigmark.bench.networks.forms import Ask, Imported, Options, module

DISTRIBUTIONS = ("keras",)
MOST_BYTES = 2**35


def fits(reference: str) -> bool:
    return reference.lower().endswith(".keras")


def content(reference: str, options: Options, ask: Ask) -> str:
    return hashlib.sha256(files.read_bytes(Path(reference), MOST_BYTES)).hexdigest()


def bring(reference: str, options: Options, ask: Ask) -> Imported:
    facts, weights = ask({
        "kind": "import_model", "source": os.path.abspath(reference), "factory": None,
        **module.told(reference, options),
    })
    return Imported(plain=facts["graph"], weights=weights, notes=tuple(facts["notes"]), original=facts["original"])


outputs = module.outputs
