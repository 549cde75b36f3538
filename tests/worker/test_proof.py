"""What a worker shows the oracle: masks that every NumPy draws alike, and the effect of open decisions."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from rigmark.bench.ir.building import Builder
from rigmark.bench.ir.graph import Copy, Graph
from rigmark.bench.ir.training import Sgd
from rigmark.bench.ir.weights import initial_weights, perturbed, synthetic_batch
from rigmark.bench.worker import frameworks
from rigmark.bench.worker.jobs import proof as job_of_proof
from rigmark.bench.worker.proof import dropout_masks, rounding, tie_effects


def network(activation: str) -> Graph:
    net = Builder("net", (3, 12, 12))
    net.conv2d("conv1", 8, kernel=3, padding=1)
    getattr(net, activation)("activation")
    net.max_pool("pool", kernel=2, stride=2) if activation == "relu" else net.avg_pool("pool", kernel=2, stride=2)
    net.flatten("flatten")
    net.dropout("drop", 0.25)
    net.dense("scores", 5)
    return net.build(loss="softmax_cross_entropy", optimizer=Sgd(learning_rate=0.01))


def effects(graph: Graph, times: float, asked_for: list[str] | None = None) -> dict[str, float]:
    """The effects of ties; ``asked_for`` collects the settings that the oracle was prepared with."""
    adapter = frameworks.load("numpy")
    weights = perturbed(graph, initial_weights(graph, seed=1), seed=1)
    x, y = synthetic_batch(graph, 8, seed=1)

    def prepare(**changes: object) -> Any:
        if asked_for is not None:
            asked_for.extend(changes)
        asked = {"mode": "training", "precision": "fp64", "compile_mode": "eager", "layout": "nchw", "device": "cpu",
                 "threads": 1, "seed": 1}
        return adapter.prepare(graph.plain(), weights, {**asked, **changes})

    exact = prepare()
    masks = dropout_masks(graph.plain(), 8, 1)
    losses = [exact.train(x, y, masks) for _ in range(3)]
    return {name: float(v) for name, v in tie_effects(prepare, graph.plain(), x, y, 1, times, losses).items()}


def test_a_dropout_mask_keeps_the_mean_and_is_the_same_in_every_numpy():
    mask = dropout_masks(network("relu").plain(), 100, 1)["drop"]

    assert mask.shape == (100, 288)
    assert set(np.unique(mask)) == {np.float32(0), np.float32(1 / 0.75)}
    assert mask.mean() == pytest.approx(1, rel=0.02)
    # RandomState(1).random_sample() begins .417, .720, .0001, .302: only the third is below the rate.
    assert (mask[0, :4] > 0).tolist() == [True, True, False, True]


def test_open_decisions_move_the_gradient_of_a_network_with_kinks():
    assert effects(network("relu"), times=1e5)["tie_gradient"] > 1e-4


def test_a_smooth_network_has_no_open_decisions():
    asked_for: list[str] = []

    result = effects(network("tanh"), times=1e5, asked_for=asked_for)

    assert {"tie_gradient": 0.0, "tie_second_loss": 0.0, "tie_third_loss": 0.0} == result
    assert ["precision"] == asked_for                    # one forward pass, and no training


def test_no_decision_is_open_without_a_margin():
    assert {"tie_gradient": 0.0, "tie_second_loss": 0.0, "tie_third_loss": 0.0} == effects(network("relu"), times=0.0)


def test_what_open_decisions_move_grows_with_the_rounding_that_is_met():
    few, many = (effects(network("relu"), times) for times in (1e4, 1e6))

    for name, effect in few.items():
        assert 0 < effect < many[name]


def test_rounding_is_relative_and_looks_past_padding():
    exact = np.array([3.0, -4.0, -np.inf])

    assert 0.0 == rounding(exact, exact)
    assert 0.1 == pytest.approx(rounding(np.array([3.3, -4.4, -np.inf]), exact))


def learner(*, every: int) -> Graph:
    net = Builder("net", (3,))
    online, target = (net.dense(f"{name}.values", 2, of="input") for name in ("online", "target"))
    net.add("sum", of=(online, target))
    return net.build(loss="mean_squared_error", optimizer=Sgd(learning_rate=0.1),
                     copies=(Copy(source="online.", target="target.", every=every),))


def test_a_proof_sees_a_copy_that_a_training_makes_after_thousands_of_steps(tmp_path: Path):
    graph = learner(every=10_000)
    x, y = synthetic_batch(graph, 4, seed=1)
    np.savez(tmp_path / "inputs.npz", x=x, y=y)
    np.savez(tmp_path / "weights.npz", **initial_weights(graph, seed=1))
    asked = {"mode": "training", "precision": "fp64", "compile_mode": "eager", "layout": "nchw", "device": "cpu",
             "threads": 1, "seed": 1}
    job_of_proof.run({
        "framework": "numpy", "graph": graph.plain(), "settings": asked, "inputs": str(tmp_path / "inputs.npz"),
        "weights": str(tmp_path / "weights.npz"),
    }, str(tmp_path), SimpleNamespace(mark=lambda name: None))

    with np.load(tmp_path / "answer.npz") as answer:
        losses = answer["losses"]
    never, early = (
        [prepared.train(x, y, {}) for _ in range(4)]
        for prepared in (
            frameworks.load("numpy").prepare(learner(every=every).plain(), initial_weights(graph, seed=1), asked)
            for every in (10_000, 2)
        )
    )
    assert losses.tolist() == pytest.approx(early)
    assert never[:2] == pytest.approx(early[:2])
    assert abs(never[2] - early[2]) > 0.01 * early[0]
