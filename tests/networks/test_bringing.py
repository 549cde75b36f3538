"""Networks that users bring: what they are called, what is kept of them, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rigmark.bench import datasets, models
from rigmark.bench.builds import build
from rigmark.bench.enums import Mode
from rigmark.bench.errors import UnknownName, UserError
from rigmark.bench.ir import weights as ir_weights
from rigmark.bench.ir.building import Builder
from rigmark.bench.ir.graph import Carried, Input
from rigmark.bench.ir.training import AdamW, Sgd
from rigmark.bench.networks import Networks
from rigmark.bench.networks.bringing import brought, kept
from rigmark.bench.networks.forms import Options
from rigmark.bench.trials.inputs import Inputs
from tests.records import CASE

Weights = dict[str, Any]


def small() -> Any:
    net = Builder("small", (3,))
    net.dense("hidden", 4)
    net.relu("relu")
    net.dense("out", 2)
    return net.build(loss="mean_squared_error", optimizer=Sgd(learning_rate=0.1))


@pytest.fixture
def bring(tmp_path: Path) -> Callable[..., Networks]:
    """Writes a graph file with weights, which ``change`` may change, and brings it."""
    def write(change: Callable[[dict[str, Any], Weights], Any] = lambda plain, weights: None) -> Networks:
        plain, weights = small().plain(), ir_weights.initial_weights(small(), 7)
        change(plain, weights)
        (tmp_path / "net.json").write_text(json.dumps(plain), encoding="utf-8")
        np.savez(tmp_path / "net.npz", **weights)
        return brought([str(tmp_path / "net.json")], Options(), build.load(), tmp_path / "kept")

    return write


def test_a_brought_network_has_its_own_weights_and_is_kept(bring: Callable[..., Networks], tmp_path: Path):
    network = bring()["net.json"]

    assert network.graph.name == "net.json"
    assert network.graph.fingerprint == small().fingerprint
    assert network.weights(1)["hidden/weight"].tolist() == ir_weights.initial_weights(small(), 7)[
        "hidden/weight"].tolist()
    assert dict(kept(tmp_path / "kept")) == {"net.json": network}
    again = bring(lambda plain, weights: weights["hidden/bias"].fill(1))["net.json"]
    assert again.graph.fingerprint == network.graph.fingerprint
    assert again.digest != network.digest
    assert len(list((tmp_path / "kept").iterdir())) == 2


def test_given_weights_are_proven_as_they_are_and_perturbed(bring: Callable[..., Networks], tmp_path: Path):
    inputs = Inputs(tmp_path, bring(lambda plain, weights: weights["out/bias"].fill(3)))

    given, perturbed = inputs.weights_of_proof(replace(CASE, model="net.json"))

    with np.load(given) as first, np.load(perturbed) as second:
        assert first["out/bias"].tolist() == [3, 3]
        assert 0 < abs(second["out/bias"] - 3).max() < 1
    assert inputs.weights_of_proof(replace(CASE, model="mlp")) == (inputs.perturbed_weights("mlp"),)


REFUSED: tuple[tuple[Callable[[dict[str, Any], Weights], Any], str], ...] = (
    (lambda plain, weights: plain["layers"][0].update(op="fold"), "'fold', which is no operation"),
    (lambda plain, weights: weights.pop("out/bias"), "has no weights 'out/bias', which its graph needs"),
    (lambda plain, weights: weights.update(more=np.ones(1)), "has weights 'more', which its graph does not have"),
    (lambda plain, weights: weights.update({"out/bias": np.ones(3)}), r"weights 'out/bias' of \(3,\) and float64"),
    (lambda plain, weights: weights["out/bias"].fill(np.nan), "'out/bias' that are not finite"),
    (lambda plain, weights: weights["out/weight"].fill(0), "outputs that are zero for all inputs"),
    (lambda plain, weights: (weights["out/weight"].fill(0), weights["out/bias"].fill(2)), "are the same for all"),
)


@pytest.mark.parametrize(("change", "sentence"), REFUSED)
def test_what_cannot_be_proven_is_refused(
    change: Callable[[dict[str, Any], Weights], Any], sentence: str, bring: Callable[..., Networks]
):
    with pytest.raises(UserError, match=sentence):
        bring(change)


def test_two_networks_with_one_name_are_refused(bring: Callable[..., Networks], tmp_path: Path):
    bring()
    (tmp_path / "other").mkdir()

    with pytest.raises(UserError, match=r"two networks have the short name 'net.json'"):
        brought([str(tmp_path / "net.json"), str(tmp_path / "other" / "net.json")], Options(), build.load(),
                tmp_path / "kept")


def test_other_names_are_those_of_own_networks():
    assert Networks()["mlp"].digest is None
    with pytest.raises(UnknownName, match="no model 'mpl'; did you mean 'mlp'"):
        Networks()["mpl"]


def test_a_network_is_trained_as_its_case_says():
    networks = Networks()
    case = replace(CASE, model="mlp", mode=Mode.TRAINING)

    assert networks.of(case).graph == models.build("mlp")
    other = networks.of(replace(case, optimizer_asked="adamw:learning_rate=0.1"))
    assert other.graph.optimizer == AdamW(learning_rate=0.1, weight_decay=0.01)
    assert other is networks.of(replace(case, optimizer_asked="adamw:learning_rate=0.1", local_batch=3))


def test_classes_are_no_targets_of_a_squared_error():
    graph = models.build("mnist_cnn").trained(loss="mean_squared_error", optimizer="own")

    with pytest.raises(UserError, match="'digits' has classes as targets, with which mnist_cnn cannot be trained by"):
        datasets.load("digits", graph)


def test_a_user_says_what_is_carried_from_step_to_step(tmp_path: Path):
    net = Builder("small", (3,))
    state = net.add_input(Input(name="state", shape=(3,)))
    net.add("sum", of=("input", state))
    net.tanh("next")
    net.dense("scores", 2)
    graph = net.build(loss="mean_squared_error", optimizer=Sgd(learning_rate=0.1), outputs=["scores", "next"])
    (tmp_path / "net.json").write_text(json.dumps(graph.plain()), encoding="utf-8")
    np.savez(tmp_path / "net.npz", **ir_weights.initial_weights(graph, 7))

    def taken(carried: dict[str, str]) -> Any:
        options = Options(carried=carried)
        return brought([str(tmp_path / "net.json")], options, build.load(), tmp_path / "kept")["net.json"].graph.carried

    assert taken({}) == ()
    assert taken({"state": "next"}) == (Carried(input="state", value="next"),)
    with pytest.raises(UserError, match=r"--carry state=sum: .* has no output 'sum'; it has scores, next"):
        taken({"state": "sum"})
    with pytest.raises(UserError, match=r"has no input 'hidden'; it has input, state"):
        taken({"hidden": "next"})
