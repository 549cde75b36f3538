"""Torch modules of users, brought through a worker: the graph with its weights, and how it agrees with the module."""

from __future__ import annotations

from pathlib import Path

import pytest

from rigmark.bench.builds import build
from rigmark.bench.errors import UserError
from rigmark.bench.networks.bringing import brought
from rigmark.bench.networks.forms import Options
from rigmark.bench.worker.jobs import import_model

pytest.importorskip("torch")

NET = """
import torch
from torch import nn
def make():
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
"""


def test_a_factory_is_brought_and_agrees_with_the_module_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    Path("net.py").write_text(NET, encoding="utf-8")

    with pytest.raises(UserError, match=r"no example inputs; .* --shape x=1,3"):
        brought(["net.py:make"], Options(), build.load(), tmp_path / "kept")
    network = brought(["net.py:make"], Options(shapes={"x": (1, 3)}), build.load(), tmp_path / "kept")["net.py:make"]

    assert [layer.name for layer in network.graph.layers] == ["0", "1", "2"]
    assert network.weights(1)["2/weight"].shape == (2, 4)
    assert network.agreement is not None
    assert network.agreement.startswith("output differs from the module itself by ")


MODEL = """
import keras
def make():
    layers = [keras.layers.Dense(4, "tanh", name="a"), keras.layers.Dense(2, name="b")]
    return keras.Sequential([keras.Input((3,)), *layers])
"""


@pytest.mark.filterwarnings("ignore::DeprecationWarning:keras.*")
def test_a_file_that_keras_saved_is_brought(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    keras = pytest.importorskip("keras")
    monkeypatch.chdir(tmp_path)
    keras.Sequential([
        keras.Input((3,)), keras.layers.Dense(4, "tanh", name="a"), keras.layers.Dense(2, name="b")
    ]).save("net.keras")

    network = brought(["net.keras"], Options(), build.load(), tmp_path / "kept")["net.keras"]

    assert [layer.name for layer in network.graph.layers] == ["a", "a.tanh", "b"]
    assert network.agreement is not None
    assert network.agreement.startswith("output differs from the model's predict by ")


@pytest.mark.filterwarnings("ignore::DeprecationWarning:keras.*")
def test_a_factory_may_give_a_keras_model(tmp_path: Path):
    pytest.importorskip("keras")
    (tmp_path / "gives_keras.py").write_text(MODEL, encoding="utf-8")
    asked = {"source": "gives_keras.py", "factory": "make", "folder": str(tmp_path), "name": "net"}

    answer = import_model.run(asked, str(tmp_path), None)

    assert ["a", "a.tanh", "b"] == [layer["name"] for layer in answer["graph"]["layers"]]
    assert "keras" == answer["original"]["library"]
