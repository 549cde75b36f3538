"""TensorFlow's trace: its times, and the layers that its kernels are booked to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from rigmark.bench.worker.tracing import GRADIENT_ADD, LOSS, OPTIMIZER
from rigmark.bench.worker.tracing.xplane import Operation, Operations, Unusable, by_step, lines

Events = list[tuple[float, float, str, dict[str, Any]]]
STEPS = [(0.0, 10.0)]


def operations(written: Mapping[str, tuple[str, Iterable[str]]], **inputs: Iterable[str]) -> Operations:
    """Of a function with these operations, {name: (type, inputs)}, for a graph with these layers' inputs."""
    layers = [{"name": name, "inputs": list(of)} for name, of in inputs.items()]
    return Operations({name: Operation(kind, list(of)) for name, (kind, of) in written.items()}, layers)


def booked(function: Operations, *kernels: str) -> dict[str, tuple[Any, set[str]]]:
    """{kernel: (row, members)} of kernels that ran one after another."""
    events: Events = [(float(i), i + 1.0, name, {}) for i, name in enumerate(kernels)]
    (result,) = function.kernels([events], STEPS)
    return {kernels[int(kernel.begin_s)]: (kernel.row, set(kernel.members)) for kernel in result}


# conv1 and relu1; conv2, whose sum with relu1 is relu2's input
RESIDUAL = {
    "layer/conv1/Conv2D": ("Conv2D", ["x"]),
    "layer/conv1/BiasAdd": ("BiasAdd", ["layer/conv1/Conv2D"]),
    "layer/relu1/Relu": ("Relu", ["layer/conv1/BiasAdd"]),
    "layer/conv2/Conv2D": ("Conv2D", ["layer/relu1/Relu"]),
    "layer/conv2/BiasAdd": ("BiasAdd", ["layer/conv2/Conv2D"]),
    "layer/add/add": ("AddV2", ["layer/relu1/Relu", "layer/conv2/BiasAdd"]),
    "layer/relu2/Relu": ("Relu", ["layer/add/add"]),
}


def test_a_fused_kernel_is_booked_to_the_convolution_in_it_and_not_to_the_relu_that_it_is_named_after():
    by_kernel = booked(
        operations(RESIDUAL), "layer/relu1/Relu:_MklNativeFusedConv2D", "layer/relu2/Relu:_MklNativePadWithFusedConv2D"
    )

    assert by_kernel == {
        "layer/relu1/Relu:_MklNativeFusedConv2D": (("conv1", "forward"), {"conv1", "relu1"}),
        "layer/relu2/Relu:_MklNativePadWithFusedConv2D": (("conv2", "forward"), {"conv2", "add", "relu2"}),
    }


def test_a_fused_kernel_may_reach_its_convolution_on_several_ways():
    """In bfloat16 an IdentityN stands between, which hands on what the gradient wants as well."""
    written = {
        "layer/conv/Conv2D": ("Conv2D", ["x"]), "layer/conv/BiasAdd": ("BiasAdd", ["layer/conv/Conv2D"]),
        "layer/conv/IdentityN": ("IdentityN", ["layer/conv/BiasAdd", "layer/conv/Conv2D"]),
        "layer/relu/Relu": ("Relu", ["layer/conv/IdentityN"]),
    }
    kernel = "layer/relu/Relu:_MklNativeFusedConv2D"

    assert {kernel: (("conv", "forward"), {"conv", "relu"})} == booked(operations(written), kernel)


def test_what_ran_by_itself_is_not_in_a_fused_kernel():
    by_kernel = booked(
        operations(RESIDUAL), "layer/relu1/Relu:_FusedConv2D", "layer/conv2/BiasAdd:_FusedConv2D",
        "layer/add/add:AddV2", "layer/relu2/Relu:Relu",
    )

    assert by_kernel["layer/conv2/BiasAdd:_FusedConv2D"] == (("conv2", "forward"), set())
    assert by_kernel["layer/add/add:AddV2"] == (("add", "forward"), set())
    assert by_kernel["layer/relu2/Relu:Relu"] == (("relu2", "forward"), set())


def test_a_relu_fused_into_the_batch_normalisation_before_it_is_a_member():
    written = {
        "layer/norm/FusedBatchNormV3": ("FusedBatchNormV3", ["layer/conv/Conv2D"]),
        "layer/relu/Relu": ("Relu", ["layer/norm/FusedBatchNormV3"]),
        "layer/norm/AssignVariableOp": ("AssignVariableOp", ["layer/norm/FusedBatchNormV3"]),
    }
    rows = booked(
        operations(written), "layer/norm/FusedBatchNormV3:_MklNativeFusedBatchNormEx",
        "layer/norm/AssignVariableOp:AssignVariableOp",
    )

    assert rows["layer/norm/FusedBatchNormV3:_MklNativeFusedBatchNormEx"] == (("norm", "forward"), {"norm", "relu"})
    assert rows["layer/norm/AssignVariableOp:AssignVariableOp"] == (("norm", "forward"), set())


