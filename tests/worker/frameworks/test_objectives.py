"""Training steps of several objectives, in every framework that has them."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rigmark.bench.enums import Precision
from rigmark.bench.ir import weights as ir_weights
from rigmark.bench.ir.graph import Graph
from rigmark.bench.models import dcgan, style
from rigmark.bench.trials import parity
from rigmark.bench.worker import frameworks, proof
from rigmark.bench.worker import samples as of_samples
from rigmark.bench.worker.frameworks import Unsupported
from rigmark.bench.worker.jobs import Failed, _ends
from tests.worker.frameworks.cases import adversaries

GRAPH = adversaries(rate=0.25)           # whose masks belong to one of the objectives, or to both
SAMPLES = 6
INSTALLED = [name for name in frameworks.NAMES if importlib.util.find_spec(frameworks.load(name).IMPORTS) is not None]
HAVING = [name for name in INSTALLED if getattr(frameworks.load(name), "OBJECTIVES", False)]


def prepared(name: str, graph: Graph = GRAPH, **settings: Any) -> Any:
    adapter = frameworks.load(name)
    compile_mode, layout = adapter.BEST["training"]
    weights = ir_weights.perturbed(graph, ir_weights.initial_weights(graph, 1), 1)
    return adapter.prepare(graph.plain(), weights, {
        "mode": "training", "precision": "fp32", "compile_mode": compile_mode, "layout": layout, "device": "cpu",
        "threads": 1, "seed": 1, **settings,
    })


def answer(network: Any) -> dict[str, Any]:
    return proof.answer(network, GRAPH.plain(), *ir_weights.synthetic_batch(GRAPH, SAMPLES, 1), seed=3)


@pytest.mark.parametrize("name", HAVING)
def test_the_proof_agrees_with_parts_of_a_batch_and_with_dropout(name: str):
    oracle = answer(prepared("numpy", precision="fp64", accumulate=2))

    assert parity.compare(answer(prepared(name, accumulate=2)), oracle, Precision.FP32).failures() == []


@pytest.mark.parametrize("name", [name for name in HAVING if name in ("jax", "tensorflow")])
def test_one_program_of_all_objectives_has_the_times_of_the_layers_of_each(name: str):
    network = prepared(name)
    network.load([ir_weights.synthetic_batch(GRAPH, SAMPLES, 1)])
    network.step()
    profile = network.layer_times(2)
    rows = {(each["layer"], each["direction"]) for each in profile["layers"]}

    assert profile["problem"] is None
    # Of the judge both judgements, and of the maker its second; no gradient goes into the first one's noise.
    for layer in ("judges.real.conv", "judges.made.conv", "judges.again.conv", "makes.again.spread"):
        assert {(layer, "forward"), (layer, "backward")} <= rows
    assert ("makes.noise.spread", "forward") in rows
    assert ("makes.noise.spread", "backward") not in rows


def test_layer_times_that_there_are_not_yet_are_refused_in_a_sentence():
    with pytest.raises(Unsupported, match="PyTorch times no layers of several objectives in compiled mode yet"):
        prepared("torch", compile_mode="compiled").layer_times(1)


def test_the_second_objective_meets_what_the_first_has_changed():
    network = prepared("numpy", precision="fp64")
    x, y = ir_weights.synthetic_batch(GRAPH, SAMPLES, 1)
    masks = proof.dropout_masks(GRAPH.plain(), SAMPLES, 3)
    before = network.gradients(x, y, masks)[0]
    losses = network.train(x, y, masks)

    assert losses[0] == before[0]
    assert losses[1] != pytest.approx(before[1], rel=1e-3)


def test_a_gradient_is_judged_beside_those_of_its_own_objective():
    """Beside a large gradient of another network a wrong small one would not show."""
    oracle = {
        "output": np.ones(1), "losses": np.ones((4, 2)),
        "gradient:a:x/weight": np.full(1, 1e6), "gradient:b:y/weight": np.ones(1),
    }
    wrong = {**oracle, "gradient:b:y/weight": np.full(1, 1.5)}

    assert parity.compare(oracle, oracle, Precision.FP32).failures() == []
    assert parity.compare(wrong, oracle, Precision.FP32).failures() == [
        "gradient off by 0.5 (allowed 1e-04, worst at b:y/weight)"]


def test_a_wrong_loss_of_the_second_objective_is_found_in_every_step():
    oracle = {"output": np.ones(1), "losses": np.ones((4, 2)), "gradient:a:x/weight": np.ones(1)}
    for step, name in enumerate(("second", "second", "third")):
        losses = np.ones((4, 2))
        losses[step, 1] = 1.5

        failures = parity.compare({**oracle, "losses": losses}, oracle, Precision.FP32).failures()

        assert [each.partition(" (")[0] for each in failures] == [f"{name} loss off by 0.5"]


@pytest.mark.parametrize("graph", [
    dcgan.build(size=16, noise=4, channels=4), style.build(size=16, channels=4),
], ids=lambda graph: graph.name)
def test_models_that_train_only_parts_of_themselves_are_proven_in_a_small_size(graph: Graph):
    oracle, got = (
        proof.answer(prepared(name, graph, **settings), graph.plain(), *ir_weights.synthetic_batch(graph, 4, 1), seed=3)
        for name, settings in (("numpy", {"precision": "fp64"}), ("torch", {}))
    )
    gradients = {key for key in oracle if key.startswith("gradient:")}

    assert len(gradients) == sum(bool(key.startswith(update.trains)) for update in graph.updates
                                 for key, p in graph.parameters.items() if p.is_trainable)
    assert parity.compare(got, oracle, Precision.FP32).failures() == []


def _does_not_update(network: Any) -> None:
    network._parts[1]._update = lambda gradients, statistics: None


def _meets_old_weights(network: Any) -> None:
    """The second objective is computed from the weights that the first has met, as if both were updated at once."""
    second, take_turn = network._parts[1], network._take_turn

    def turn(part: Any, x: Any, y: Any) -> Any:
        if part is not second:
            network._old = network._whole.weights()
            return take_turn(part, x, y)
        kept = part._weights
        part._weights = network._old
        loss, gradients, statistics = part._gradients(x, y, {})
        part._weights = kept
        part._update(gradients, statistics)
        return loss

    network._take_turn = turn


@pytest.mark.parametrize(("spoil", "sentence"), [
    (lambda network: None, None),
    (_does_not_update, "left every parameter of objective 'maker' as it was"),
    (_meets_old_weights, "last loss .*, the oracle's is"),
], ids=["honest", "no update of the second", "the second before the first"])
def test_the_end_of_a_timed_trial_checks_every_objective(
    spoil: Callable[[Any], None], sentence: str | None, tmp_path: Path
):
    graph = adversaries()
    weights = ir_weights.perturbed(graph, ir_weights.initial_weights(graph, 1), 1)
    x, y = ir_weights.synthetic_batch(graph, SAMPLES, 1)
    np.savez(tmp_path / "weights.npz", **weights)
    np.savez(tmp_path / "inputs.npz", y=y, **dict(zip(of_samples.keys(graph.plain()), x, strict=True)))
    settings = {"mode": "training", "precision": "fp64", "compile_mode": "eager", "layout": "nchw", "device": "cpu",
                "threads": 1, "seed": 1}
    job = {
        "graph": graph.plain(), "settings": settings, "weights": str(tmp_path / "weights.npz"),
        "inputs": str(tmp_path / "inputs.npz"), "batch_samples": SAMPLES, "check_samples": SAMPLES,
        "timing": {"local_batch": SAMPLES}, "last_check": {**parity.last_check(Precision.FP64), "samples": SAMPLES},
    }
    network = prepared("numpy", graph, precision="fp64")
    spoil(network)
    network.load([(x, y)])
    network.step()

    if sentence is None:
        assert _ends.check_update(job, network, 1, float(network.result()[0]))["are_parameters_moved"]
        return
    with pytest.raises(Failed, match=sentence):
        _ends.check_update(job, network, 1, float(network.result()[0]))


@pytest.mark.parametrize("name", [name for name in INSTALLED if name not in HAVING])
def test_a_framework_that_has_no_objectives_says_so(name: str):
    with pytest.raises(Unsupported, match=r"several objectives: judge, maker|has no mode 'training'"):
        prepared(name)


def test_running_statistics_that_layers_share_move_with_each_of_them():
    network = prepared("numpy", precision="fp64")
    x, y = ir_weights.synthetic_batch(GRAPH, SAMPLES, 1)
    network.train(x, y, proof.dropout_masks(GRAPH.plain(), SAMPLES, 3))
    after = network.weights()["judges.real.normal/mean"]

    # Of three batches a tenth each: what was there before counts 0.9 ** 3, so that a mean of 1,000 tells their number.
    far = prepared("numpy", precision="fp64")
    far._whole._weights["judges.real.normal/mean"] += 1000.0
    far.train(x, y, proof.dropout_masks(GRAPH.plain(), SAMPLES, 3))
    moved = far.weights()["judges.real.normal/mean"] - after
    assert moved == pytest.approx(1000 * 0.9 ** 3)
