"""Claim: files of others that are imported compute in every framework what the oracle and ONNX Runtime compute.

Imports the ONNX files that ship inside packages of the Python package index, and prints one row per file: layers and
parameters, the difference of the output from ONNX Runtime on the original file, and, for the weights as given and
perturbed, the largest relative errors in fp32 of output and gradients against the float64 oracle, in each framework;
or the sentence with which a file or a framework refuses it. What was not run within its time is said so, and does not
count as agreeing. With --record all of it is written as JSON, with the versions that were used.

Run: pip download --no-deps -d WHEELS rapidocr-onnxruntime silero-vad magika ...    (into a folder beside the project)
     .venv/bin/python -m evidence.imported_files WHEELS [--framework torch,jax] [--record evidence/records/NAME.json]
Ends with exit code 1 if something that ran did not agree.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import multiprocessing
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from rigmark.bench.builds import build
from rigmark.bench.errors import UserError
from rigmark.bench.ir import weights as ir_weights
from rigmark.bench.networks import Network
from rigmark.bench.networks.bringing import brought
from rigmark.bench.networks.forms import Options
from rigmark.bench.trials import parity
from rigmark.bench.worker import frameworks, proof

OUTPUT, GRADIENT = 1e-4, 1e-3       # largest relative error that agrees, in fp32
SAMPLES, SEED = 2, 1
FRAMEWORKS = ("numpy", "torch", "jax", "tensorflow", "onnxruntime")
LEAST_BYTES = 10_000
SHAPES: dict[str, dict[str, tuple[int, ...]]] = {
    "det": {"x": (1, 3, 64, 64)}, "rec": {"x": (1, 3, 48, 96)}, "cls": {"x": (1, 3, 48, 192)},
    "common": {"input1": (1, 1, 64, 96)}, "silero": {"input": (1, 576)}, "rawi": {"input": (1, 32)},
    "bilstm": {"input_ids": (1, 32)},
}
"""Sizes of open axes, by a part of the name of a file."""
PINS = {"silero": {"sr": 16000.0}}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheels", type=Path)
    parser.add_argument("--framework", default=",".join(FRAMEWORKS))
    parser.add_argument("--only", default="", help="files whose path contains this")
    parser.add_argument("--minutes", type=float, default=60.0, help="after which nothing more is started")
    parser.add_argument("--each-s", type=float, default=120.0, help="after which a framework is stopped")
    parser.add_argument("--record", type=Path)
    options = parser.parse_args()
    until, rows = time.monotonic() + 60 * options.minutes, []
    with tempfile.TemporaryDirectory() as name:
        for package, path in sorted(files(options.wheels, Path(name)), key=lambda each: each[1].stat().st_size):
            if options.only in str(path):
                row = row_of(package, path, Path(name), options.framework.split(","), options.each_s, until)
                print(line(row), flush=True)
                rows.append(row)
                if options.record is not None:
                    options.record.write_text(json.dumps(recorded(rows), indent=1) + "\n", encoding="utf-8")
    print(summary(rows))
    return int(any("disagrees" in each for row in rows for each in row["frameworks"].values()))


def files(wheels: Path, folder: Path) -> Iterator[tuple[str, Path]]:
    """(package with its version, path) of each ONNX file in the archives of a folder, and in the package onnx."""
    for archive in sorted(wheels.iterdir()):
        package = "-".join(archive.name.split("-")[:2]).removesuffix(".tar.gz")
        inside = folder / "files" / package
        if archive.suffix == ".whl":
            with zipfile.ZipFile(archive) as opened:
                opened.extractall(inside, [each for each in opened.namelist() if each.endswith(".onnx")])
        elif archive.name.endswith(".tar.gz"):
            with tarfile.open(archive) as packed:
                packed.extractall(inside, [each for each in packed if each.name.endswith(".onnx")], filter="data")
        yield from ((package, path) for path in sorted(inside.rglob("*.onnx")) if path.stat().st_size >= LEAST_BYTES)


def row_of(
    package: str, path: Path, folder: Path, names: list[str], each_s: float, until: float
) -> dict[str, Any]:
    row: dict[str, Any] = {"package": package, "file": path.name, "frameworks": {}}
    options = Options(
        pins=next((pins for part, pins in PINS.items() if part in path.name), {}),
        shapes=next((shapes for part, shapes in SHAPES.items() if part in path.name), {}),
    )
    row |= {"shapes": {name: list(shape) for name, shape in options.shapes.items()}, "pins": dict(options.pins)}
    for _ in range(4):                               # what a file asks for by a sentence, it gets: pins it lacks go
        try:
            network = brought([str(path)], options, build.load(), folder / "kept")[path.name]
            break
        except UserError as error:
            row["refused"] = str(error)
            if "has no input 'sr'" not in str(error):
                return row
            options, row["pins"] = Options(shapes=options.shapes), {}
    row.pop("refused", None)
    row |= {
        "layers": len(network.graph.layers), "parameters": network.graph.parameter_count,
        "original": network.agreement, "fingerprint": network.graph.fingerprint, "notes": list(network.notes),
    }
    exact = folder / "exact.npz"
    for name in ("oracle", *names):
        if time.monotonic() > until:
            row["frameworks"][name] = "not run: the time was over"
            continue
        outcome = within(each_s, name, network, exact)
        if name != "oracle":
            row["frameworks"][name] = outcome
        elif outcome != "ok":
            row["frameworks"] = dict.fromkeys(names, f"not run: oracle: {outcome}")
            break
    return row


def within(each_s: float, framework: str, network: Network, exact: Path) -> str:
    """What a process of its own says about a framework within so many seconds."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=answer, args=(framework, network, exact, there))
    process.start()
    there.close()
    try:
        if not here.poll(each_s):
            return f"not run: no answer within {each_s:g} s"
        return str(here.recv())
    except EOFError:
        return "disagrees: the process crashed"
    finally:
        process.kill()
        process.join()