def test_a_fused_kernel_that_could_be_of_two_convolutions_is_booked_to_none():
    written = {
        "layer/left/Conv2D": ("Conv2D", ["x"]), "layer/right/Conv2D": ("Conv2D", ["x"]),
        "layer/add/add": ("AddV2", ["layer/left/Conv2D", "layer/right/Conv2D"]),
    }

    with pytest.raises(Unusable, match=r"^holds 'layer/add/add:_FusedConv2D', a fused kernel whose other operations"):
        booked(operations(written), "layer/add/add:_FusedConv2D")


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("layer/stage1.conv/Conv2D", ("stage1.conv", "forward")),
        ("gradient_tape/layer/conv/Conv2D/Conv2DBackpropInput", ("conv", "backward")),
        ("layer/lstm/while/body/_1/layer/lstm/while/MatMul", ("lstm", "forward")),
        ("gradient_tape/layer/lstm/while/lstm/while_grad/body/_9/gradients/AddN", ("lstm", "backward")),
        ("loss/Mean", (LOSS, "forward")),
        ("gradient_tape/loss/mul", (LOSS, "backward")),
        ("optimizer/layer/conv/weight", (OPTIMIZER, "update")),
        ("layer/loss/Relu", ("loss", "forward")),
        ("layer/gradient_tape/Relu", ("gradient_tape", "forward")),
        ("gradient_tape/layer/optimizer/MatMul", ("optimizer", "backward")),
        ("Identity", None),
    ],
)
def test_the_scope_tells_the_layer_and_the_direction(name: str, row: Any):
    assert row == operations({}).row_of(name)


def test_only_an_update_tells_whose_gradient_it_takes():
    assert operations({}).gradient_of("optimizer/layer/conv/weight") == ("conv", "backward")
    assert operations({}).gradient_of("layer/conv/Conv2D") is None


def test_what_readers_of_one_value_send_back_is_added_in_a_row_of_its_own_and_what_a_layer_adds_within_is_the_layers():
    written = {
        "AddN": ("AddN", ["gradient_tape/layer/relu/ReluGrad", "gradient_tape/layer/conv/Conv2DBackpropInput"]),
        "AddN_1": ("AddN", ["gradient_tape/layer/lstm/MatMul", "gradient_tape/layer/lstm/MatMul_1"]),
        "AddN_2": ("AddN", ["gradient_tape/layer/concat/Slice", "gradient_tape/layer/concat/Slice_1"]),
        "AddN_3": ("AddN", ["gradient_tape/layer/lstm/Reshape", "gradient_tape/layer/lstm/Reshape"]),
    }
    function = operations(written, lstm=["tokens"], concat=["a", "a"], relu=["a"], conv=["a"])

    assert booked(function, "AddN:AddN", "AddN_1:AddN", "AddN_2:AddN", "A/Mul_AddN_3:Mul") == {
        "AddN:AddN": ((GRADIENT_ADD, "backward"), set()),
        "AddN_1:AddN": (("lstm", "backward"), set()),
        "AddN_2:AddN": ((GRADIENT_ADD, "backward"), set()),
        "A/Mul_AddN_3:Mul": ((GRADIENT_ADD, "backward"), set()),
    }


def test_what_is_no_kernel_of_a_layer_takes_no_time():
    assert not booked(
        operations({}), "EagerExecute", "ThreadpoolListener::Record", "EagerLocalExecute: __inference_step",
        "__inference_step:__inference_step", "layer/conv/Conv2D/ReadVariableOp:ReadVariableOp",
    )


def test_a_kernel_of_a_stream_is_named_by_the_operation_that_launched_it():
    events: Events = [(0.0, 1.0, "implicit_gemm_128x128", {"tf_op": "layer/conv/Conv2D:Conv2D"})]
    (kernels,) = operations({}).kernels([events], STEPS)

    assert [("conv", "forward")] == [kernel.row for kernel in kernels]


def test_a_kernel_is_of_the_step_that_it_begins_in():
    steps = [(20.0, 30.0), (0.0, 10.0)]

    assert by_step([(2, 3), (9, 12), (15, 16), (20, 21), (31, 32)], steps) == [[(2, 3), (9, 12)], [(20, 21)]]


def test_times_are_exact_whenever_the_trace_began():
    """Nanoseconds since 1970 are more digits than a float has."""
    events = lines(space([("python", 1_795_320_628_386_304_001, [(5_000, 2_000, 1, [])])], {1: "Relu"}), "/host:CPU")

    assert [[(5e-9, 7e-9, "Relu", {})]] == [[tuple(event) for event in line] for line in events]


def test_lines_of_one_plane_count_from_the_same_moment_and_may_be_chosen_by_name():
    trace = space([("Stream #1", 7, [(0, 1_000, 1, [("tf_op", "a:A")])]), ("Steps", 4, [(0, 1_000, 1, [])])], {1: "k"})

    assert lines(trace, "/host:CPU", "Stream") == [[(3e-9, 4e-9, "k", {"tf_op": "a:A"})]]
    assert lines(trace, "/device:GPU:0") == []


class Stat:
    def __init__(self, metadata_id: int, text: str):
        self.metadata_id, self.str_value = metadata_id, text

    def WhichOneof(self, group: str) -> str:
        return "str_value"


def space(threads: Iterable[tuple[str, int, list[Any]]], names: Mapping[int, str]) -> Any:
    """An XSpace with one plane, of (name, begin in ns, [(offset in ps, ps, metadata, stats)])."""
    stat_names: dict[str, int] = {}

    def line(name: str, begin_ns: int, events: list[Any]) -> Any:
        return SimpleNamespace(name=name, timestamp_ns=begin_ns, events=[
            SimpleNamespace(
                offset_ps=offset, duration_ps=duration, metadata_id=metadata,
                stats=[Stat(stat_names.setdefault(key, len(stat_names)), text) for key, text in stats],
            )
            for offset, duration, metadata, stats in events
        ])

    result = [line(*thread) for thread in threads]
    plane = SimpleNamespace(
        name="/host:CPU", lines=result,
        event_metadata={key: SimpleNamespace(name=name) for key, name in names.items()},
        stat_metadata={number: SimpleNamespace(name=name) for name, number in stat_names.items()},
    )
    return SimpleNamespace(planes=[plane])
