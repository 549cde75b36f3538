"""TensorFlow's layer times in each compile mode: all that runs is listed, and each layer has its own time."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rigmark.bench.ir.building import Builder
from rigmark.bench.ir.graph import Graph
from rigmark.bench.ir.training import Sgd
from rigmark.bench.ir.weights import initial_weights, synthetic_batch
from rigmark.bench.worker.frameworks import Unsupported
from rigmark.bench.worker.frameworks.tensorflow import adapter
from rigmark.bench.worker.frameworks.tensorflow.lowerings.recurrent import UNROLLED_STEPS
from rigmark.bench.worker.tracing import GRADIENT_ADD, LOSS, OPTIMIZER, xplane
from rigmark.bench.worker.tracing.timeline import Timeline
from tests.worker.frameworks.cases import cases
from tests.worker.frameworks.dominated import assert_heavy_has_most, dominated

pytestmark = pytest.mark.skipif(importlib.util.find_spec("tensorflow") is None, reason="needs TensorFlow")

CASES = cases()
DOMINATED = dominated()
MODES = ("compiled", "eager", "xla")
# Of one input, so that the optimiser of the graph makes some of the functions one: no layer has them for itself.
EAGER_CASES = ("functions_of_each_element",)
XLA_CASES = ("small_network", "tokens_through_two_lstms", "conv_two_groups")     # XLA compiles for seconds
by_compile_mode = pytest.mark.parametrize("compile_mode", MODES)
by_traced_mode = pytest.mark.parametrize("compile_mode", ["compiled", "xla"])
by_case = pytest.mark.parametrize(
    ("compile_mode", "name"),
    [(mode, name) for mode in MODES for name in (XLA_CASES if mode == "xla" else CASES)
     if mode == "eager" or name not in EAGER_CASES],
)
Row = tuple[str, str]


def prepare(
    graph: Graph, compile_mode: str, *, mode: str = "training", batch: int = 4, precision: str = "fp32"
) -> Any:
    asked = {
        "mode": mode, "precision": precision, "compile_mode": compile_mode, "layout": "channels_last", "device": "cpu",
        "threads": 1, "seed": 1,
    }
    prepared = adapter.prepare(graph.plain(), initial_weights(graph, seed=1), asked)
    prepared.load([synthetic_batch(graph, batch, 2)])
    return prepared


def rows_of(profile: dict[str, Any]) -> dict[Row, float]:
    rows = {(row["layer"], row["direction"]): row["time_s"] for row in profile["layers"]}
    assert not profile.get("problem")
    assert len(rows) == len(profile["layers"])
    return rows


def listed(profile: dict[str, Any]) -> set[Row]:
    """All layers and directions that are rows or members of one."""
    return rows_of(profile).keys() | {
        (member, row["direction"]) for row in profile["layers"] if row["direction"] != "update"
        for member in row.get("members", ())
    }


def residual_network(channels: int = 32) -> Graph:
    net = Builder("residual_network", (3, 24, 24))
    net.conv2d("conv1", channels, kernel=3, padding=1)
    net.relu("relu1")
    entry = net.conv2d("conv2", channels, kernel=3, padding=1)
    net.relu("relu2")
    net.conv2d("conv3", channels, kernel=3, padding=1)
    net.add("add", of=("conv3", entry))
    net.relu("relu3")
    net.max_pool("pool", kernel=2, stride=2)
    net.dense("hidden", 64, of=net.flatten("flatten"))
    net.relu("relu4")
    net.dense("scores", 3)
    return net.build(loss="softmax_cross_entropy", optimizer=Sgd(learning_rate=0.01, momentum=0.9))


def many_steps_of_an_lstm() -> Graph:
    """More than are unrolled: a loop, in which kernels run often."""
    net = Builder("loop", (UNROLLED_STEPS + 10, 4))
    net.lstm("lstm", 8)
    net.dense("scores", 3)
    return net.build(loss="mean_squared_error", optimizer=Sgd(learning_rate=0.01))


def is_without_kernel(graph: Graph, layer: str, direction: str, mode: str) -> bool:
    """True where a compiler finds nothing to do: views, a sum's gradient, what inference leaves out.

    The tape makes one gradient of those of a table that is shared, outside of both layers.
    """
    kind = graph[layer].op.kind
    return (
        kind in ("flatten", "reshape", "regroup", "transpose", "parameter")
        or (kind == "embedding" and direction == "backward" and any(each.shares for each in graph.layers))
        or (kind in ("add", "subtract") and direction == "backward")
        or (kind == "dropout" and mode == "inference")
    )


# What is listed --------------------------------------------------------------------------------------------------


@by_case
def test_every_layer_with_work_is_listed_in_each_direction_that_it_has_and_nothing_else(compile_mode: str, name: str):
    graph = CASES[name]
    if compile_mode == "eager" and graph.objectives:
        pytest.skip("layer times of several objectives are refused in eager mode")
    forward = {(layer.name, "forward") for layer in graph.layers if graph.runs(layer.name, training=False)}
    trained = {(layer.name, "forward") for layer in graph.layers if graph.leads_to_loss(layer.name)}
    trained |= {(layer.name, "backward") for layer in graph.layers if graph.needs_gradient(layer.name)}
    beside = {(LOSS, "forward"), (LOSS, "backward"), (OPTIMIZER, "update"), (GRADIENT_ADD, "backward")}

    training = prepare(graph, compile_mode).layer_times(1)
    inference = prepare(graph, compile_mode, mode="inference").layer_times(1)

    for profile, mode, known in (training, "training", trained), (inference, "inference", forward):
        idle = {row for row in known if compile_mode != "eager" and is_without_kernel(graph, *row, mode)}
        assert known - idle <= listed(profile)
        assert rows_of(profile).keys() <= known | (beside if mode == "training" else set())
        assert all(time_s >= 0 for time_s in rows_of(profile).values())
    assert {(LOSS, "forward"), (OPTIMIZER, "update")} <= listed(training)


@pytest.mark.parametrize("mode", ["inference", "training"])
def test_every_layer_with_work_is_listed_in_bfloat16_too(mode: str):
    """Its gradients are TensorFlow's own there, with operations between those of a fused kernel."""
    prepared = prepare(DOMINATED["conv"], "compiled", mode=mode, batch=16, precision="bf16")
    prepared.layer_times(1)
    rows = prepared.layer_times(2)
    profile = {name for row in rows["layers"] for name in row.get("members", [row["layer"]])}

    assert rows.get("problem") is None
    assert {"first", "before", "heavy", "after", "mean", "scores"} <= profile


