"""State that a network carries from step to step, in every framework and against the oracle."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rigmark.bench.ir.building import Builder
from rigmark.bench.ir.graph import INPUT, Carried, Graph, Input
from rigmark.bench.ir.ops.recurrent import Lstm
from rigmark.bench.ir.training import Sgd
from rigmark.bench.ir.weights import initial_weights, synthetic_batch
from rigmark.bench.worker import frameworks, proof, samples
from rigmark.bench.worker.frameworks.numpy import adapter
from rigmark.bench.worker.jobs import Failed, _ends

STEPS, BATCH = 3, 2
WAYS = [
    ("torch", "eager", "training"), ("torch", "eager", "inference"), ("jax", "xla", "training"),
    ("jax", "xla", "inference"), ("tensorflow", "compiled", "training"), ("tensorflow", "compiled", "inference"),
    ("tensorflow", "eager", "training"), ("onnxruntime", "compiled", "inference"),
    ("openvino", "compiled", "inference"),
]


def network() -> Graph:
    """An LSTM whose states go on, and are read by another layer too."""
    net = Builder("net", (4, 3), init="uniform_fan_in")
    states = [net.add_input(Input(name=name, shape=(1, 5))) for name in ("hidden", "cell")]
    net.add_layer("lstm", Lstm(hidden=5, final=True), (INPUT, *states))
    net.flatten("sequence", of="lstm")
    net.flatten("last", of="lstm:2")
    net.concat("all", of=("sequence", "last"))
    net.dense("scores", 3)
    return net.build(loss="softmax_cross_entropy", optimizer=Sgd(learning_rate=0.1), carried=[
        Carried(input="hidden", value="lstm:1"), Carried(input="cell", value="lstm:2"),
    ])


def prepared(framework: str, compile_mode: str, mode: str, precision: str = "fp32") -> Any:
    adapter = frameworks.load(framework)
    graph = network()
    return adapter.prepare(graph.plain(), initial_weights(graph, seed=1), {
        "mode": mode, "precision": precision, "compile_mode": compile_mode, "layout": adapter.BEST[mode][1],
        "device": "cpu", "threads": 1, "seed": 1,
    })


def batches(count: int = 2) -> list[Any]:
    return [synthetic_batch(network(), BATCH, seed) for seed in range(count)]


def steps(network: Any, count: int = 2) -> list[Any]:
    """The results of some steps on so many batches, and the state after them."""
    network.load(batches(count))
    found = []
    for _ in range(STEPS):
        network.step()
        network.synchronize()
        found.append(network.result())
    return [*found, tuple(network.state()[name] for name in ("hidden", "cell"))]


def flat(results: list[Any]) -> list[Any]:
    return [np.asarray(part, np.float64) for each in results for part in samples.unpacked(each)]


@pytest.mark.parametrize(("framework", "compile_mode", "mode"), WAYS)
def test_each_step_goes_on_where_the_last_one_ended(framework: str, compile_mode: str, mode: str):
    if not importlib.util.find_spec(frameworks.load(framework).IMPORTS):
        pytest.skip(f"{framework} is not installed")
    one, oracle = prepared(framework, compile_mode, mode), prepared("numpy", "eager", mode, "fp64")
    for number in (2, 1):                    # with one batch, a step may read where the one before it wrote
        expected = steps(oracle, number)
        for mine, exact in zip(flat(steps(one, number)), flat(expected), strict=True):
            assert np.allclose(mine, exact, atol=1e-5)
    x, _ = batches()[0]
    first = flat([one.forward(x)])[0]        # which takes the state that it is given
    assert np.allclose(first, flat([oracle.forward(x)])[0], atol=1e-5)
    found = steps(oracle, 1)
    assert not np.allclose(flat(found[:1])[0], flat(found[STEPS - 1:])[0], atol=1e-3)      # the state changes it


def test_a_proof_of_training_carries_the_state_too():
    graph, (x, y) = network(), batches()[0]
    losses = proof.answer(prepared("numpy", "eager", "training"), graph.plain(), x, y, seed=1)["losses"]
    forgetful = []
    network_of_fresh_states = prepared("numpy", "eager", "training")
    for _ in losses:
        forgetful.append(network_of_fresh_states.train(x, y, {}))
        network_of_fresh_states._state.forget()
    assert losses[0] == forgetful[0]
    assert abs(losses[1] - forgetful[1]) > 1e-3


class Forgetful(adapter.Network):
    def step(self) -> None:
        self._state.forget()
        super().step()


def job(folder: Path, mode: str) -> dict[str, Any]:
    graph = network()
    weights, inputs = folder / "weights.npz", folder / "inputs.npz"
    np.savez(weights, **initial_weights(graph, seed=1))
    x, y = synthetic_batch(graph, 2 * BATCH, seed=1)
    np.savez(inputs, y=y, **dict(zip(samples.keys(graph.plain()), samples.unpacked(x), strict=True)))
    return {
        "graph": graph.plain(), "weights": str(weights), "inputs": str(inputs), "batch_samples": BATCH,
        "check_samples": BATCH, "timing": {"local_batch": BATCH},
        "settings": {"mode": mode, "precision": "fp32", "seed": 1},
        "last_check": {"samples": BATCH, "outputs": None, "output_tolerance": 1e-4, "loss_tolerance": 1e-4,
                       "roundings": 3, "rounding": None},
    }


@pytest.mark.parametrize("mode", ["inference", "training"])
def test_the_end_of_a_trial_sees_that_state_was_carried(mode: str, tmp_path: Path):
    graph, asked = network(), job(tmp_path, mode)
    settings = {"mode": mode, "precision": "fp32", "seed": 1}
    for kind in (adapter.Network, Forgetful):
        one = kind(graph.plain(), initial_weights(graph, seed=1), settings)
        inputs = [_ends.samples_of(asked, place, BATCH)[0] for place in range(2)]
        one.load(inputs)
        for _ in range(STEPS):
            one.step()
        if kind is Forgetful:
            with pytest.raises(Failed, match=r"off by|nearer to|last loss"):
                _ends.checked_at_the_end(asked, one, STEPS, 1.0)
        else:
            told = _ends.checked_at_the_end(asked, one, STEPS, 1.0)["last_check"]
            assert told["loss"] == pytest.approx(told["expected_loss"], rel=1e-5)
