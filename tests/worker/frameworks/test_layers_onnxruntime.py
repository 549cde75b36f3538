"""Layer times of ONNX Runtime: joined layers are members of the kernel that works for them, or nothing is told."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rigmark.bench.ir.building import Builder
from rigmark.bench.ir.graph import Graph
from rigmark.bench.ir.training import Sgd
from rigmark.bench.ir.weights import initial_weights, synthetic_batch
from rigmark.bench.models import gpt2
from rigmark.bench.worker import frameworks
from rigmark.bench.worker.frameworks import Unsupported

pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")


def residual() -> Graph:
    net = Builder("residual", (3, 16, 16))
    net.conv2d("conv1", 8, kernel=3, padding=1)
    net.batch_norm("norm1")
    entry = net.relu("relu1")
    net.conv2d("conv2", 8, kernel=3, padding=1)
    net.batch_norm("norm2")
    net.add("add", of=("norm2", entry))
    net.relu("relu2")
    net.max_pool("pool", kernel=2, stride=2)
    net.flatten("flat")
    net.dropout("dropout", 0.5)
    net.dense("classes", 10)
    return net.build(loss="softmax_cross_entropy", optimizer=Sgd(learning_rate=0.1))


def prepare(graph: Graph, compile_mode: str) -> Any:
    prepared = frameworks.load("onnxruntime").prepare(graph.plain(), initial_weights(graph, 1), {
        "mode": "inference", "precision": "fp32", "compile_mode": compile_mode, "layout": "nchw", "device": "cpu",
        "threads": 1, "seed": 1,
    })
    prepared.load([synthetic_batch(graph, 2, seed) for seed in (1, 2)])
    return prepared


def test_the_kernel_of_a_convolution_has_what_was_joined_with_it_as_members():
    rows = {row["layer"]: row for row in prepare(residual(), "compiled").layer_times(2)["layers"]}

    assert {"conv1", "conv2", "pool", "classes"} <= rows.keys() <= {"conv1", "conv2", "pool", "flat", "classes"}
    assert ["conv1", "norm1", "relu1"] == rows["conv1"]["members"]
    assert ["conv2", "norm2", "add", "relu2"] == rows["conv2"]["members"]
    assert all(row["direction"] == "forward" and row["time_s"] >= 0 for row in rows.values())


def test_without_optimisation_each_layer_has_a_row_of_its_own():
    rows = prepare(residual(), "eager").layer_times(2)["layers"]

    assert [layer.name for layer in residual().layers] == [row["layer"] for row in rows]
    assert not any("members" in row for row in rows)


def test_instrumented_and_plain_steps_take_the_batches_in_turn():
    prepared = prepare(residual(), "compiled")
    prepared.step()
    first = prepared.result()
    profile = prepared.layer_times(2)                  # the second batch, and the first

    assert 2 == len(profile["step_times_s"])
    assert sum(row["time_s"] for row in profile["layers"]) <= sum(profile["step_times_s"]) / 2
    np.testing.assert_allclose(prepared.result(), first, rtol=1e-5, atol=1e-6)
    prepared.step()
    assert not np.allclose(prepared.result(), first)


def test_where_a_kernel_lost_the_name_of_its_layers_nothing_is_reported():
    transformer = gpt2.build(vocabulary=20, context=16, steps=12, features=16, heads=4, blocks=1)

    with pytest.raises(Unsupported, match="does not tell"):
        prepare(transformer, "compiled").layer_times(1)
