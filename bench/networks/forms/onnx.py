"""An ONNX file with its weights; the package ``onnx`` reads it in a worker, and ONNX Runtime gives a second opinion."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np

from rigmark.bench.errors import UserError
from rigmark.bench.host import files
from rigmark.bench.networks.forms import Arrays, Ask, Imported, NotInstalled, Options

DISTRIBUTIONS = ("onnx", "onnxruntime")
MOST_BYTES = 2**31           # protobuf holds no more
MOST_DATA_BYTES = 2**35


def fits(reference: str) -> bool:
    return reference.lower().endswith(".onnx")


def content(reference: str, options: Options, ask: Ask) -> str:
    file = files.read_bytes(Path(reference), MOST_BYTES)
    digest = hashlib.sha256(file)
    if b"location" in file:     # perhaps of data beside it, of which only a worker can tell the names
        facts, _ = ask({**_job(reference, options), "lists_files": True})
        for name in facts["files"]:
            digest.update(files.read_bytes(Path(reference).parent / str(name), MOST_DATA_BYTES))
    return digest.hexdigest()


def bring(reference: str, options: Options, ask: Ask) -> Imported:
    facts, weights = ask(_job(reference, options))
    return Imported(
        plain=facts["graph"], weights=weights, notes=tuple(facts["notes"]), original=facts["original"],
    )


def outputs(
    reference: str, options: Options, imported: Imported, inputs: Path, ask: Ask
) -> tuple[str, Arrays] | str:
    try:
        facts, arrays = ask({
            "kind": "import_outputs_onnx", "path": os.path.abspath(reference), "inputs": str(inputs),
            "pins": dict(options.pins), "original": dict(imported.original),
        })
    except NotInstalled:
        return "not compared with ONNX Runtime, which is not installed; install onnxruntime"
    except UserError as error:
        return f"not compared with ONNX Runtime, which cannot run the file: {error}"
    output = np.moveaxis(arrays["output"], imported.original["axis"], 0)
    return f"ONNX Runtime {facts['version']}", {"output": output}


def _job(reference: str, options: Options) -> dict[str, object]:
    return {"kind": "import_onnx", "path": os.path.abspath(reference), **options.plain()}
