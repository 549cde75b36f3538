"""ONNX files as graphs: each computes what ONNX's reference evaluator computes, or is refused in one sentence."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rigmark.bench.ir.reading import read
from rigmark.bench.ir.weights import perturbed, synthetic_batch
from rigmark.bench.worker import frameworks
from rigmark.bench.worker.onnx_import import Refused, importing, loading, net

onnx = pytest.importorskip("onnx")
helper, numpy_helper = pytest.importorskip("onnx.helper"), pytest.importorskip("onnx.numpy_helper")
reference = pytest.importorskip("onnx.reference")

RNG = np.random.default_rng(3)
SETTINGS = {
    "mode": "inference", "precision": "fp64", "compile_mode": "eager", "layout": "nchw", "device": "cpu", "threads": 1,
    "seed": 1, "shards": 1,
}
Weights = dict[str, Any]


def weights(**shapes: Sequence[int]) -> Weights:
    return {name: RNG.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def whole(*numbers: int) -> Any:
    return np.array(numbers, np.int64)


def model(
    nodes: Sequence[Any], constants: Weights, shape: Sequence[Any], *, opset: int = 17, dtype: int = 1,
    output: str = "y",
) -> Any:
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", dtype, shape)],
        [helper.make_tensor_value_info(output, 1, None)],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def node(op: str, inputs: str, output: str, **attributes: Any) -> Any:
    return helper.make_node(op, inputs.split(), output.split(), name=f"n.{output}", **attributes)


def both(file: Any) -> tuple[list[str], Any, Any]:
    """(kinds of the layers, what ONNX's reference computes, what our oracle computes) of a model."""
    plain, given, _, original = importing.imported(file, {}, {})
    graph = read({**plain, "name": "net"})
    assert {key: array.shape for key, array in given.items()} == {k: p.shape for k, p in graph.parameters.items()}
    x, _ = synthetic_batch(graph, 3, 1)
    place = original["places"]["x"]
    dtype = helper.tensor_dtype_to_np_dtype(file.graph.input[0].type.tensor_type.elem_type)
    if original.get("is_alone"):
        alone = [each.reshape(place["shape"]).astype(dtype) for each in np.asarray(x)]
        whole_file = reference.ReferenceEvaluator(file)
        expected = np.stack([whole_file.run(None, {"x": each})[0] for each in alone])
        computed = frameworks.load("numpy").prepare(graph.plain(), given, SETTINGS).output(x, False)
        return [layer.op.kind for layer in graph.layers], expected, computed
    samples = np.moveaxis(np.asarray(x), 0, place["batch"]).astype(dtype)
    axis = file.graph.input[0].type.tensor_type.shape.dim[place["batch"]]
    runs = np.split(samples, 3) if axis.dim_value == 1 else [samples]
    evaluator = reference.ReferenceEvaluator(file)
    expected = np.concatenate([evaluator.run(None, {"x": each})[0] for each in runs], original["axis"])
    computed = frameworks.load("numpy").prepare(graph.plain(), given, SETTINGS).output(x, False)
    return [layer.op.kind for layer in graph.layers], np.moveaxis(expected, original["axis"], 0), computed


IMAGE = ("n", 3, 9, 9)
CONV = weights(w=(4, 3, 3, 3), b=(4,))
NORM = {**weights(g=(6,), b=(6,)), "two": np.float32(2), "eps": np.float32(1e-5)}
HALF = {"root": np.float32(np.sqrt(2)), "one": np.float32(1), "half": np.float32(0.5)}
GATES = weights(w=(2, 20, 4), r=(2, 20, 5), b=(2, 40))

CASES: dict[str, tuple[Any, list[str]]] = {
    "even padding": (model([node("Conv", "x w b", "y", pads=[1, 1, 1, 1], strides=[2, 2])], CONV, IMAGE), ["conv2d"]),
    "uneven padding": (
        model([node("Conv", "x w b", "y", pads=[0, 1, 2, 1])], CONV, IMAGE), ["pad", "conv2d"]),
    "padding by name": (
        model([node("Conv", "x w b", "y", auto_pad="SAME_UPPER", strides=[2, 2])], CONV, ("n", 3, 8, 8)),
        ["pad", "conv2d"]),
    "convolution of a sequence": (
        model([node("Conv", "x w", "y", pads=[2, 2], dilations=[2])], weights(w=(4, 3, 3)), ("n", 3, 9)),
        ["reshape", "conv2d", "reshape"]),
    "pooling that rounds up": (
        model([node("MaxPool", "x", "y", kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1)], {}, IMAGE),
        ["pad", "max_pool"]),
    "mean without padding": (
        model([node("AveragePool", "x", "y", kernel_shape=[3, 3], strides=[2, 2], pads=[0, 0, 1, 1])], {},
              ("n", 3, 8, 8)),
        ["pad", "avg_pool", "parameter", "multiply"]),
    "batch norm": (
        model([node("BatchNormalization", "x g b m v", "y", epsilon=1e-3)],
              {**weights(g=(3,), b=(3,), m=(3,)), "v": np.array([0.5, 1, 2], np.float32)}, IMAGE),
        ["batch_norm"]),
    "product and bias": (
        model([node("MatMul", "x w", "p"), node("Add", "b p", "y")], weights(w=(6, 4), b=(4,)), ("n", 5, 6)),
        ["dense"]),
    "rows of steps and samples": (
        model([node("GRU", "x g h", "a", hidden_size=5), node("Squeeze", "a one", "s"), node("Reshape", "s rows", "r"),
               node("Gemm", "r w b", "p"), node("Reshape", "p back", "y")],
              {**weights(g=(1, 15, 4), h=(1, 15, 5), w=(5, 6), b=(6,)), "one": whole(1), "rows": whole(-1, 5),
               "back": whole(7, -1, 6)}, (7, "n", 4)), []),
    "one sample, without an axis for it": (
        model([node("Squeeze", "x", "s"), node("Slice", "s zero two zero", "c"), node("MatMul", "c w", "p"),
               node("Concat", "p row", "j", axis=0), node("Pad", "j pads", "a"), node("Softmax", "a", "f", axis=0),
               node("ReduceMax", "f", "m", axes=[0], keepdims=0), node("Add", "m b", "y")],
              {**weights(w=(4, 5), row=(1, 5), b=(7,)), "zero": whole(0), "two": whole(2), "pads": whole(0, 1, 0, 1)},
              (1, 3, 4)), []),
    "one sample, whose steps come first": (
        model([node("GRU", "x g h", "a", hidden_size=5), node("Squeeze", "a one", "s"),
               node("Transpose", "s", "t", perm=[1, 2, 0]), node("Conv", "t w b", "y", pads=[1, 1])],
              {**weights(g=(1, 15, 4), h=(1, 15, 5), w=(3, 5, 3), b=(3,)), "one": whole(1)}, (7, 1, 4)), []),
    "casts between widths": (
        model([node("Cast", "x", "d", to=11), node("Mul", "d wide", "m"), node("Cast", "m", "y", to=1)],
              {"wide": np.array([0.5, 2, 3], np.float64)}, ("n", 3)), ["parameter", "multiply"]),
    "factors of a product": (
        model([node("Gemm", "x w b", "y", transB=1, alpha=0.5, beta=2.0)], weights(w=(4, 6), b=(4,)), ("n", 6)),
        ["dense"]),
    "layer norm by hand": (
        model([node("ReduceMean", "x", "m", axes=[-1]), node("Sub", "x m", "d"), node("Pow", "d two", "s"),
               node("ReduceMean", "s", "v", axes=[-1]), node("Add", "v eps", "e"), node("Sqrt", "e", "r"),
               node("Div", "d r", "n"), node("Mul", "n g", "p"), node("Add", "p b", "y")], NORM, ("n", 5, 6)),
        ["layer_norm"]),
    "gelu by hand": (
        model([node("Div", "x root", "d"), node("Erf", "d", "e"), node("Add", "e one", "a"), node("Mul", "x a", "p"),
               node("Mul", "p half", "y")], HALF, ("n", 6)), ["gelu"]),
    "silu by hand": (model([node("Sigmoid", "x", "s"), node("Mul", "x s", "y")], {}, ("n", 6)), ["silu"]),
    "softmax along a middle axis": (
        model([node("Softmax", "x", "y", axis=1)], {}, ("n", 3, 4)), ["transpose", "softmax", "transpose"]),
    "two directions": (
        model([node("LSTM", "x w r b", "a", hidden_size=5, direction="bidirectional"),
               node("Transpose", "a", "y", perm=[2, 0, 1, 3])], GATES, (7, "n", 4)), []),
    "shapes of shapes": (
        model([node("Shape", "x", "s"), node("Gather", "s zero", "n"), node("Unsqueeze", "n zero1", "u"),
               node("Concat", "u rest", "t", axis=0), node("Reshape", "x t", "y")],
              {"zero": np.array(0, np.int64), "zero1": whole(0), "rest": whole(2, 6)}, ("n", 3, 4)), ["reshape"]),
    "windows of an image": (
        model([node("Reshape", "x s", "a"), node("Transpose", "a", "t", perm=[0, 2, 1, 3]), node("Reshape", "t m", "r"),
               node("Softmax", "r", "f"), node("Reshape", "f back", "y")],
              {"s": whole(0, 2, 2, 3), "m": whole(-1, 2, 3), "back": whole(-1, 12)}, ("n", 12)), []),
    "a larger image": (
        model([helper.make_node("Resize", ["x", "", "k"], ["y"], mode="linear")],
              {"k": np.array([1, 1, 2, 1], np.float32)}, IMAGE), []),
    "rows repeated": (
        model([helper.make_node("Resize", ["x", "", "k"], ["y"], mode="nearest", nearest_mode="floor",
                                coordinate_transformation_mode="asymmetric")],
              {"k": np.array([1, 1, 2, 1], np.float32)}, IMAGE), ["resize"]),
    "rows of a sequence": (
        model([helper.make_node("Resize", ["x", "", "k"], ["y"], mode="linear")],
              {"k": np.array([1, 1, 2], np.float32)}, ("n", 3, 5)), []),
    "transposed convolution, cut unevenly": (
        model([node("ConvTranspose", "x w b", "y", strides=[2, 2], pads=[0, 1, 1, 0])],
              weights(w=(3, 4, 3, 3), b=(4,)), IMAGE), ["conv_transpose2d", "slice", "slice"]),
    "gated recurrent unit": (
        model([node("GRU", "x w r b", "a", hidden_size=5, linear_before_reset=1),
               node("Transpose", "a", "y", perm=[2, 0, 1, 3])],
              weights(w=(1, 15, 4), r=(1, 15, 5), b=(1, 30)), (7, "n", 4)), []),
    "the cell's last state": (
        model([node("LSTM", "x w r b", "a h c", hidden_size=5), node("Transpose", "c", "y", perm=[1, 0, 2])],
              {name: array[:1] for name, array in GATES.items()}, (7, "n", 4)), []),
    "parts": (
        model([node("Slice", "x a b c d", "s"), node("Split", "s", "p q", axis=1), node("Concat", "q p", "y", axis=1)],
              {"a": whole(-1), "b": whole(-100), "c": whole(2), "d": whole(-2)}, ("n", 4, 5)), []),
    "the smallest in order, and where they lie": (
        model([helper.make_node("TopK", ["x", "two"], ["v", "i"], axis=1, largest=0),
               helper.make_node("Cast", ["i"], ["f"], to=1), node("Concat", "v f", "y", axis=1)],
              {"two": whole(2)}, ("n", 4, 5)), ["negative", "top_k", "negative", "cast", "concat"]),
    "attention by hand": (
        model([node("Reshape", "x s", "h"), node("Transpose", "h", "q", perm=[0, 2, 1, 3]),
               node("Transpose", "h", "k", perm=[0, 2, 3, 1]), node("MatMul", "q k", "p"), node("Div", "p root", "d"),
               node("Add", "d mask", "m"), node("Softmax", "m", "f", axis=-1), node("MatMul", "f q", "o"),
               node("Transpose", "o", "t", perm=[0, 2, 1, 3]), node("Reshape", "t back", "y")],
              {"s": whole(0, 0, 2, 4), "back": whole(0, 0, 8), "root": np.float32(2),
               "mask": np.array([[[[0, -np.inf, 0], [0, 0, 0], [0, 0, -1]]]], np.float32)}, ("n", 3, 8)),
        ["reshape", "transpose", "parameter", "attention", "transpose", "reshape"]),
    "a number for each sample": (
        model([node("ReduceMax", "x", "m", axes=[1], keepdims=0), node("Unsqueeze", "m one", "y")], {"one": whole(1)},
              ("n", 4)), ["reduce_max", "reshape"]),
    "the mean of an image": (
        model([node("GlobalAveragePool", "x", "g"), node("Flatten", "g", "y")], {}, IMAGE), ["global_avg_pool"]),
    "a batch fixed at 3": (
        model([node("Reshape", "x s", "y")], {"s": whole(3, -1)}, (3, 3, 4)), ["flatten"]),
    "a fixed batch": (
        model([node("Reshape", "x s", "y")], {"s": whole(1, 12)}, (1, 3, 4)), ["flatten"]),
    "tokens": (
        model([node("Gather", "t x", "y")], weights(t=(11, 4)), ("n", 6), dtype=6), ["embedding"]),
    "a known branch": (
        model([helper.make_node("If", ["c"], ["y"], then_branch=helper.make_graph(
            [node("Relu", "x", "z")], "then", [], [helper.make_tensor_value_info("z", 1, None)]),
            else_branch=helper.make_graph([node("Tanh", "x", "z")], "else", [],
                                          [helper.make_tensor_value_info("z", 1, None)]))],
              {"c": np.array(True)}, ("n", 4)), ["relu"]),
}


@pytest.mark.parametrize("name", CASES)
def test_a_file_computes_what_it_says(name: str):
    file, kinds = CASES[name]

    made, expected, computed = both(file)

    np.testing.assert_allclose(computed, expected.reshape(computed.shape), rtol=2e-5, atol=2e-5)
    assert np.ptp(computed, axis=0).max() > 1e-3         # or it would agree with anything
    assert not kinds or made == kinds


def test_the_guide_names_the_operators_that_are_read():
    text = (Path(__file__).parents[3] / "docs" / "bring-a-network.md").read_text(encoding="utf-8")
    named = [name for line in text.splitlines() if line.startswith("  > ") for name in line[4:].rstrip(",").split(", ")]

    assert named == sorted(set(net.TABLE) - {"AttentionOfHeads", "Silu"})        # those are made of several


def test_softmax_before_opset_13_sums_over_all_axes_from_its_own_on():
    """ONNX's reference evaluator takes the later meaning for every opset."""
    file = model([node("Softmax", "x", "y", axis=1)], {}, ("n", 3, 4), opset=11)

    kinds, _, computed = both(file)

    assert kinds == ["flatten", "softmax", "reshape"]
    np.testing.assert_allclose(computed.sum((1, 2)), 1)


def test_equal_initialisers_are_parameters_of_each_layer():
    """An exporter stores equal arrays once; a gradient of one layer must not become the other's."""
    file = model([node("Gemm", "x w b", "h"), node("Gemm", "h w b", "y")], weights(w=(4, 4), b=(4,)), ("n", 4))

    graph = read({**importing.imported(file, {}, {})[0], "name": "net"})

    assert list(graph.parameters) == ["n.h/weight", "n.h/bias", "n.y/weight", "n.y/bias"]


def test_a_file_that_starts_from_the_state_of_one_sample_takes_one_at_a_time():
    """Its input has an open batch all the same."""
    nodes = [node("Transpose", "x", "t", perm=[1, 0, 2]),
             helper.make_node("GRU", ["t", "w", "r", "", "", "h"], ["a", "last"], hidden_size=5),
             node("Squeeze", "last", "y")]
    file = model(nodes, weights(w=(1, 15, 4), r=(1, 15, 5)), ("n", 7, 4))
    file.graph.input.append(helper.make_tensor_value_info("h", 1, (1, 1, 5)))

    plain, _, notes, original = importing.imported(file, {}, {})

    assert [("x", [1, 7, 4]), ("h", [1, 1, 5])] == [(each["name"], each["shape"]) for each in plain["inputs"]]
    assert {"key": "x:h", "batch": None, "shape": [1, 1, 5]} == original["places"]["h"]
    assert "The file takes one sample at a time, of which the network takes a batch." in notes


def test_the_numbers_of_constants_are_not_perturbed():
    plain, given, _, _ = importing.imported(CASES["mean without padding"][0], {}, {})

    changed = perturbed(read({**plain, "name": "net"}), given, 1)

    assert all(np.array_equal(changed[key], array) for key, array in given.items())


REFUSED: dict[str, tuple[Any, dict[str, Any], dict[str, float], str]] = {
    "an unknown operator": (model([node("Det", "x", "y")], {}, ("n", 3, 3)), {}, {},
                            r"Det 'n.y' is an operator that is not known"),
    "quantised": (model([node("DynamicQuantizeLinear", "x", "q s z"), node("DequantizeLinear", "q s z", "y")], {},
                        ("n", 3)), {}, {}, "DynamicQuantizeLinear 'n.q s z'.*export the network in float"),
    "another runtime's": (model([helper.make_node("FusedGelu", ["x"], ["y"], domain="com.microsoft", name="g")], {},
                                ("n", 3)), {}, {}, "com.microsoft.FusedGelu 'g' is an extension of one runtime"),
    "open axes": (model([node("Relu", "x", "y")], {}, ("n", 3, "h", "w")), {}, {},
                  "'x' has open axes 2, 3; give their sizes: --shape x=1,3,224,224"),
    "another size": (model([node("Relu", "x", "y")], {}, ("n", 3)), {"x": (1, 4)}, {},
                     "axis 1 of input 'x' is 3, but --shape gives 4"),
    "no such input": (model([node("Relu", "x", "y")], {}, ("n", 3)), {}, {"z": 1.0}, "no input 'z', which --pin names"),
    "one for all": (model([node("Relu", "x", "y")], {}, ()), {}, {}, "input 'x' has no axis for a batch"),
    "mixed samples": (model([node("ReduceMean", "x", "y", axes=[0])], {}, ("n", 3)), {}, {},
                      "ReduceMean 'n.y' takes the whole batch together"),
    "some samples": (
        model([node("Slice", "x zero two", "y")], {"zero": whole(0), "two": whole(2)}, ("n", 3)), {}, {},
        "Slice 'n.y' takes some samples of the batch"),
    "a size that follows from data": (
        model([node("NonZero", "x", "z"), node("Cast", "z", "y", to=1)], {}, ("n", 3)), {}, {},
        "NonZero 'n.z' gives a value whose shape follows from data"),
    "a huge constant": (model([node("ConstantOfShape", "s", "c"), node("Add", "x c", "y")],
                              {"s": whole(10**6, 10**6)}, ("n", 3)), {}, {}, r"makes a constant of 1e\+12 numbers"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_taken_is_refused_in_one_sentence(name: str):
    file, shapes, pins, sentence = REFUSED[name]

    with pytest.raises(Refused, match=sentence) as refused:
        importing.imported(file, shapes, pins)

    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(("name", "sentence"), [
    ("../weights.bin", "outside of its folder"), ("/etc/hostname", "outside of its folder"),
    ("missing.bin", "should be in 'missing.bin' beside it"), ("link.bin", "outside of its folder"),
])
def test_data_comes_from_the_file_s_own_folder_only(name: str, sentence: str, tmp_path: Path):
    folder = tmp_path / "net"
    folder.mkdir()
    (tmp_path / "weights.bin").write_bytes(bytes(64))
    (folder / "link.bin").symlink_to(tmp_path / "weights.bin")
    file = model([node("Gemm", "x w", "y")], weights(w=(4, 4)), ("n", 4))
    tensor = file.graph.initializer[0]
    onnx.external_data_helper.set_external_data(tensor, name)
    tensor.ClearField("raw_data")
    (folder / "net.onnx").write_bytes(file.SerializeToString())

    with pytest.raises(Refused, match=sentence):
        loading.load(str(folder / "net.onnx"))


def test_what_is_no_file_of_onnx_is_refused(tmp_path: Path):
    (tmp_path / "net.onnx").write_bytes(b"\x08\x07junk")

    with pytest.raises(Refused, match="it is not an ONNX file"):
        loading.load(str(tmp_path / "net.onnx"))
