"""A graph from its plain form: what is read is what was written, and what is broken is refused in one sentence."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from rigmark.bench import models
from rigmark.bench.ir.ops import BadGraph
from rigmark.bench.ir.reading import read

Plain = dict[str, Any]


@pytest.mark.parametrize("name", models.NAMES)
def test_a_graph_that_crossed_as_json_is_the_same(name: str):
    graph = models.build(name)

    again = read(json.loads(json.dumps(graph.plain())))

    assert again.plain() == graph.plain()
    assert again.fingerprint == graph.fingerprint
    assert again == graph


def test_shapes_may_be_left_out():
    graph = models.build("mnist_resnet18")
    plain = graph.plain()
    for layer in plain["layers"]:
        for name in ("input_shapes", "output_shape", "outputs", "parameters"):
            del layer[name]

    assert read(plain).plain() == graph.plain()


def layer(plain: Plain, **changed: Any) -> None:
    plain["layers"][1].update(changed)


BROKEN: tuple[tuple[Callable[[Plain], Any], str], ...] = (
    (lambda plain: plain.pop("input"), "states its only input as 'input', or"),
    (lambda plain: plain.update(inputs=[{"shape": [3]}]), "states its only input as 'input', or"),
    (lambda plain: plain.update(outputs=["lost"]), "output 'lost' no layer gives"),
    (lambda plain: plain["layers"][1].pop("name"), r"missing required field `name` - at `\$.layers\[1\]`"),
    (lambda plain: layer(plain, name=7), r"Expected `str`, got `int`"),
    (lambda plain: layer(plain, op="fold"), "'hidden' is 'fold', which is no operation; known: abs, add, "),
    (lambda plain: layer(plain, attributes={"bias": True}), "missing required field `out_features`"),
    (lambda plain: layer(plain, attributes={"out_features": "8"}), "Expected `int`, got `str`"),
    (lambda plain: layer(plain, attributes={"out_features": -8}), r"output 0 of shape \(1, -8\); sizes are at least 1"),
    (lambda plain: layer(plain, attributes={"out_features": 8, "alpha": 2}), "it has no 'alpha'"),
    (lambda plain: layer(plain, attributes={"out_features": 2**60}), "'hidden' has output 0 of shape"),
    (lambda plain: layer(plain, attributes={"out_features": 800, "init": "guess"}), "starts 'weight' as 'guess'"),
    (lambda plain: layer(plain, output_shape=[801]), r"states output_shape \[801\], but computes \[800\]"),
    (lambda plain: layer(plain, inputs=["elsewhere"]), "reads 'elsewhere', which no earlier layer is named"),
    (lambda plain: layer(plain, name="a b"), "a layer cannot be named 'a b'"),
    (lambda plain: plain.update(loss="hinge"), "Invalid enum value 'hinge'"),
    (lambda plain: plain.update(optimizer={"kind": "lion"}), "no optimizer 'lion'; known: sgd, adam, adamw"),
    (lambda plain: plain.update(layers=[]), "1 to 100,000 layers, not 0"),
    (lambda plain: plain["input"].update(shape=[0]), "sizes and a vocabulary of at least 1"),
)


@pytest.mark.parametrize(("breaking", "sentence"), BROKEN)
def test_a_broken_graph_is_refused_in_one_sentence(breaking: Callable[[Plain], Any], sentence: str):
    plain = models.build("mlp").plain()
    breaking(plain)

    with pytest.raises(BadGraph, match=sentence) as refused:
        read(plain)

    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("plain", [None, [], "graph", {"name": 1}])
def test_what_is_no_graph_is_refused(plain: object):
    with pytest.raises(BadGraph, match="not a graph: "):
        read(plain)
