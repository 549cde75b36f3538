"""Layer times of PyTorch's compiled mode: the kernels of Inductor's program, and which layers each does the work of."""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from rigmark.bench.ir.building import Builder  # noqa: E402
from rigmark.bench.ir.graph import Graph  # noqa: E402
from rigmark.bench.ir.training import Sgd  # noqa: E402
from rigmark.bench.ir.weights import initial_weights, synthetic_batch  # noqa: E402
from rigmark.bench.worker import frameworks  # noqa: E402
from rigmark.bench.worker.frameworks.torch.inductor import _KERNEL_CALL, booked, exchanged  # noqa: E402
from rigmark.bench.worker.tracing import GRADIENT_ADD, LOSS, OPTIMIZER  # noqa: E402
from rigmark.bench.worker.tracing.timeline import Timeline  # noqa: E402
from tests.worker.frameworks.dominated import assert_heavy_has_most  # noqa: E402

BATCH = 8
BESIDE = {(LOSS, "forward"), (LOSS, "backward"), (OPTIMIZER, "update"), (GRADIENT_ADD, "backward")}
Row = tuple[str, str]


def network() -> Graph:
    """What Inductor fuses, and what it leaves to oneDNN, with nearly all of the work in one layer, "heavy".

    Compiled once for each mode, in ten seconds and more.
    """
    net = Builder("network", (3, 24, 24))
    net.conv2d("conv1", 64, kernel=3, padding=1, bias=False)
    net.batch_norm("norm")
    entry = net.relu("relu1")
    net.conv2d("heavy", 64, kernel=7, padding=3)
    net.add("add", of=("heavy", entry))
    net.relu("relu2")
    net.max_pool("pool", kernel=2, stride=2)
    net.flatten("flatten")
    net.dropout("dropout", 0.5)
    net.dense("scores", 3)
    return net.build(loss="softmax_cross_entropy", optimizer=Sgd(learning_rate=0.01, momentum=0.9))


def prepare(mode: str) -> Any:
    graph = network()
    prepared = frameworks.load("torch").prepare(graph.plain(), initial_weights(graph, seed=1), {
        "mode": mode, "precision": "fp32", "compile_mode": "compiled", "layout": "channels_last", "device": "cpu",
        "threads": 1, "seed": 1,
    })
    prepared.load([synthetic_batch(graph, BATCH, seed) for seed in (2, 3)])
    return prepared


@pytest.fixture(scope="module")
def by_mode() -> dict[str, Any]:
    """Both before either compiles: to prepare is to forget what was compiled."""
    return {mode: prepare(mode) for mode in ("training", "inference")}


@pytest.fixture
def training(by_mode: dict[str, Any]) -> Any:
    return by_mode["training"]


@pytest.fixture
def inference(by_mode: dict[str, Any]) -> Any:
    return by_mode["inference"]


