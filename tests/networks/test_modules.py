"""Torch modules of users, brought through a worker: the graph with its weights, and how it agrees with the module."""

from __future__ import annotations

from pathlib import Path

import pytest

from rigmark.bench.builds import build
from rigmark.bench.errors import UserError
from rigmark.bench.networks.bringing import brought
from rigmark.bench.networks.forms import Options

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
