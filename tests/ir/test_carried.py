"""What a graph may carry from step to step."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rigmark.bench.ir.building import Builder
from rigmark.bench.ir.graph import INPUT, Carried, Graph, Input, tokens
from rigmark.bench.ir.ops import BadGraph
from rigmark.bench.ir.reading import read
from rigmark.bench.ir.training import Sgd
from rigmark.bench.models import word_lstm
from rigmark.bench.worker import graphs


def built(*carried: tuple[str, str]) -> Graph:
    net = Builder("net", (3,))
    state = net.add_input(Input(name="state", shape=(3,)))
    net.add_input(tokens((3,), 9, "words"))
    net.embedding("row", 3, of="words")
    net.add("sum", of=(INPUT, state))
    net.tanh("next")
    net.dense("small", 2)
    net.flatten("rows", of="row")
    net.concat("all", of=("rows", "small"))
    net.dense("scores", 4)
    return net.build(loss="softmax_cross_entropy", optimizer=Sgd(learning_rate=0.1),
                     carried=[Carried(input=taker, value=value) for taker, value in carried])


def test_what_is_carried_is_an_output_and_a_step_of_training_computes_it():
    graph = built(("state", "next"))
    assert graph.outputs == ("scores", "next")
    assert graph.plain()["carried"] == [{"input": "state", "value": "next"}]
    assert read(graph.plain()).fingerprint == graph.fingerprint != built().fingerprint
    assert graphs.ends_of_training(graph.plain()) == ["scores", "next"]
    assert [layer["name"] for layer in graphs.layers_for_loss(graph.plain())] == [x.name for x in graph.layers]
    other = replace(graph, carried=())
    assert other.fingerprint != graph.fingerprint                        # of the same outputs


def test_a_layer_that_only_the_next_step_reads_runs_in_training_and_gets_no_gradient():
    net = Builder("net", (3,))
    state = net.add_input(Input(name="state", shape=(3,)))
    net.add("sum", of=(INPUT, state))
    net.dense("scores", 2)
    net.tanh("next", of="sum")
    graph = net.build(loss="softmax_cross_entropy", optimizer=Sgd(learning_rate=0.1), outputs=["scores"],
                      carried=[Carried(input="state", value="next")])
    assert graph.runs("next", training=True)
    assert not graph.needs_gradient("next")
    assert graph.cost(graph["next"], batch=2, itemsize=4, training=True).flops > 0


@pytest.mark.parametrize(("carried", "why"), [
    ([("other", "next")], "'other', which is no input"),
    ([("words", "next")], "'words', which is no input, or one of tokens"),
    ([("state", "nowhere")], "output 'nowhere' no layer gives"),
    ([("state", "small")], "both must be of one shape"),
    ([("state", "next"), ("state", "sum")], "'state', which takes several values"),
])
def test_what_does_not_fit_is_refused(carried: list[tuple[str, str]], why: str):
    with pytest.raises(BadGraph, match=why):
        built(*carried)


def test_the_language_model_of_words_has_the_size_of_its_paper():
    graph = word_lstm.build()
    assert graph.parameter_count == 10_000 * 650 + 2 * 4 * 650 * (650 + 650 + 1) + 650 * 10_000 + 10_000
    assert {each.value for each in graph.carried} == {"lstm1:1", "lstm1:2", "lstm2:1", "lstm2:2"}