@pytest.fixture(autouse=True)
def cpu_clock() -> Iterator[None]:
    """Timelines on this process's CPU clock: with one thread, what others do on the machine does not count."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(frameworks.load("torch"), "Timeline", functools.partial(Timeline, time.process_time))
        yield


def rows_of(profile: dict[str, Any]) -> dict[Row, dict[str, Any]]:
    rows = {(row["layer"], row["direction"]): row for row in profile["layers"]}
    assert len(rows) == len(profile["layers"])
    return rows


def layers_in(rows: dict[Row, dict[str, Any]], direction: str) -> set[str]:
    """Names of the layers that are in a row of a direction or among the members of one."""
    here = [row for row in rows.values() if row["direction"] == direction]
    return {name for row in here for name in row.get("members", [row["layer"]])} - {LOSS, GRADIENT_ADD}


def test_filters_of_one_channel_have_the_strides_that_module_to_gives():
    """Whose convolutions otherwise take a kernel of the other order, which costs mnist_cnn a sixth of its step."""
    net = Builder("network", (1, 8, 8))
    net.conv2d("conv1", 4, kernel=5)                     # one channel in: contiguous by either order, if one asks
    net.conv2d("conv2", 6, kernel=1)                     # one element in space
    net.flatten("flatten")
    net.dense("scores", 3)
    graph = net.build(loss="softmax_cross_entropy", optimizer=Sgd(learning_rate=0.01))
    prepared = frameworks.load("torch").prepare(graph.plain(), initial_weights(graph, seed=1), {
        "mode": "inference", "precision": "fp32", "compile_mode": "eager", "layout": "channels_last", "device": "cpu",
        "threads": 1, "seed": 1,
    })
    filters = [tensor for tensor in prepared._network.parameters() if tensor.dim() == 4]
    by_hand = [torch.nn.Conv2d(*size[1::-1], size[2]).to(memory_format=torch.channels_last).weight
               for size in (tensor.shape for tensor in filters)]
    assert [tensor.stride() for tensor in by_hand] == [tensor.stride() for tensor in filters]
    assert [(25, 1, 5, 1), (4, 1, 4, 4)] == [tensor.stride() for tensor in filters]


# First, since it runs plain steps from the state that both ways begin with.
def test_steps_with_marks_compute_what_plain_ones_do(training: Any):
    def four_steps(marked: bool) -> tuple[float, dict[str, np.ndarray]]:
        if marked:
            training.layer_times(2)
            training.step()
            training.layer_times(1)
        else:
            for _ in range(4):
                training.step()
        return training.result(), training.weights()

    before = {key: torch.tensor(value) for key, value in training.weights().items()}
    torch.manual_seed(3)
    plain_loss, plain_weights = four_steps(marked=False)
    for key, value in before.items():
        training._tensors[key].data.copy_(value)
    training._optimizer.state.clear()
    torch.manual_seed(3)
    marked_loss, marked_weights = four_steps(marked=True)      # compiles by the way, of which nothing may be seen

    assert plain_loss == marked_loss
    for key, value in plain_weights.items():
        np.testing.assert_array_equal(value, marked_weights[key], err_msg=key)


def test_every_layer_has_a_kernel_or_a_share_in_one(training: Any, inference: Any):
    trained, inferred = training.layer_times(2), inference.layer_times(2)
    names = {layer.name for layer in network().layers}

    # Nothing is to be done for a flatten of contiguous memory, for an add's gradient, for dropout in inference.
    assert names - {"flatten"} <= layers_in(rows_of(trained), "forward") <= names
    assert names - {"flatten", "add"} <= layers_in(rows_of(trained), "backward") <= names
    assert names - {"flatten", "dropout"} <= layers_in(rows_of(inferred), "forward") <= names - {"dropout"}
    assert {row for row in rows_of(trained) if row[0] not in names} <= BESIDE
    assert {(LOSS, "forward"), (LOSS, "backward"), (OPTIMIZER, "update")} <= rows_of(trained).keys()
    assert {"forward"} == {direction for _, direction in rows_of(inferred)}
    assert "problem" not in {**trained, **inferred}


def test_a_fused_kernel_names_its_layers_in_the_order_of_the_graph(training: Any, inference: Any):
    for prepared in (training, inference):
        forward = rows_of(prepared.layer_times(1))
        assert ["norm", "relu1"] == forward["norm", "forward"]["members"]      # the norm has most of the arithmetic
        assert ("relu1", "forward") not in forward
    backward = rows_of(training.layer_times(1))
    assert {"norm", "relu1"} <= set(backward["norm", "backward"]["members"])


def test_a_convolution_has_its_kernels_for_itself(training: Any):
    """Inductor names it too for the kernel before that lays out its operand: batch_norm would take it along."""
    rows = rows_of(training.layer_times(1))

    for row in (("conv1", "forward"), ("heavy", "forward"), ("conv1", "backward"), ("heavy", "backward")):
        assert "members" not in rows[row]


def test_the_layer_with_nearly_all_of_the_work_has_the_most_time(training: Any):
    training.layer_times(1)
    profile = training.layer_times(3)
    times_s = {key: row["time_s"] for key, row in rows_of(profile).items()}

    assert_heavy_has_most(times_s, "forward", "backward")
    assert 0.5 < sum(times_s.values()) / np.mean(profile["step_times_s"]) <= 1.05


def test_nothing_of_the_marks_stays_behind(training: Any):
    plain, loss_function = training._run, training._loss_function
    training.layer_times(1)
    marks: list[Any] = []
    training._marked._timeline.switch = marks.append
    training.step()

    assert not marks
    assert training._run is plain
    assert training._loss_function is loss_function
    assert not vars(training._optimizer).keys() & {"step", "zero_grad"}


# How kernels are told apart, without compiling ---------------------------------------------------------------------


class Node:
    """A node of a graph as Inductor has it after its passes, of a layer by its index."""

    op = "call_function"

    def __init__(self, name: str, layer: int | None, *inputs: Node, elements: int = 100, is_view: bool = False):
        self.name, self.all_input_nodes, self.users = name, list(inputs), []
        stack = {} if layer is None else {"key": (f"L['self'].layers.{layer}", None)}
        self.meta = {"nn_module_stack": stack, "val": torch.empty(elements, device="meta")}
        self.target = SimpleNamespace(__name__=name.rstrip("0123456789_") + ".default", is_view=is_view)
        for node in inputs:
            node.users.append(self)


def test_a_fused_kernel_is_booked_to_the_layer_with_the_most_arithmetic():
    x = Node("x", 0)
    norm = [Node("sub", 0, x), Node("mul", 0, x)]
    nodes = [x, *norm, Node("relu", 1, norm[1]), Node("view", 2, norm[1], is_view=True)]

    by_kernel = booked({"cpp_fused_0:1": ["relu", "view", "mul", "sub"]}, nodes, ["norm", "relu", "flatten"])

    assert {"cpp_fused_0:1": ("norm", ["norm", "relu"])} == by_kernel


def test_pooling_has_more_arithmetic_than_what_is_done_once_for_each_value():
    x = Node("x", 0)
    relu = Node("relu", 0, x)
    nodes = [x, relu, Node("le", 0, relu), Node("max_pool2d", 1, relu, elements=25)]

    by_kernel = booked({"cpp_fused_0:1": ["relu", "le", "max_pool2d"]}, nodes, ["relu", "pool"])

    assert {"cpp_fused_0:1": ("pool", ["relu", "pool"])} == by_kernel


def test_a_kernel_of_a_library_does_the_last_of_its_nodes_and_no_other_kernel_does():
    x = Node("x", 0)
    threshold = Node("where", 0, x)
    nodes = [x, threshold, Node("convolution_backward", 1, threshold, elements=10000)]
    kernels = {
        "cpp_fused_0:1": ["where", "convolution_backward"],
        "torch.ops.aten.convolution_backward.default:2": ["convolution_backward", "where"],
    }

    assert {
        "cpp_fused_0:1": ("relu", ["relu"]), "torch.ops.aten.convolution_backward.default:2": ("conv", ["conv"]),
    } == booked(kernels, nodes, ["relu", "conv"])


def test_what_an_earlier_kernel_lists_too_weighs_nothing_in_a_later_one():
    x = Node("x", 0)
    pool = Node("max_pool2d", 0, x)
    nodes = [x, pool, Node("mul", 1, pool)]
    kernels = {"cpp_fused_0:1": ["max_pool2d"], "cpp_fused_1:2": ["max_pool2d", "mul"], "cpp_fused_2:3": ["max_pool2d"]}

    assert {
        "cpp_fused_0:1": ("pool", ["pool"]), "cpp_fused_1:2": ("dropout", ["pool", "dropout"]),
        "cpp_fused_2:3": ("pool", ["pool"]),
    } == booked(kernels, nodes, ["pool", "dropout"])


def test_scalars_are_no_layers_work_and_a_sum_of_gradients_has_a_row():
    count, total = Node("add", 0), Node("add_1", None, Node("x", 0))
    count.meta["val"] = torch.empty((), device="meta")
    total.meta["is_gradient_acc"] = True
    kernels = {"cpp_fused_add_0:1": ["add"], "cpp_fused_add_1:2": ["add_1"]}

    assert {"cpp_fused_add_0:1": (None, []), "cpp_fused_add_1:2": (GRADIENT_ADD, [])} == booked(
        kernels, [count, total], ["norm"]
    )


def test_what_a_pass_of_inductor_puts_in_belongs_to_the_layer_that_reads_it():
    seeds = Node("inductor_seeds", None)
    nodes = [seeds, Node("inductor_random", 0, seeds)]

    assert {"aten.randint.low_out:1": ("dropout", ["dropout"])} == booked(
        {"aten.randint.low_out:1": ["inductor_seeds"]}, nodes, ["dropout"]
    )


def test_calls_are_found_under_inductors_comments():
    program = """
    def call(self, args):
        # [Provenance debug handles] extern_kernels.mm:1
        extern_kernels.mm(buf0, buf1, out=buf2)
        with torch.cuda._DeviceGuard(0):
            # [Provenance debug handles] triton_poi_fused_relu_0:2
            stream0 = get_raw_stream(0)
            triton_poi_fused_relu_0.run(buf2, 24, stream=stream0)
        # [Provenance debug handles] aten.gone:3
        del buf2