@by_compile_mode
def test_only_a_value_with_several_readers_has_its_gradients_added(compile_mode: str):
    """The LSTMs add up gradients too, but of what they read within."""
    branched = listed(prepare(residual_network(4), compile_mode).layer_times(1))
    chain = listed(prepare(CASES["tokens_through_two_lstms"], compile_mode).layer_times(1))

    assert (GRADIENT_ADD, "backward") in branched
    assert (GRADIENT_ADD, "backward") not in chain


@pytest.mark.parametrize(("name", "steps"), [("everything", 120), ("loop", 3)])
def test_kernels_do_not_leave_the_trace_when_they_have_run_often(name: str, steps: int):
    """From some ninety runs on, TensorFlow traces cheap kernels no more; within a loop, that is in the second step."""
    prepared = prepare(many_steps_of_an_lstm() if name == "loop" else CASES[name], "compiled")
    prepared.layer_times(1)              # in which constants are folded too
    at_first = count_kernels(prepared)
    for _ in range(steps):
        prepared.step()
    prepared.layer_times(steps)

    assert at_first == count_kernels(prepared)


def count_kernels(prepared: Any) -> int:
    """Kernels in the trace of one step."""
    counts: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        rows = adapter.trace.rows

        def counting(kernels: Any, steps: int, order: Any) -> Any:
            kernels = list(kernels)
            counts.append(len(kernels))
            return rows(kernels, steps, order)

        patch.setattr(adapter.trace, "rows", counting)
        prepared.layer_times(1)
    return counts[0]


