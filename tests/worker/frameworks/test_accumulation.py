"""Gradients of the parts of a batch are added up for one update."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np
import pytest

from rigmark.bench.ir import weights as ir_weights
from rigmark.bench.worker import frameworks, proof
from tests.worker.frameworks.cases import cases

GRAPH = cases()["small_network"]         # with statistics and dropout, which see the parts
PARTS, SAMPLES = 2, 6
ACCUMULATING = [name for name in frameworks.NAMES if getattr(frameworks.load(name), "ACCUMULATES", False)]


def prepared(name: str, **settings: Any) -> Any:
    adapter = frameworks.load(name)
    compile_mode, layout = adapter.BEST["training"]
    weights = ir_weights.perturbed(GRAPH, ir_weights.initial_weights(GRAPH, 1), 1)
    return adapter.prepare(GRAPH.plain(), weights, {
        "mode": "training", "precision": "fp32", "compile_mode": compile_mode, "layout": layout, "device": "cpu",
        "threads": 1, "seed": 1, "accumulate": PARTS, **settings,
    })


def answer(network: Any) -> dict[str, Any]:
    return proof.answer(network, GRAPH.plain(), *ir_weights.synthetic_batch(GRAPH, SAMPLES, 1), seed=3)


def test_the_oracle_takes_the_mean_over_parts_and_moves_statistics_with_each():
    x, y = ir_weights.synthetic_batch(GRAPH, SAMPLES, 1)
    masks = proof.dropout_masks(GRAPH.plain(), SAMPLES, 3)
    half = SAMPLES // 2
    whole, apart = prepared("numpy", precision="fp64"), prepared("numpy", precision="fp64", accumulate=1)

    loss, gradients = whole.gradients(x, y, masks)
    parts = [
        apart.gradients(x[part], y[part], {name: mask[part] for name, mask in masks.items()})
        for part in (slice(None, half), slice(half, None))
    ]
    assert loss == pytest.approx(np.mean([each for each, _ in parts]), rel=1e-14)
    for key, gradient in gradients.items():
        np.testing.assert_allclose(gradient, np.mean([each[key] for _, each in parts], axis=0), rtol=1e-12, atol=1e-15)

    before = whole.weights()["norm/mean"]
    whole.train(x, y, masks)
    mean = apart.weights()["norm/mean"]
    assert mean.tolist() == before.tolist()
    halves = [prepared("numpy", precision="fp64", accumulate=1) for _ in range(2)]
    moved = []
    for network, part in zip(halves, (slice(None, half), slice(half, None)), strict=True):
        network.train(x[part], y[part], {name: mask[part] for name, mask in masks.items()})
        moved.append((network.weights()["norm/mean"] - 0.9 * before) / 0.1)      # the mean of the part
    np.testing.assert_allclose(
        whole.weights()["norm/mean"], 0.9 * (0.9 * before + 0.1 * moved[0]) + 0.1 * moved[1], rtol=1e-10)


@pytest.mark.parametrize("name", [name for name in ACCUMULATING if name != "numpy"])
def test_every_framework_that_says_so_agrees_with_the_oracle(name: str):
    if importlib.util.find_spec(frameworks.load(name).IMPORTS) is None:
        pytest.skip(f"{name} is not installed")
    expected, found = answer(prepared("numpy", precision="fp64")), answer(prepared(name))

    assert found.keys() == expected.keys()
    for key, array in expected.items():
        np.testing.assert_allclose(found[key], array, rtol=2e-4, atol=2e-6, err_msg=key)


def test_frameworks_that_train_add_up():
    assert {"numpy", "torch", "jax", "tensorflow"} == set(ACCUMULATING)
