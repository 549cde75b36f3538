"""Layer times: every layer in both directions, the same computation, and each booked with its own work."""

from __future__ import annotations

import functools
import importlib.util
import math
import time
import weakref
from collections import defaultdict
from typing import Any

import numpy as np
import pytest

from rigmark.bench.ir.building import Builder
from rigmark.bench.ir.graph import Graph
from rigmark.bench.ir.training import Sgd
from rigmark.bench.ir.weights import initial_weights, synthetic_batch
from rigmark.bench.worker import frameworks
from rigmark.bench.worker.frameworks import Prepared, Unsupported
from rigmark.bench.worker.frameworks.numpy.adapter import WatchedOperation
from rigmark.bench.worker.frameworks.numpy.lowerings.elementwise import Tanh
from rigmark.bench.worker.tracing import GRADIENT_ADD, LOSS, OPTIMIZER
from rigmark.bench.worker.tracing.timeline import Timeline
from tests.worker.frameworks.cases import cases
from tests.worker.frameworks.dominated import assert_heavy_has_most, dominated

CASES = cases()
DOMINATED = dominated()
HAS_TORCH = importlib.util.find_spec("torch") is not None
needs_torch = pytest.mark.skipif(not HAS_TORCH, reason="needs PyTorch")
WAYS = [("numpy", "nchw"), *((("torch", "nchw"), ("torch", "channels_last")) if HAS_TORCH else ())]
by_way = pytest.mark.parametrize(("framework", "layout"), WAYS, ids=["-".join(way) for way in WAYS])
Row = tuple[str, str]


def prepare(graph: Graph, framework: str, layout: str = "nchw", *, mode: str = "training", batch: int = 4) -> Any:
    asked = {
        "mode": mode, "precision": "fp32", "compile_mode": "eager", "layout": layout, "device": "cpu", "threads": 1,
        "seed": 1,
    }
    prepared = frameworks.load(framework).prepare(graph.plain(), initial_weights(graph, seed=1), asked)
    prepared.load([synthetic_batch(graph, batch, 2)])
    return prepared


def rows_of(profile: dict[str, Any]) -> dict[Row, float]:
    rows = {(row["layer"], row["direction"]): row["time_s"] for row in profile["layers"]}
    assert len(rows) == len(profile["layers"])
    return rows


def conv_heavy(channels: int = 32) -> Graph:
    net = Builder("conv_heavy", (3, 24, 24))
    net.conv2d("conv1", channels, kernel=3, padding=1)
    net.relu("relu1")
    entry = net.conv2d("conv2", channels, kernel=3, padding=1)
    net.relu("relu2")
    net.conv2d("conv3", channels, kernel=3, padding=1)
    net.add("add", of=("conv3", entry))
    net.relu("relu3")
    net.global_avg_pool("pool")
    net.dense("scores", 3)
    return net.build(loss="softmax_cross_entropy", optimizer=Sgd(learning_rate=0.01, momentum=0.9))


@pytest.fixture
def cpu_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Timelines on this process's CPU clock: with one thread, what others do on the machine does not count."""
    on_cpu = functools.partial(Timeline, time.process_time)
    for name in dict.fromkeys(framework for framework, _ in WAYS):
        monkeypatch.setattr(frameworks.load(name), "Timeline", on_cpu)


# What is listed --------------------------------------------------------------------------------------------------


@by_way
@pytest.mark.parametrize("name", CASES)
def test_every_layer_is_listed_in_each_direction_that_it_has_and_nothing_else(framework: str, layout: str, name: str):
    graph = CASES[name]
    forward, trained = (
        {(layer.name, "forward") for layer in graph.layers if graph.runs(layer.name, training=training)}
        for training in (False, True)
    )
    trained |= {(layer.name, "backward") for layer in graph.layers if graph.needs_gradient(layer.name)}
    beside = {(LOSS, "forward"), (LOSS, "backward"), (OPTIMIZER, "update"), (GRADIENT_ADD, "backward")}

    training = rows_of(prepare(graph, framework, layout).layer_times(1))
    inference = rows_of(prepare(graph, framework, layout, mode="inference").layer_times(1))

    assert trained <= training.keys() <= trained | beside
    assert {(LOSS, "forward"), (OPTIMIZER, "update")} <= training.keys()
    assert forward == inference.keys()
    assert all(time_s >= 0 for time_s in [*training.values(), *inference.values()])


