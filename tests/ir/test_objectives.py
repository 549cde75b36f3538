"""Several objectives in a training step, and parameters that are not trained."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from rigmark.bench.ir import memory
from rigmark.bench.ir.building import Builder
from rigmark.bench.ir.graph import Copy, Graph
from rigmark.bench.ir.ops import BadGraph
from rigmark.bench.ir.reading import read
from rigmark.bench.ir.training import Adam, Objective, Sgd
from rigmark.bench.worker import graphs

SGD = Sgd(learning_rate=0.1)


def two_layers(end: Callable[[Builder], Graph]) -> Graph:
    net = Builder("net", (6,))
    net.dense("first", 5)
    net.tanh("tanh")
    net.dense("second", 4)
    return end(net)


def asked(**changed: Any) -> Callable[[Builder], Graph]:
    """Ends a network with one objective for each dense layer."""
    objectives = {
        "one": Objective(name="one", output="second", trains=("first",)),
        "other": Objective(name="other", output="second", trains=("second",), optimizer=Adam(learning_rate=0.1)),
    }
    parts = {name: changed.pop(name, each) for name, each in objectives.items()}
    facts = {"loss": "value", "optimizer": SGD, "objectives": [each for each in parts.values() if each], **changed}
    return lambda net: net.build(**facts)


def test_a_training_step_is_one_update_per_objective_and_the_worker_sees_the_same():
    graph = two_layers(asked())

    assert [update.parameter_count for update in graph.updates] == [6 * 5 + 5, 5 * 4 + 4]
    assert [update.optimizer.kind for update in graph.updates] == ["sgd", "adam"]
    parts = graphs.objectives(graph.plain())
    assert [graphs.trainable_keys(part) for part in parts] == [
        ["first/weight", "first/bias"], ["second/weight", "second/bias"]]
    assert [part["optimizer"]["kind"] for part in parts] == ["sgd", "adam"]
    assert read(graph.plain()) == graph


def test_an_objective_runs_and_counts_only_what_it_needs():
    graph = two_layers(asked(one=Objective(name="one", output="tanh", trains=("first",))))
    forward = {"first": 2 * 6 * 5 + 5, "tanh": 5, "second": 2 * 5 * 4 + 4}
    one, other = graph.updates

    assert [layer.name for layer in one.layers] == ["first", "tanh"]
    assert one.flops_per_sample(training=True) == forward["first"] + forward["tanh"] + (2 * 6 * 5 + 5) + 5
    # The first layer is not trained by the other objective: nothing goes back beyond the second.
    assert other.flops_per_sample(training=True) == sum(forward.values()) + 2 * 5 * 4 + 4


def test_a_frozen_layer_passes_the_gradient_on_and_has_none_of_its_own():
    frozen = two_layers(lambda net: net.build(loss="value", optimizer=SGD, trains=("first",)))
    whole = two_layers(lambda net: net.build(loss="value", optimizer=SGD))
    costs = [graph.cost(graph["second"], batch=2, itemsize=4, training=True, backward=True)
             for graph in (frozen, whole)]

    assert frozen.parameter_count == 6 * 5 + 5
    assert costs[0].flops == 2 * 2 * 5 * 4                      # the product with the transposed matrix
    assert costs[1].flops == 2 * (2 * 2 * 5 * 4 + 4)
    assert costs[0].bytes_moved == 4 * (2 * (4 + 5) + 5 * 4 + 4)       # neither its input nor its own gradient
    assert frozen.fingerprint != whole.fingerprint
    assert read(frozen.plain()) == frozen
    assert whole.plain().keys().isdisjoint({"trains", "objectives"})


def test_the_memory_of_a_step_is_that_of_the_objective_that_needs_most():
    graph = two_layers(asked())
    bytes_of = {update.name: 4 * update.parameter_count for update in graph.updates}
    peak = memory.peak(graph, batch=1, training=True)

    assert peak.weights == sum(bytes_of.values())
    assert peak.gradients == peak.weights                       # that of the first stays beside that of the second
    assert peak.optimizer == 3 * bytes_of["net.other"]          # two moments, and the roots of the second


def test_another_optimizer_is_that_of_every_objective_and_another_loss_is_refused():
    graph = two_layers(asked()).trained(loss="own", optimizer="adamw")

    assert {update.optimizer.kind for update in graph.updates} == {"adamw"}
    with pytest.raises(BadGraph, match="net has losses of its own, one, other, and cannot be trained by value; leave"):
        graph.trained(loss="value", optimizer="own")


@pytest.mark.parametrize(("changed", "sentence"), [
    ({"other": Objective(name="one", output="second", trains=("second",))}, "objectives of different names"),
    ({"other": None}, "the only objective is an output, 'second', too"),
    ({"loss": "mean_squared_error"}, "with no other loss"),
    ({"copies": [Copy(source="first", target="second", every=1)]}, "without copies"),
    ({"one": Objective(name="a b", output="tanh", trains=("first",))}, "has a name of letters"),
    ({"one": Objective(name="one", output="third", trains=("first",))}, "output 'third' no layer gives"),
    ({"one": Objective(name="one", output="tanh", trains=("second",))}, "depends on no parameter of a layer"),
    ({"one": Objective(name="one", output="second", trains=("",))}, "is trained by several objectives"),
])
def test_objectives_that_do_not_fit_are_refused_in_a_sentence(changed: dict[str, Any], sentence: str):
    with pytest.raises(BadGraph, match=sentence):
        two_layers(asked(**changed))


def test_a_layer_in_a_scope_like_another_has_its_parameters():
    net = Builder("net", (6,))
    with net.scope("a"):
        net.dense("dense", 6)
    with net.scope("b", like="a"):
        net.dense("dense", 6)
        with pytest.raises(BadGraph, match=r"'b\.other' has the parameters of 'a\.other', which no earlier layer"):
            net.dense("other", 6)
    graph = net.build(loss="value", optimizer=SGD)

    assert list(graph.parameters) == ["a.dense/weight", "a.dense/bias"]
