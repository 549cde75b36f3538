"""Claim: networks of keras.applications that are imported compute in every framework what Keras computes.

Imports each with random weights, and prints one row per network: layers and parameters, the difference of the output
from that of ``model.predict``, how far every gradient in training is from what Keras's own GradientTape gives, and, for
the weights as given and perturbed, the largest relative errors in fp32 of output and gradients against the float64
oracle, in each framework; or the sentence with which it is refused. What was not run within its time is said so, and
does not count as agreeing.

Run: .venv/bin/python -m evidence.imported_keras WORK [--framework torch,jax] [--text RECORD.txt]
In the folder WORK stays what was imported, computed and compiled; the weights are the same in each run.
Ends with exit code 1 if something that ran did not agree.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import multiprocessing
import os
import sys
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
VERSION = importlib.metadata.version("keras")
FRAMEWORKS = ("tensorflow", "torch", "jax")
SOURCE = """
import keras

def _made(name, size):
    keras.utils.set_random_seed(1)
    return getattr(keras.applications, name)(
        weights=None, input_shape=(size, size, 3), classes=10, classifier_activation=None)

"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path, help="folder for what is imported, computed and compiled")
    parser.add_argument("--framework", default=",".join(FRAMEWORKS))
    parser.add_argument("--only", default=",".join(SIZES))
    parser.add_argument("--minutes", type=float, default=60.0, help="after which nothing more is started")
    parser.add_argument("--each-s", type=float, default=300.0, help="after which a framework is stopped")
    parser.add_argument("--text", type=Path, help="where to write what is printed")
    options = parser.parse_args()
    table = imported_files.Table(
        options.work.absolute(), options.framework.split(","), options.each_s, 60 * options.minutes)
    text, rows = None if options.text is None else options.text.absolute(), list[dict[str, Any]]()
    os.chdir(options.work)
    Path("nets.py").write_text(SOURCE + "".join(
        f"def {net}():\n    return _made({net!r}, {size})\n\n" for net, size in SIZES.items()), encoding="utf-8")
    for net in options.only.split(","):
        rows.append(row_of(net, table, options.each_s))
        imported_files.write(text, rows)
    table.stop()
    print(imported_files.text_of(rows))
    return int(any("disagrees" in each for row in rows for each in row["frameworks"].values()))


def row_of(net: str, table: imported_files.Table, each_s: float) -> dict[str, Any]:
    size = SIZES[net]
    row: dict[str, Any] = {"package": f"keras-{VERSION}", "file": f"{net} at {size} x {size}", "frameworks": {}}
    reference = f"nets.py:{net}"
    try:
        network = brought([reference], Options(), build.load(), Path("networks"))[reference]
    except UserError as error:
        return {**row, "refused": str(error)}
    row |= {"layers": len(network.graph.layers), "parameters": network.graph.parameter_count,
            "original": network.agreement, "network": network}
    exact = table.answered(row)
    if exact.exists():
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
    """Says how the gradients compare in fp32, and in fp64 where they do not agree."""
    import keras

    from rigmark.bench.worker import keras_import, user_code

    model, _ = user_code.made("nets.py", net, os.getcwd())
    _, _, told, _ = keras_import.imported({"name": net}, model, None)
    paths = told["own_names"]
    with np.load(exact) as stored:
        found = {key.partition(":")[2]: stored[key].ravel() for key in stored if key.startswith("given/gradient:")}
    names = [each.path for each in model.trainable_variables]
    own = gradients(model, told, graph, names)
    missing = set(own) - {paths[key] for key in found if key in paths}
    in_fp32 = worst(own, found, paths)
    said = f"gradient {in_fp32:.1e}" + (f"; none of {', '.join(sorted(missing))}" if missing else "")
    if not missing and in_fp32 <= imported_files.GRADIENT:
        pipe.send(f"agrees: {said}")
        return
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    exactly, _ = user_code.made("nets.py", net, os.getcwd())
    exactly.set_weights(model.get_weights())
    in_fp64 = worst(gradients(exactly, told, graph, names), found, paths)
    is_rounding = not missing and in_fp64 <= imported_files.IN_FP64
    pipe.send(f"{imported_files.BY_ROUNDING if is_rounding else 'disagrees:'} {said} in fp32; gradient {in_fp64:.1e} "
              "in fp64")


def gradients(model: Any, told: dict[str, Any], graph: Any, names: list[str]) -> dict[str, Any]:
    """Keras's own of a step of training by these names of its variables; a model made again would number them on."""
    import keras
    import tensorflow as tf

    from rigmark.bench.worker.keras_import import original

    x, y = ir_weights.synthetic_batch(graph, imported_files.SAMPLES, imported_files.SEED)
    (given,) = original.samples(told, {"x": x})
    with tf.GradientTape() as tape:
        scores = model(tf.cast(given, model.compute_dtype), training=True)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)(y, scores)
    found = tape.gradient(loss, model.trainable_variables)
    return {name: np.asarray(keras.ops.convert_to_numpy(gradient)).ravel()
            for name, gradient in zip(names, found, strict=True)}


def worst(own: dict[str, Any], found: dict[str, Any], paths: dict[str, str]) -> float:
    """The largest difference of a gradient over the norm of all.

    Layouts differ, so numbers are compared in the order of their size.
    """
    norm = np.sqrt(sum(np.square(each).sum() for each in found.values()))
    return max(float(np.linalg.norm(np.sort(own[paths[key]]) - np.sort(each)) / norm)
               for key, each in found.items() if key in paths)


if __name__ == "__main__":
    sys.exit(main())
