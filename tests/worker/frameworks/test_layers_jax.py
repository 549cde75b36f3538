"""Layer times of JAX from its own trace: every layer, the same computation, and each booked with its own work."""

from __future__ import annotations

import importlib.util
import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rigmark.bench.ir.building import Builder
from rigmark.bench.ir.graph import Graph
from rigmark.bench.ir.training import Sgd
from rigmark.bench.ir.weights import initial_weights, synthetic_batch
from rigmark.bench.worker import frameworks
from rigmark.bench.worker.frameworks.jax import adapter
from rigmark.bench.worker.frameworks.jax import layer_owners as traced
from rigmark.bench.worker.tracing import GRADIENT_ADD, LOSS, OPTIMIZER
from tests.worker.frameworks.cases import cases
from tests.worker.frameworks.dominated import assert_heavy_has_most, dominated

pytestmark = pytest.mark.skipif(not importlib.util.find_spec("jax"), reason="needs JAX")
Row = tuple[str, str]


def named_like_scopes() -> Graph:
    """Layers with the names of what JAX and the adapter write into the name of an operation."""
    net = Builder("named_like_scopes", (5,))
    for name in ("loss", "optimizer", "transpose", "jvp", "add_any", "while.body"):
        net.dense(name, 5)
        net.tanh(f"{name}.tanh")
    return net.build(loss="mean_squared_error", optimizer=Sgd(learning_rate=0.1, momentum=0.9))


def conv_net() -> Graph:
    net = Builder("conv_net", (8, 24, 24))
    net.conv2d("conv1", 32, kernel=3, padding=1)
    net.relu("relu1")
    entry = net.conv2d("conv2", 32, kernel=3, padding=1)
    net.relu("relu2")
    net.conv2d("conv3", 32, kernel=3, padding=1)
    net.add("add", of=("conv3", entry))
    net.relu("relu3")
    net.max_pool("pool", kernel=3, stride=2)
    net.global_avg_pool("mean")
    net.dense("scores", 3)
    return net.build(loss="softmax_cross_entropy", optimizer=Sgd(learning_rate=0.01, momentum=0.9))


GRAPHS = {**cases(), "named_like_scopes": named_like_scopes(), "conv_net": conv_net()}
DOMINATED = dominated()


def prepare(graph: Graph, layout: str = "channels_last", *, mode: str = "training", batch: int = 4) -> Any:
    asked = {
        "mode": mode, "precision": "fp32", "compile_mode": "xla", "layout": layout, "device": "cpu", "threads": 1,
        "seed": 1,
    }
    prepared = frameworks.load("jax").prepare(graph.plain(), initial_weights(graph, seed=1), asked)
    prepared.load([synthetic_batch(graph, batch, seed) for seed in (2, 3)])
    return prepared


def rows_of(profile: dict[str, Any]) -> dict[Row, float]:
    assert not profile["problem"]
    rows = {(row["layer"], row["direction"]): row["time_s"] for row in profile["layers"]}
    assert len(rows) == len(profile["layers"])
    return rows


def listed(profile: dict[str, Any]) -> set[Row]:
    """(layer, direction) of all rows and their members."""
    return {(name, row["direction"]) for row in profile["layers"] for name in row.get("members", [row["layer"]])}


# What is listed --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "layout"), [
    *((name, "channels_last") for name in (
        "named_like_scopes", "residual", "concat_of_images", "dropout_beside_its_input", "add_to_itself",
        "conv_of_everything", "tokens_through_two_lstms", "rows_of_an_image_through_an_lstm", "adamw", "everything",
    )),
    ("residual", "nchw"), ("conv_of_everything", "nchw"),
])
def test_every_layer_that_has_work_is_listed_in_each_direction_and_nothing_else(name: str, layout: str):
    graph = GRAPHS[name]
    forward = {(layer.name, "forward") for layer in graph.layers}
    backward = {(layer.name, "backward") for layer in graph.layers if graph.needs_gradient(layer.name)}
    beside = {(LOSS, "forward"), (LOSS, "backward"), (OPTIMIZER, "update"), (GRADIENT_ADD, "backward")}
    # XLA leaves nothing of what only renames axes, or hands on a gradient as it is.
    moves = {layer.name for layer in graph.layers if layer.op.kind in ("flatten", "reshape", "transpose")}
    for_nothing = {(name, direction) for name in moves for direction in ("forward", "backward")}
    handed_on = {(layer.name, "backward") for layer in graph.layers if layer.op.kind == "add"}
    dropouts = {(layer.name, "forward") for layer in graph.layers if layer.op.kind == "dropout"}

    training = prepare(graph, layout).layer_times(2)
    inference = prepare(graph, layout, mode="inference").layer_times(2)

    assert rows_of(training).keys() <= forward | backward | beside
    assert (forward | backward) - for_nothing - handed_on <= listed(training)
    assert {(LOSS, "forward"), (OPTIMIZER, "update")} <= listed(training)
    names = {layer.name for layer in graph.layers} | {LOSS, OPTIMIZER, GRADIENT_ADD}
    assert {name for name, _ in listed(training)} <= names
    assert rows_of(inference).keys() <= forward
    assert forward - for_nothing - dropouts <= listed(inference) <= forward
    assert all(row["time_s"] > 0 for row in training["layers"] + inference["layers"])


def test_members_are_the_layers_of_one_kernel_in_the_graphs_order():
    profile = prepare(conv_net(), mode="inference").layer_times(2)

    assert rows_of(profile).keys() >= {("conv1", "forward")}
    for row in profile["layers"]:
        members = row.get("members", [])
        assert members == [layer.name for layer in conv_net().layers if layer.name in members]
        assert not members or row["layer"] in members


