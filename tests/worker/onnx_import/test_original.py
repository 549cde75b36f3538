"""The user's own file runs as it is, and with other numbers where its numbers are parameters of the graph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from rigmark.bench.enums import Precision  # noqa: E402
from rigmark.bench.ir import weights as ir_weights  # noqa: E402
from rigmark.bench.ir.reading import read  # noqa: E402
from rigmark.bench.trials import parity  # noqa: E402
from rigmark.bench.worker import frameworks, proof  # noqa: E402
from rigmark.bench.worker.onnx_import import original  # noqa: E402

SETTINGS = {
    "mode": "inference", "precision": "fp32", "compile_mode": "compiled", "layout": "nchw", "device": "cpu",
    "threads": 1, "seed": 1,
}
TEXT = """<ir_version: 9, opset_import: ["" : 17]>
net (float[BATCH,3,4,4] images, int64 unused) => (float[BATCH,5] scores, float[2,BATCH] sums)
{
    a = Conv <pads = [1, 1, 1, 1]> (images, kernel, shift)
    b = BatchNormalization (a, gamma, beta, mean, variance)
    c = Flatten (b)
    half = Constant <value = float {0.5}> ()
    scaled = Mul (wide, half)
    d = MatMul (c, scaled)
    scores = Add (d, last)
    first = MatMul (c, narrow)
    sums = Transpose <perm = [1, 0]> (first)
}"""
SHAPES = {
    "kernel": (4, 3, 3, 3), "shift": (4,), "gamma": (4,), "beta": (4,), "mean": (4,), "variance": (4,),
    "wide": (64, 5), "last": (5,), "narrow": (64, 2),
}


def written(folder: Path, batch: str = "n") -> Path:
    model = onnx.parser.parse_model(TEXT.replace("BATCH", batch))
    rng = np.random.RandomState(0)
    for name, shape in SHAPES.items():
        array = np.ones(shape) if name == "gamma" else rng.uniform(0.1, 0.2, shape)
        model.graph.initializer.append(onnx.numpy_helper.from_array(array.astype(np.float32), name))
    onnx.save(model, str(folder / "net.onnx"))
    return folder / "net.onnx"


def brought(path: Path) -> tuple[Any, dict[str, Any], dict[str, Any]]:
    plain, weights, _, told = original.told_of(str(path), {}, {})
    return read({**plain, "name": "net"}), weights, {**told, "folder": str(path.parent), "reference": path.name}


def answer(network: Any, graph: Any) -> dict[str, Any]:
    return proof.answer(network, graph.plain(), *ir_weights.synthetic_batch(graph, 4, 1), seed=3)


def as_written(name: str, told: dict[str, Any], graph: Any, weights: dict[str, Any]) -> Any:
    pytest.importorskip(name)
    return frameworks.part(name, "original").prepare(told, graph.plain(), weights, SETTINGS)


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("batch", ["n", "3"])
def test_a_file_as_written_is_proven_with_other_numbers_but_for_those_that_it_computes(
    name: str, batch: str, tmp_path: Path,
):
    graph, weights, told = brought(written(tmp_path, batch))
    kept = {key: weights[key] for key in weights if key not in told["moved"]}
    perturbed = {**ir_weights.perturbed(graph, weights, 1), **kept}

    network = as_written(name, told, graph, perturbed)
    exact = frameworks.load("numpy").prepare(graph.plain(), perturbed, {
        **SETTINGS, "precision": "fp64", "mode": "training", "compile_mode": "eager",
    })
    found = parity.compare(answer(network, graph), answer(exact, graph), Precision.FP32)

    assert len(kept) == 1        # "wide" times a half
    assert not np.allclose(perturbed["b/gamma"], 1)
    assert not found.failures()


def test_the_file_itself_runs_with_the_weights_that_it_holds(tmp_path: Path):
    path = written(tmp_path)
    graph, weights, told = brought(path)

    with original.File(told, graph.plain()).with_weights(weights) as ran:
        assert ran == str(path)


def test_a_batch_that_the_file_does_not_take_and_a_file_that_changed_are_refused(tmp_path: Path):
    path = written(tmp_path, "3")
    graph, weights, told = brought(path)
    x, y = ir_weights.synthetic_batch(graph, 4, 1)

    with pytest.raises(frameworks.Unsupported, match=r"takes batches of 3 alone; choose --batch 3"):
        as_written("onnxruntime", told, graph, weights).load([(x, y)])
    written(tmp_path, "4")
    with pytest.raises(frameworks.Unsupported, match=r"net\.onnx has changed since it was imported"):
        as_written("onnxruntime", told, graph, weights)
