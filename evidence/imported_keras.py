"""Claim: networks of keras.applications that are imported compute in every framework what Keras computes.

Imports each with random weights, and prints one row per network: layers and parameters, the difference of the output
from that of ``model.predict``, how far every gradient in training is from what Keras's own GradientTape gives, and, for
the weights as given and perturbed, the largest relative errors in fp32 of output and gradients against the float64
oracle, in each framework; or the sentence with which it is refused. What was not run within its time is said so, and
does not count as agreeing. With --record the table is written.

Run: .venv/bin/python -m evidence.imported_keras [--framework torch,jax] [--record evidence/records/imported_keras.txt]
Ends with exit code 1 if something that ran did not agree.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import multiprocessing
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from evidence import imported_files
from rigmark.bench.builds import build
from rigmark.bench.errors import UserError
from rigmark.bench.ir import weights as ir_weights
from rigmark.bench.networks.bringing import brought
from rigmark.bench.networks.forms import Options

SIZES = {
    "MobileNetV2": 64, "ResNet50": 64, "DenseNet121": 64, "EfficientNetB0": 64, "VGG16": 32, "Xception": 71,
    "InceptionV3": 107, "NASNetMobile": 64, "ConvNeXtTiny": 64,
}
"""Height and width of the images: small, but no last feature map of a single pixel, over which to normalise."""
FRAMEWORKS = ("tensorflow", "torch", "jax")
SOURCE = """
import keras

def _made(name, size):
    return getattr(keras.applications, name)(
        weights=None, input_shape=(size, size, 3), classes=10, classifier_activation=None)

"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--framework", default=",".join(FRAMEWORKS))
    parser.add_argument("--only", default=",".join(SIZES))
    parser.add_argument("--minutes", type=float, default=60.0, help="after which nothing more is started")
    parser.add_argument("--each-s", type=float, default=180.0, help="after which a framework is stopped")
    parser.add_argument("--record", type=Path)
    options = parser.parse_args()
    record = None if options.record is None else options.record.resolve()
    until, lines, rows = time.monotonic() + 60 * options.minutes, [], []
    with tempfile.TemporaryDirectory() as name:
        os.chdir(name)
        Path("nets.py").write_text(SOURCE + "".join(
            f"def {net}():\n    return _made({net!r}, {size})\n\n" for net, size in SIZES.items()), encoding="utf-8")
        for net in options.only.split(","):
            rows.append(row_of(net, Path(name), options.framework.split(","), options.each_s, until))
            lines.append(imported_files.line(rows[-1]))
            print(lines[-1], flush=True)
            if record is not None:
                record.write_text("\n".join((*lines, "", versions())) + "\n", encoding="utf-8")
    print(imported_files.summary(rows))
    return int(any("disagrees" in each for row in rows for each in row["frameworks"].values()))


def row_of(net: str, folder: Path, names: list[str], each_s: float, until: float) -> dict[str, Any]:
    size = SIZES[net]
    row: dict[str, Any] = {"package": f"keras.applications, {size} x {size}", "file": net, "frameworks": {}}
    reference = f"nets.py:{net}"
    try:
        network = brought([reference], Options(), build.load(), folder / "kept")[reference]
    except UserError as error:
        return {**row, "refused": str(error)}
    row |= {
        "layers": len(network.graph.layers), "parameters": network.graph.parameter_count,
        "original": network.agreement, "notes": list(network.notes),
    }
    exact = folder / f"{net}.npz"
    for name in ("oracle", *names):
        if time.monotonic() > until:
            row["frameworks"][name] = "not run: the time was over"
            continue
        outcome = imported_files.within(each_s, name, network, exact)
        if name != "oracle":
            row["frameworks"][name] = outcome
        elif outcome != "ok":
            row["frameworks"] = dict.fromkeys(names, f"not run: oracle: {outcome}")
            return row
    row["frameworks"]["keras itself"] = beside_keras(net, network.graph, exact, each_s)
    return row


def beside_keras(net: str, graph: Any, exact: Path, each_s: float) -> str:
    """How far Keras's own gradients are from the oracle's with the weights as given."""
    if any(layer.op.kind == "dropout" for layer in graph.layers):
        return "not compared: it draws its own dropout"
    here, there = multiprocessing.get_context("spawn").Pipe(duplex=False)
    process = multiprocessing.get_context("spawn").Process(target=trained, args=(net, graph, exact, there))
    process.start()
    there.close()
    try:
        return str(here.recv()) if here.poll(each_s) else f"not run: no answer within {each_s:g} s"
    except EOFError:
        return "disagrees: the process crashed"
    finally:
        process.kill()
        process.join()


def trained(net: str, graph: Any, exact: Path, pipe: Any) -> None:
    import keras
    import tensorflow as tf

    from rigmark.bench.worker import keras_import, user_code
    from rigmark.bench.worker.keras_import import original

    model, _ = user_code.made("nets.py", net, os.getcwd())
    _, _, told, _ = keras_import.imported({"name": net}, model, None)
    x, y = ir_weights.synthetic_batch(graph, imported_files.SAMPLES, imported_files.SEED)
    (given,) = original.samples(told, {"x": x})
    with tf.GradientTape() as tape:
        scores = model(given, training=True)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)(y, scores)
    variables = model.trainable_variables
    own = {each.path: np.asarray(keras.ops.convert_to_numpy(gradient)).ravel()
           for each, gradient in zip(variables, tape.gradient(loss, variables), strict=True)}
    with np.load(exact) as stored:
        found = {key.partition(":")[2]: stored[key].ravel() for key in stored if key.startswith("given/gradient:")}
    paths = told["own_names"]
    missing = set(own) - {paths[key] for key in found if key in paths}
    norm = np.sqrt(sum(np.square(each).sum() for each in found.values()))
    # Layouts differ, so numbers are compared in the order of their size.
    worst = max(float(np.linalg.norm(np.sort(own[paths[key]]) - np.sort(each)) / norm)
                for key, each in found.items() if key in paths)
    agrees = not missing and worst <= imported_files.GRADIENT
    pipe.send(f"{'agrees' if agrees else 'disagrees'}: gradient {worst:.1e}" + (
        f"; none of {', '.join(sorted(missing))}" if missing else ""))


def versions() -> str:
    names = ("keras", "tensorflow-cpu", "torch", "jax", "numpy")
    return ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names)


if __name__ == "__main__":
    sys.exit(main())