# The same computation --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("compile_mode", "name"),
    [("compiled", "residual"), ("compiled", "loop"), ("compiled", "adamw"), ("xla", "residual"),
     ("eager", "everything"), ("eager", "add_to_itself"), ("eager", "tokens_through_two_lstms")],
)
def test_instrumented_steps_compute_what_plain_ones_do(compile_mode: str, name: str):
    """Eagerly with dropout too: it draws as often. Compiled functions draw each from a generator of their own."""
    graph = many_steps_of_an_lstm() if name == "loop" else CASES[name]
    watched = prepare(graph, compile_mode)
    first = watched.layer_times(1)
    watched.layer_times(1)
    watched.step()
    watched.layer_times(1)

    plain = prepare(graph, compile_mode)                 # not before: dropout draws from one generator
    for _ in range(4):
        plain.step()

    assert len(first["step_times_s"]) == 1
    assert plain.result() == watched.result()
    for key, value in plain.weights().items():
        np.testing.assert_array_equal(value, watched.weights()[key], err_msg=key)


@by_compile_mode
def test_the_very_first_step_may_be_instrumented(compile_mode: str):
    """As a layer trial does, to hold it against the oracle."""
    graph = residual_network(4)
    watched, plain = prepare(graph, compile_mode, mode="inference"), prepare(graph, compile_mode, mode="inference")
    watched.layer_times(1)
    plain.step()

    np.testing.assert_array_equal(plain.result(), watched.result())


@by_traced_mode
def test_no_step_waits_for_its_function_to_be_written(compile_mode: str, monkeypatch: pytest.MonkeyPatch):
    prepared = prepare(CASES["conv_same"], compile_mode)
    is_tracing, written = [False], []
    network, trace = prepared._output_of, xplane.written

    @contextlib.contextmanager
    def noting(*arguments: Any) -> Iterator[None]:
        with trace(*arguments):
            is_tracing[0] = True
            yield
            is_tracing[0] = False

    def watched(*arguments: Any) -> Any:
        written.append(is_tracing[0])
        return network(*arguments)

    monkeypatch.setattr(xplane, "written", noting)
    prepared._output_of = watched
    prepared.layer_times(2)

    assert [False] == written


# What a trace may lack -------------------------------------------------------------------------------------------


@by_traced_mode
def test_an_empty_trace_gives_a_sentence_and_no_rows(compile_mode: str, monkeypatch: pytest.MonkeyPatch):
    prepared = prepare(CASES["conv_same"], compile_mode)
    monkeypatch.setattr(xplane, "written", lambda *_: contextlib.nullcontext())
    profile = prepared.layer_times(3)

    held = {"compiled": "kernels of only 0 of 3 steps", "xla": "no operation of the step"}[compile_mode]
    assert profile["problem"] == f"TensorFlow's trace holds {held}, so there are no layer times"
    assert profile["layers"] == []
    assert len(profile["step_times_s"]) == 3


@by_traced_mode
def test_a_truncated_trace_gives_a_sentence_and_no_rows(compile_mode: str, monkeypatch: pytest.MonkeyPatch):
    prepared = prepare(CASES["conv_same"], compile_mode)
    prepared.layer_times(1)
    lines = xplane.lines

    def without_its_end(*arguments: Any) -> Any:
        whole = lines(*arguments)
        end = min(end for line in whole for _, end, name, _ in line if name == xplane.STEP)
        return [[event for event in line if event[0] < end or event[2] == xplane.STEP] for line in whole]

    monkeypatch.setattr(xplane, "lines", without_its_end)
    profile = prepared.layer_times(3)

    held = {"compiled": "kernels of only 1 of 3 steps", "xla": "1 of 3 runs of '"}[compile_mode]
    assert f"TensorFlow's trace holds {held}" in profile["problem"]
    assert profile["layers"] == []