@by_way
@pytest.mark.parametrize("name", ["small_network", "everything", "tokens_through_two_lstms"])
def test_instrumented_steps_compute_what_plain_ones_do(framework: str, layout: str, name: str):
    watched = prepare(CASES[name], framework, layout)
    watched.layer_times(2)
    watched.step()
    watched.layer_times(1)

    plain = prepare(CASES[name], framework, layout)      # not before: PyTorch's dropout draws from one generator
    for _ in range(4):
        plain.step()

    assert plain.result() == watched.result()
    for key, value in plain.weights().items():
        np.testing.assert_array_equal(value, watched.weights()[key], err_msg=key)


@by_way
def test_only_a_value_with_several_readers_has_its_gradients_added(framework: str, layout: str):
    branched = rows_of(prepare(conv_heavy(4), framework, layout).layer_times(1))
    chain = rows_of(prepare(CASES["conv_same"], framework, layout).layer_times(1))

    assert branched[GRADIENT_ADD, "backward"] > 0
    assert (GRADIENT_ADD, "backward") not in chain


def test_a_framework_that_tells_no_layer_times_says_so_in_a_sentence():
    class Silent(Prepared):
        pass

    Silent.__module__ = "rigmark_worker.frameworks.caffe.adapter"
    with pytest.raises(Unsupported, match=r"^caffe times no layers in this compile mode yet$"):
        Silent().layer_times(1)


# Where the time goes ---------------------------------------------------------------------------------------------


@by_way
@pytest.mark.parametrize("kind", DOMINATED)
def test_the_layer_with_nearly_all_of_the_work_has_the_most_time(
    framework: str, layout: str, kind: str, cpu_clock: None
):
    """What works in place after it, as torch's ReLU does, takes its place in autograd's graph but not its time."""
    prepared = prepare(DOMINATED[kind], framework, layout, batch=16)
    prepared.layer_times(1)
    profile = prepared.layer_times(3)

    assert_heavy_has_most(rows_of(profile), "forward", *(("backward",) if kind != "pool" else ()))
    assert 0.5 < math.fsum(rows_of(profile).values()) / np.mean(profile["step_times_s"]) <= 1.05


# How torch's hooks are set ---------------------------------------------------------------------------------------


@needs_torch
def test_each_autograd_node_is_booked_to_the_layer_that_left_it(monkeypatch: pytest.MonkeyPatch):
    """Names of the nodes; what works in place is the trap, as its input has become its output afterwards."""
    from rigmark.bench.worker.frameworks.torch.layer_hooks import LayerHooks
    from rigmark.bench.worker.frameworks.torch.lowerings.elementwise import _sum_in_place

    profile: dict[str, list[str]] = defaultdict(list)
    watch_node = LayerHooks._watch_node

    def seen(hooks: Any, row: Row, node: Any, edges: Any) -> None:
        profile[row[0]].append(type(node).__name__.rstrip("0"))
        watch_node(hooks, row, node, edges)

    monkeypatch.setattr(LayerHooks, "_watch_node", seen)
    prepared = prepare(conv_heavy(4), "torch")
    assert prepared._layers["add"].function is _sum_in_place
    prepared.layer_times(1)

    convolution = ["AccumulateGrad", "AccumulateGrad", "ConvolutionBackward"]
    assert {name: sorted(nodes) for name, nodes in profile.items() if name not in ("pool", "scores", LOSS)} == {
        "conv1": convolution, "relu1": ["ReluBackward"], "conv2": convolution, "relu2": ["ReluBackward"],
        "conv3": convolution, "add": ["AddBackward"], "relu3": ["ReluBackward"],
    }
    assert "AddmmBackward" in profile["scores"]
    assert any("Mean" in node or "Pool" in node for node in profile["pool"])
    assert "LogSoftmaxBackward" in profile[LOSS]


@needs_torch
def test_nothing_of_the_instruments_stays_behind(monkeypatch: pytest.MonkeyPatch):
    marks: list[int] = []
    prepared = prepare(conv_heavy(4), "torch")
    loss_function = prepared._loss_function

    class Counting(Timeline):
        def step(self, work: Any, synchronize: Any) -> Any:
            result = super().step(work, synchronize)
            marks.append(len(self._marks))
            return result

    monkeypatch.setattr(frameworks.load("torch"), "Timeline", Counting)
    for _ in range(2):
        prepared.layer_times(3)
        prepared.step()

    assert {marks[0]} == set(marks)      # hooks on the weights' nodes would pile up from step to step
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in prepared._network.modules())
    assert not vars(prepared._optimizer).keys() & {"step", "zero_grad"}
    assert prepared._loss_function is loss_function


def test_numpy_gives_back_what_a_layer_kept_within_its_time():
    operation = Tanh({}, {}, training=True)
    watched = WatchedOperation(operation, "tanh", Timeline())
    watched.forward(np.ones((2, 3)))
    is_gone = weakref.ref(operation)
    del operation
    watched.backward(np.ones((2, 3)))

    assert is_gone() is None