def test_instrumented_steps_compute_what_plain_ones_do():
    plain, watched = prepare(GRAPHS["small_network"]), prepare(GRAPHS["small_network"])
    for _ in range(4):
        plain.step()
    watched.layer_times(2)
    watched.step()
    profile = watched.layer_times(1)

    assert 1 == len(profile["step_times_s"])
    assert plain.result() == watched.result()
    for key, value in plain.weights().items():
        np.testing.assert_array_equal(value, watched.weights()[key], err_msg=key)


def test_only_a_value_with_several_readers_has_its_gradients_added():
    assert (GRADIENT_ADD, "backward") in listed(prepare(conv_net()).layer_times(1))
    assert (GRADIENT_ADD, "backward") not in listed(prepare(GRAPHS["batch_norm_of_an_image"]).layer_times(1))


def test_the_name_of_an_operation_tells_its_layer_and_direction():
    scopes = traced.Scopes(named_like_scopes().plain())

    assert ("loss", "forward") == scopes.row_of("jit(_updated)/jvp(loss)/dot_general")
    assert (LOSS, "forward") == scopes.row_of("jit(_updated)/jvp((loss))/jit(log_softmax)/exp")
    assert (LOSS, "backward") == scopes.row_of("jit(_updated)/transpose(jvp((loss)))/mul")
    assert ("while.body", "backward") == scopes.row_of("jit(_updated)/transpose(jvp(while.body))/while/body/mul")
    assert ("transpose", "forward") == scopes.row_of("jit(_output)/transpose/dot_general")
    assert ("optimizer", "forward") == scopes.row_of("jit(_output)/optimizer/add")
    assert (OPTIMIZER, "update") == scopes.row_of("jit(_updated)/(optimizer)/loss/weight/mul")
    assert ("loss", "backward") == scopes.gradient_of("jit(_updated)/(optimizer)/loss/weight/mul")
    for nothing in ("jit(_updated)/add_any", "x", "", "parameters['loss/weight']", "jit(_updated)/jvp()/add"):
        assert scopes.row_of(nothing) is None
    for nothing in ("jit(_updated)/(optimizer)/add", "jit(_updated)/jvp(loss)/weight/mul", ""):
        assert scopes.gradient_of(nothing) is None


# What a trace may lack -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("share", "steps", "message"), [
    (0.0, 1, "JAX's trace holds no operation of the step, so there are no layer times"),
    (0.8, 1, "JAX's trace holds 0 of 1 runs of '.*', so there are no layer times"),
    (0.8, 2, "JAX's trace holds 1 of 2 runs of '.*', so there are no layer times"),
])
def test_a_trace_that_ends_early_gives_no_times(
    monkeypatch: pytest.MonkeyPatch, share: float, steps: int, message: str
):
    prepared = prepare(GRAPHS["adam"])
    lines = prepared._lines

    def cut(folder: str) -> Any:
        whole = lines(folder)
        begins = sorted(begin for line in whole for begin, _, _, stats in line if "hlo_op" in stats)
        return [[event for event in line if event[0] < begins[int(len(begins) * share)]] for line in whole]

    monkeypatch.setattr(prepared, "_lines", cut)
    profile = prepared.layer_times(steps)

    assert [] == profile["layers"]
    assert steps == len(profile["step_times_s"])
    assert re.fullmatch(message, profile["problem"])


# Where the time goes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", DOMINATED)
def test_the_layer_with_nearly_all_of_the_work_has_the_most_time(kind: str):
    """An operation that is booked to another layer adds up as well."""
    prepared = prepare(DOMINATED[kind], batch=16)
    prepared.layer_times(1)
    profile = prepared.layer_times(3)

    rows = rows_of(profile)

    assert_heavy_has_most(rows, "forward", "backward")      # XLA searches a pooling's windows again for its gradient
    assert 0.5 < math.fsum(rows.values()) / np.mean(profile["step_times_s"]) <= 1


ALONE = """
import json
from tests.worker.frameworks.test_layers import conv_heavy
from tests.worker.frameworks.test_layers_jax import prepare
print(json.dumps(prepare(conv_heavy(), mode="inference").layer_times(2)))
"""


def test_a_layer_trial_runs_each_convolution_by_itself():
    """Without the variables, XLA makes one call of the three."""
    answer = subprocess.run(
        [sys.executable, "-c", ALONE], capture_output=True, check=True, text=True, cwd=Path(__file__).parents[3],
        env={**os.environ, **adapter.LAYER_VARIABLES["cpu", "xla", "inference"]},
    )

    rows = rows_of(json.loads(answer.stdout))
    assert {("conv1", "forward"), ("conv2", "forward"), ("conv3", "forward")} <= rows.keys()


def test_the_loss_of_classes_is_not_one_loop_with_the_product_of_its_scores():
    net = Builder("many_classes", (64,))
    net.dense("scores", 1000)
    prepared = prepare(net.build(loss="softmax_cross_entropy", optimizer=Sgd(learning_rate=0.1)), batch=32)
    prepared._set_off()
    arguments = prepared._parameters, prepared._statistics, prepared._moments, prepared._steps, prepared._scaling
    text = prepared._train.lower(*arguments, *prepared._loaded[0], None).compile().as_text()
    with_product = [part for part in text.split("\n\n") if " dot(" in part]
    assert with_product
    assert not any(" reduce(" in part for part in with_product)