def answer(framework: str, network: Network, exact: Path, pipe: Any) -> None:
    try:
        pipe.send(oracle(network, exact) if framework == "oracle" else compared(framework, network, exact))
    except frameworks.Unsupported as error:
        pipe.send(f"unsupported: {error}")
    except Exception as error:
        pipe.send(f"disagrees: {type(error).__name__}: {str(error).splitlines()[0][:150] if str(error) else ''}")


def both(network: Network) -> dict[str, dict[str, Any]]:
    given = network.weights(SEED)
    return {"given": given, "perturbed": ir_weights.perturbed(network.graph, given, SEED)}


def prepared(framework: str, network: Network, weights: dict[str, Any], mode: str, precision: str) -> Any:
    adapter = frameworks.load(framework)
    settings = {
        "mode": mode, "precision": precision, "compile_mode": adapter.COMPILE_MODES[0], "layout": adapter.LAYOUTS[0],
        "device": "cpu", "threads": 2, "seed": SEED, "shards": 1,
    }
    return adapter.prepare(network.graph.plain(), weights, settings)


def answers(framework: str, network: Network, precision: str) -> dict[str, Any]:
    """Outputs and gradients with both sets of weights."""
    plain, modes = network.graph.plain(), frameworks.modes(framework)
    x, y = ir_weights.synthetic_batch(network.graph, SAMPLES, SEED)
    arrays = {}
    for name, weights in both(network).items():
        made = prepared(framework, network, weights, "training" if "training" in modes else "inference", precision)
        output = made.forward(x)
        arrays[f"{name}/output"] = np.asarray(output[0] if isinstance(output, tuple | list) else output)
        if made.can_train and "training" in modes:
            masks = proof.dropout_masks(plain, SAMPLES, SEED)
            for key, gradient in made.gradients(x, y, masks)[1].items():
                arrays[f"{name}/gradient:{key}"] = np.asarray(gradient)
    return arrays


def oracle(network: Network, exact: Path) -> str:
    np.savez(exact, **answers("numpy", network, "fp64"))
    return "ok"


def compared(framework: str, network: Network, exact: Path) -> str:
    computed = answers(framework, network, "fp32")
    with np.load(exact) as stored:
        reference = dict(stored)
    output, gradient = 0.0, None
    for name in ("given", "perturbed"):
        output = max(output, parity.relative_error(computed[f"{name}/output"], reference[f"{name}/output"]))
        keys = [key for key in reference if key.startswith(f"{name}/gradient:")]
        norm = np.sqrt(sum(np.square(reference[key]).sum() for key in keys))
        if keys and keys[0] in computed:
            errors = [np.linalg.norm(computed[key] - reference[key]) / norm for key in keys]
            gradient = max(gradient or 0.0, float(max(errors)))
    agrees = output <= OUTPUT and (gradient is None or gradient <= GRADIENT)
    return f"{'agrees' if agrees else 'disagrees'}: output {output:.1e}" + (
        "" if gradient is None else f", gradient {gradient:.1e}")


def line(row: dict[str, Any]) -> str:
    head = f"{row['package']:<30} {row['file']:<34} "
    if "refused" in row:
        return head + "refused: " + row["refused"]
    body = f"{row['layers']} layers, {row['parameters']:,} parameters; {row['original']}"
    return head + body + "".join(f"\n    {name:<12} {said}" for name, said in row["frameworks"].items())


def summary(rows: list[dict[str, Any]]) -> str:
    refused = sum("refused" in row for row in rows)
    names = sorted({name for row in rows for name in row["frameworks"]})
    agreeing = {name: sum(row["frameworks"].get(name, "").startswith("agrees") for row in rows) for name in names}
    packages = len({row["package"] for row in rows})
    head = f"{len(rows)} files of {packages} packages; {refused} refused; agreeing of the other {len(rows) - refused}: "
    return head + (", ".join(f"{name} {count}" for name, count in agreeing.items()))


def recorded(rows: list[dict[str, Any]]) -> dict[str, Any]:
    packages = ("numpy", "torch", "jax", "tensorflow", "tensorflow-cpu", "onnx", "onnxruntime")
    versions = {}
    for name in packages:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {"versions": versions, "summary": summary(rows), "rows": rows}


if __name__ == "__main__":
    sys.exit(main())