def test_a_trace_without_some_kernels_of_each_step_gives_a_sentence_and_no_rows(monkeypatch: pytest.MonkeyPatch):
    """As a GPU's is, where XLA has put kernels into a command buffer: the others would pass for the whole step."""
    prepared = prepare(CASES["conv_same"], "xla")
    prepared.layer_times(1)
    lines = xplane.lines

    def without_one(*arguments: Any) -> Any:
        hidden = prepared._program._kernels[-1]
        return [[event for event in line if event[3].get("hlo_op") != hidden] for line in lines(*arguments)]

    monkeypatch.setattr(xplane, "lines", without_one)
    profile = prepared.layer_times(3)

    assert "TensorFlow's trace holds 0 of 3 runs of '" in profile["problem"]
    assert profile["layers"] == []


def test_a_trace_of_another_program_gives_a_sentence_and_no_rows():
    prepared = prepare(CASES["conv_same"], "xla")
    prepared.layer_times(1)
    prepared._program._owners.clear()
    profile = prepared.layer_times(1)

    assert "which the program has not, so there are no layer times" in profile["problem"]
    assert profile["layers"] == []


def test_a_wheel_that_cannot_read_its_trace_says_so_in_a_sentence(monkeypatch: pytest.MonkeyPatch):
    prepared = prepare(CASES["conv_same"], "compiled")

    def absent(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(xplane.importlib, "import_module", absent)
    with pytest.raises(Unsupported, match=r"^TensorFlow \S+ brings nothing to read its own trace with$"):
        prepared.layer_times(1)


def test_nothing_of_the_instruments_stays_behind(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(adapter.tempfile, "tempdir", str(tmp_path))
    prepared = prepare(CASES["conv_same"], "compiled")
    prepared.layer_times(1)
    synchronize = prepared.synchronize

    def fail() -> None:
        raise MemoryError("as a step may")

    prepared.synchronize = fail
    with pytest.raises(MemoryError, match="as a step may"):
        prepared.layer_times(1)
    prepared.synchronize = synchronize
    prepared.layer_times(1)              # would be refused, were the last trace still being written

    assert not list(tmp_path.iterdir())


# Where the time goes ---------------------------------------------------------------------------------------------


@by_traced_mode
@pytest.mark.parametrize("kind", DOMINATED)
def test_the_layer_with_nearly_all_of_the_work_has_the_most_time(compile_mode: str, kind: str):
    """That all time is booked proves nothing: a fused kernel named after its ReLU once gave that 96 % of AlexNet."""
    prepared = prepare(DOMINATED[kind], compile_mode, batch=16)
    prepared.layer_times(1)
    profile = prepared.layer_times(3)

    assert_heavy_has_most(rows_of(profile), "forward", *(("backward",) if kind != "pool" else ()))
    assert 0.5 < math.fsum(rows_of(profile).values()) / np.mean(profile["step_times_s"]) <= 1


@pytest.mark.parametrize("layer", ["conv1", "relu2", "add", "scores"])
def test_eagerly_a_layers_time_lies_in_its_own_row(layer: str, monkeypatch: pytest.MonkeyPatch):
    """A delay in one layer, on a clock that only delays move."""
    now = [0.0]
    monkeypatch.setattr(adapter, "Timeline", functools.partial(Timeline, lambda: now[0], resolution_s=1.0))
    prepared = prepare(residual_network(4), "eager")
    tf = prepared._tf

    @tf.custom_gradient
    def delayed(x: Any) -> Any:
        now[0] += 3

        def gradient(upstream: Any) -> Any:
            now[0] += 5
            return upstream

        return tf.identity(x), gradient

    index = next(i for i, each in enumerate(prepared._for_loss) if each.name == layer)
    function = prepared._for_loss[index].function
    prepared._for_loss[index] = prepared._for_loss[index]._replace(
        function=lambda *arguments, **parameters: delayed(function(*arguments, **parameters))
    )
    profile = prepared.layer_times(2)

    assert {row: time_s for row, time_s in rows_of(profile).items() if time_s} == {
        (layer, "forward"): 3, (layer, "backward"): 5,
    }
    assert profile["step_times_s"] == [8, 8]
