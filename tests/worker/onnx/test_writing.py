"""ONNX files: what a reader finds in them. That engines compute the oracle's answers from them is shown elsewhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rigmark.bench.ir.building import Builder
from rigmark.bench.ir.graph import Graph
from rigmark.bench.ir.training import Sgd
from rigmark.bench.ir.weights import initial_weights
from rigmark.bench.models import gpt2
from rigmark.bench.worker.frameworks import Unsupported
from rigmark.bench.worker.onnx import writing

onnx = pytest.importorskip("onnx")


@pytest.fixture(scope="module")
def transformer() -> Graph:
    return gpt2.build(vocabulary=20, context=16, steps=12, features=16, heads=4, blocks=1)


def written(graph: Graph) -> onnx.ModelProto:
    return writing.model(graph.plain(), initial_weights(graph, 1))


def test_nodes_and_initialisers_have_the_names_of_layers_and_parameters(transformer: Graph):
    made = written(transformer).graph

    nodes, arrays = {node.name for node in made.node}, {each.name for each in made.initializer}
    assert {layer.name for layer in transformer.layers if layer.op.kind != "parameter"} <= nodes
    assert transformer.parameters.keys() <= arrays


def test_a_shared_parameter_is_written_once(transformer: Graph):
    shared = next(key for layer in transformer.layers for _, key in layer.shares)
    shape = list(transformer.parameters[shared].shape)

    assert [shared] == [each.name for each in written(transformer).graph.initializer if list(each.dims) == shape]


def test_the_batch_is_open_and_all_other_sizes_are_known(transformer: Graph):
    made = written(transformer).graph
    ends = (*made.input, *made.output)
    sizes = [[d.dim_param or d.dim_value for d in each.type.tensor_type.shape.dim] for each in ends]

    assert [["batch", 12], ["batch", 12, 20]] == sizes


def test_arrays_too_large_for_one_file_lie_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    net = Builder("wide", (50,))
    net.dense("dense", 60)
    graph = net.build(loss="mean_squared_error", optimizer=Sgd(learning_rate=0.1))
    monkeypatch.setattr(writing, "LARGEST_FILE", 4 * 50 * 60)
    writing.save(written(graph), tmp_path / "wide.onnx")

    loaded = onnx.load(tmp_path / "wide.onnx")

    assert {"wide.onnx", "wide.onnx.data"} == {path.name for path in tmp_path.iterdir()}
    arrays = {each.name: onnx.numpy_helper.to_array(each) for each in loaded.graph.initializer}
    np.testing.assert_array_equal(arrays["dense/weight"], initial_weights(graph, 1)["dense/weight"])


def test_an_operation_without_a_rule_ends_in_a_sentence(transformer: Graph):
    plain = transformer.plain()
    plain["layers"][3]["op"] = "teleport"

    with pytest.raises(Unsupported) as refused:
        writing.model(plain, initial_weights(transformer, 1))

    name = plain["layers"][3]["name"]
    reason = "there is no rule for the operation 'teleport'"
    assert str(refused.value) == f"layer '{name}' cannot be written as ONNX: {reason}"
