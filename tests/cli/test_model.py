"""``rigmark model``: what a network is, before anything is measured."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from rigmark.bench import models
from rigmark.bench.cli import app
from rigmark.bench.errors import UserError
from rigmark.bench.ir.building import Builder
from rigmark.bench.ir.training import Sgd
from rigmark.bench.ir.weights import initial_weights
from rigmark.bench.networks import Network
from rigmark.bench.networks.description import described
from rigmark.bench.worker import frameworks


def test_an_own_network_is_described():
    shown = CliRunner().invoke(app, ["model", "mlp"]).output

    assert "input: 1 x 28 x 28 float, drawn as normal" in shown
    assert "636,010 trainable parameters\n" in shown
    assert "1.27 MFLOP per sample forward, 2.56 MFLOP in training" in shown
    assert "onnxruntime inference\n" in shown
    assert "torch       inference and training\n" in shown


def test_the_memory_of_a_step_is_estimated_and_held_against_a_capacity():
    arguments = ["model", "mlp", "--mode", "training", "--batch", "1000"]
    numbers = 784 * 800 + 800 + 800 * 10 + 10
    peak = 8 * numbers + 4 * 8010 + 12736 * 1000                 # see tests/ir/test_memory.py

    shown = CliRunner().invoke(app, [*arguments, "--capacity-gb", "8"]).output
    (facts,) = json.loads(CliRunner().invoke(app, [*arguments, "--capacity-gb", "0.51", "--json"]).output)["memory"]

    assert "training, batch 1000, fp32: about 17 MB at its peak (2.43 MB weights, 31.3 kB gradients, " in shown
    assert "batch 1000 fits in 8 GB; the largest that does is about 584,692" in shown
    assert peak == facts["total"]
    assert ("does not fit", 0) == (facts["answer"], facts["largest_batch"])


def test_the_memory_of_text_includes_the_cache_of_keys_and_values():
    arguments = ["model", "gpt2", "--mode", "decode", "--batch", "2", "--prompt-length", "7", "--generated-length", "3"]
    (facts,) = json.loads(CliRunner().invoke(app, [*arguments, "--json"]).output)["memory"]
    refused = CliRunner().invoke(app, ["model", "resnet18", "--mode", "decode"])

    assert 4 * 2 * (7 + 3) * 2 * 12 * 768 == facts["cache"]      # keys and values of 12 layers
    assert facts["total"] == facts["weights"] + facts["cache"] + facts["values"]
    assert isinstance(refused.exception, UserError)
    assert "resnet18 does not generate text" in str(refused.exception)


@pytest.mark.parametrize(("arguments", "message"), [
    (["--precision", "fp31"], "no precision 'fp31'; did you mean 'fp32'"),
    (["--mode", "sleeping"], "no mode 'sleeping'"),
    (["--capacity-gb", "nan"], "--capacity-gb must be a number above 0 GB, not nan"),
])
def test_a_wrong_word_about_memory_is_one_sentence(arguments: list[str], message: str):
    refused = CliRunner().invoke(app, ["model", "mlp", *arguments])

    assert isinstance(refused.exception, UserError)
    assert message in str(refused.exception)


def test_inputs_outputs_and_copies_are_described_one_by_one():
    shown = CliRunner().invoke(app, ["model", "dqn"]).output

    assert "input     action: 1 int64, drawn as tokens below 18\n" in shown
    assert "output    error: 1\n  output    online.values: 18\n" in shown
    assert "copies    target. becomes online. after every 10,000 steps\n" in shown


def test_objectives_are_described_one_by_one():
    shown = CliRunner().invoke(app, ["model", "dcgan"]).output

    assert "objective discriminator: trains 2,765,568 parameters by adam, 1.45 GFLOP per sample\n" in shown
    assert "objective generator: trains 3,576,704 parameters by adam, 1.04 GFLOP per sample\n" in shown
    assert "  training  " not in shown


def test_what_frameworks_lack_is_counted(monkeypatch: pytest.MonkeyPatch):
    known = frameworks.load("torch").LOWERINGS
    monkeypatch.setattr(frameworks.load("torch"), "LOWERINGS", {k: known[k] for k in known if k != "dense"})
    net = Builder("small", (3,))
    net.dense("hidden", 4)
    net.dense("out", 2)
    network = Network(graph=net.build(loss="mean_squared_error", optimizer=Sgd(learning_rate=0.1)))

    support = described(network)["frameworks"]

    assert support["torch"] == {"modes": [], "lacking": {"dense": 2}}
    assert support["jax"] == {"modes": ["inference", "training"], "lacking": {}}


def test_a_file_is_described_as_json_and_a_wrong_option_is_refused(tmp_path: Path):
    net = Builder("small", (3,))
    net.dense("out", 2)
    graph = net.build(loss="mean_squared_error", optimizer=Sgd(learning_rate=0.1))
    (tmp_path / "net.json").write_text(json.dumps(graph.plain()), encoding="utf-8")
    np.savez(tmp_path / "net.npz", **initial_weights(graph, 7))

    shown = CliRunner().invoke(app, ["model", str(tmp_path / "net.json"), "--json", "--results", str(tmp_path)])
    refused = CliRunner().invoke(app, ["model", "mlp", "--pin", "x=1"])

    facts = json.loads(shown.output)
    assert facts["model"] == "net.json"
    assert facts["graph_fingerprint"] == graph.fingerprint
    assert facts["weights"] is not None
    assert facts["parameters"] == 8
    assert isinstance(refused.exception, UserError)
    assert str(refused.exception) == "--pin is about the inputs of a file or module, and no --model is one"


def test_each_layer_has_a_line():
    arguments = ["model", "gpt2", "--layers"]
    lines = CliRunner().invoke(app, arguments).output.splitlines()
    rows = json.loads(CliRunner().invoke(app, [*arguments, "--json"]).output)["each_layer"]

    assert "tokens embedding 128 x 768 38,597,376 parameters 0 FLOP of input" in map(" ".join, map(str.split, lines))
    assert sum(row["parameters"] for row in rows) == 124_439_808     # the scores' are those of the tokens
    assert sum(row["flops_per_sample"] for row in rows) == models.build("gpt2").flops_per_sample(training=False)


def test_every_network_is_listed_with_what_it_costs_and_what_stops_a_framework():
    lines = CliRunner().invoke(app, ["models"]).output.splitlines()
    rows = {each["model"]: each for each in json.loads(CliRunner().invoke(app, ["models", "--json"]).output)}

    assert list(rows) == list(models.NAMES)
    assert "lenet5 61,706 parameters 852 kFLOP 58.2 kB LeCun, Bottou, Bengio and Haffner 1998" in (
        " ".join(line.split()) for line in lines)
    assert f"{'':<20} mxnet: cannot run it: it carries no state from step to step" in lines       # word_lstm
    assert f"{'':<20} openvino: cannot run it: it lacks rotary (12 layers)" in lines
    assert rows["resnet50"]["source"].startswith('He et al. 2015, "Deep residual learning')
    assert rows["linear_regression"]["memory_per_sample"] == pytest.approx(4 * (10 + 2), abs=1)


def test_a_network_with_a_mistake_is_listed_with_the_mistake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "broken.py").write_text("def build():\n    return 3\n")
    monkeypatch.setattr(models, "__path__", [*models.__path__, str(tmp_path)])
    monkeypatch.setattr(models, "NAMES", ("mlp", "broken"))

    ended = CliRunner().invoke(app, ["models"])

    assert ended.exit_code == 2
    assert "636,010 parameters" in ended.output
    assert "build() returns a int, not a Graph" in ended.output
