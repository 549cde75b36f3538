"""Networks as files of others: what is written is read again as the same network."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from rigmark.bench.builds import build as builds
from rigmark.bench.errors import UserError
from rigmark.bench.ir.reading import read
from rigmark.bench.ir.weights import synthetic_batch
from rigmark.bench.networks import Network, Networks, exporting
from rigmark.bench.worker import frameworks


@pytest.fixture(scope="module")
def network() -> Network:
    return Networks()["mnist_cnn"]


def test_a_graph_comes_back_with_its_fingerprint_and_weights(network: Network, tmp_path: Path):
    file, arrays = exporting.graph(network, tmp_path / "net.json")

    assert read(json.loads(file.read_text())).fingerprint == network.graph.fingerprint
    with np.load(arrays) as stored:
        assert stored.keys() == network.graph.parameters.keys()
        for key, array in network.weights(exporting.SEED).items():
            np.testing.assert_array_equal(stored[key], array)


def test_another_program_computes_the_oracles_answer_from_the_onnx_file(network: Network, tmp_path: Path):
    pytest.importorskip("onnx")
    engine = pytest.importorskip("onnxruntime")
    (file,) = exporting.onnx(network, tmp_path / "net.onnx", builds.load()["default"])
    x, _ = synthetic_batch(network.graph, 3, 2)
    oracle = frameworks.load("numpy").prepare(network.graph.plain(), network.weights(exporting.SEED), {
        "mode": "inference", "precision": "fp64", "compile_mode": "eager", "layout": "nchw", "device": "cpu",
        "threads": 1, "seed": 1,
    })

    output = engine.InferenceSession(file, providers=["CPUExecutionProvider"]).run(None, {"input": x})[0]

    np.testing.assert_allclose(output, oracle.forward(x), rtol=1e-4, atol=1e-5)


def test_a_place_that_cannot_be_written_ends_in_a_sentence(network: Network, tmp_path: Path):
    with pytest.raises(UserError, match=r"cannot write .*/missing/net\.json: No such file or directory; choose"):
        exporting.graph(network, tmp_path / "missing" / "net.json")
    with pytest.raises(UserError, match=r"the format graph is written to a file that ends in \.json, not to net\.onnx"):
        exporting.graph(network, Path("net.onnx"))