"""

    assert ["extern_kernels.mm:1", "triton_poi_fused_relu_0:2"] == [
        match.group(2) for match in _KERNEL_CALL.finditer(program)
    ]


def test_kernels_without_marks_are_a_problem_and_not_a_short_table(inference: Any, monkeypatch: pytest.MonkeyPatch):
    inference.layer_times(1)
    monkeypatch.setattr(inference._marked, "_unmarked", ["cpp_fused_relu_0:2"])

    assert "'cpp_fused_relu_0:2'" in inference.layer_times(1)["problem"]


def test_an_older_pytorch_says_which_one_it_takes(inference: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(inference, "_marked", None)
    monkeypatch.setattr("torch._inductor.config", SimpleNamespace(trace=SimpleNamespace(enabled=False)))

    with pytest.raises(frameworks.Unsupported, match=r"^layer times in compiled mode need PyTorch 2\.9 or newer"):
        inference.layer_times(1)


def test_marks_come_into_the_program_beneath_what_aligns_inputs_on_a_gpu():
    from torch._inductor.utils import align_inputs_from_check_idxs

    def written(inputs: list[Any]) -> str:
        return "as Inductor wrote it"

    alone = exchanged(written, lambda function: lambda inputs: f"{function(inputs)}, marked")
    aligned = exchanged(
        align_inputs_from_check_idxs(written, [0], set()),       # type: ignore[arg-type]
        lambda function: lambda inputs: f"{function(inputs)}, marked",
    )

    assert "as Inductor wrote it, marked" == alone([]) == aligned([torch.ones(1)])
