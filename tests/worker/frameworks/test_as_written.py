"""What a user wrote runs as it is, with the weights and the training of its graph, or says why not."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

from rigmark.bench.enums import Precision
from rigmark.bench.ir import weights as ir_weights
from rigmark.bench.ir.reading import read
from rigmark.bench.trials import parity
from rigmark.bench.worker import frameworks, proof
from rigmark.bench.worker.user_code import digest
from tests.worker.test_torch_import import HEAD, IMAGES, TOKENS, taken

pytestmark = pytest.mark.filterwarnings("ignore")    # of torch.export

SAMPLES = 4
SETTINGS = {
    "mode": "training", "precision": "fp32", "compile_mode": "eager", "layout": "nchw", "device": "cpu", "threads": 1,
    "seed": 1,
}
WITHOUT_BIAS = HEAD + """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(3, 4, bias=False, batch_first=True)
    def forward(self, x): return self.lstm(x)[0]
def make(): return Net(), torch.randn(1, 5, 3)
"""


def brought(folder: Path, source: str) -> tuple[Any, dict[str, Any], dict[str, Any]]:
    """(graph, weights in which no scale is 1, what is told of the original)."""
    plain, weights, told, _ = taken(folder, source)
    graph = read(plain)
    kept = {key: weights[key] for key in weights if key not in told["moved"]}
    return graph, {**ir_weights.perturbed(graph, weights, 1), **kept}, {
        **told, "folder": str(folder), "digest": digest("net.py", str(folder), set(sys.modules)),
    }


def answer(network: Any, graph: Any) -> dict[str, Any]:
    return proof.answer(network, graph.plain(), *ir_weights.synthetic_batch(graph, SAMPLES, 1), seed=3)


def oracle(graph: Any, weights: dict[str, Any]) -> Any:
    return frameworks.load("numpy").prepare(graph.plain(), weights, {**SETTINGS, "precision": "fp64"})


@pytest.mark.parametrize("source", [IMAGES, TOKENS], ids=["images", "tokens"])
def test_a_module_as_written_is_proven_with_its_gradients_and_updates(source: str, tmp_path: Path):
    graph, weights, told = brought(tmp_path, source)
    network = frameworks.part("torch", "original").prepare(told, graph.plain(), weights, SETTINGS)

    found = parity.compare(answer(network, graph), answer(oracle(graph, weights), graph), Precision.FP32)

    assert network.can_train
    assert not found.failures()
    assert network.weights().keys() == weights.keys()


def test_training_that_is_not_that_of_the_graph_is_refused_and_the_output_is_proven(tmp_path: Path):
    graph, weights, told = brought(tmp_path, WITHOUT_BIAS)
    network = frameworks.part("torch", "original").prepare(told, graph.plain(), weights, SETTINGS)

    found = parity.compare(answer(network, graph), answer(oracle(graph, weights), graph), Precision.FP32)

    assert found.gradient_error is None
    assert not found.failures()
    with pytest.raises(frameworks.Unsupported, match="trains 'lstm/bias', which the module as written does not have"):
        network.load([])


def test_files_that_changed_since_the_import_are_not_measured_under_its_name(tmp_path: Path):
    graph, weights, told = brought(tmp_path, WITHOUT_BIAS)
    (tmp_path / "net.py").write_text(WITHOUT_BIAS + "# another\n", encoding="utf-8")

    with pytest.raises(frameworks.Unsupported, match=r"net\.py have changed since it was imported; run the command"):
        frameworks.part("torch", "original").prepare(told, graph.plain(), weights, SETTINGS)
