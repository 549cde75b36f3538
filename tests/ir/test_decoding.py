"""How a causal language model answers token by token follows from its graph, or is refused."""

from __future__ import annotations

import numpy as np
import pytest

from rigmark.bench import models
from rigmark.bench.ir.building import Builder
from rigmark.bench.ir.decoding import CACHED_ATTENTION, POSITIONS, decoding
from rigmark.bench.ir.graph import Graph
from rigmark.bench.ir.ops import BadGraph
from rigmark.bench.ir.training import Sgd
from rigmark.bench.models import gpt2
from rigmark.bench.models._transformer import attention
from rigmark.bench.worker import generation

TINY = gpt2.build(vocabulary=97, context=64, steps=16, features=32, heads=4, blocks=2)


def language_model(*, causal: bool = True, steps: int = 8) -> Graph:
    """Its positions are a table that is read as it is, and normalised first."""
    net = Builder("small", (steps,), vocabulary=11)
    tokens = net.embedding("tokens", 8)
    net.parameter("table", (steps, 8), init="standard_normal")
    positions = net.layer_norm("table_norm")
    trunk = net.add("sum", of=(tokens, positions))
    attention(net, trunk, trunk, trunk, steps=steps, features=8, heads=2, causal=causal)
    net.dense("scores", 11)
    return net.build(loss="softmax_cross_entropy", optimizer=Sgd(learning_rate=0.1))


def test_a_model_on_as_many_tokens_as_its_graph_has_is_that_graph():
    assert TINY.fingerprint == decoding(TINY).of_length(16).fingerprint
    for graph in (TINY, language_model()):
        assert set(graph.parameters) == set(decoding(graph).of_length(3).parameters)


def test_attention_reads_a_cache_and_positions_go_on():
    part = decoding(TINY).part(1, 20)
    by_kind = {layer["op"]: layer for layer in part["layers"]}

    assert {"causal": True, "capacity": 20} == by_kind[CACHED_ATTENTION]["attributes"]
    assert ("positions", {"axis": 0, "start": 0, "count": 1}) == (
        by_kind[POSITIONS]["name"], by_kind[POSITIONS]["attributes"])
    assert "attention" not in by_kind


def test_only_the_last_token_of_a_prompt_is_scored():
    (*_, last, scores) = decoding(TINY).part(5, 20)["layers"]

    assert ("slice", [4, 5]) == (last["op"], [last["attributes"][name] for name in ("start", "stop")])
    assert [1, 97] == scores["output_shape"]


def test_a_model_has_as_many_tokens_as_its_tables_of_positions():
    assert (64, 8) == (decoding(TINY).most_tokens, decoding(language_model()).most_tokens)
    decoding(TINY).refuse(60, 5)             # the last token is never read

    with pytest.raises(BadGraph, match="gpt2 has positions for 64 tokens, and 6 tokens after a prompt of 60 need 65"):
        decoding(TINY).refuse(60, 6)


def test_each_token_is_computed_once_and_scored_where_one_is_chosen():
    form = decoding(TINY)
    scores = 2 * 32 * 97

    assert form.of_length(9).flops_per_sample(training=False) - 4 * scores == form.flops_per_sample(5, 5)


@pytest.mark.parametrize(("model", "why"), [
    ("bert", "it takes .*, and not its own tokens alone"),
    ("lstm", "lstm in layer 'lstm1' has no form that takes one token after the other"),
    ("resnet18", "does not score the next of its tokens at every step"),
])
def test_what_is_no_causal_transformer_is_refused_by_the_layer_that_is_in_the_way(model: str, why: str):
    with pytest.raises(BadGraph, match=why):
        decoding(models.build(model))


def test_attention_that_sees_later_tokens_is_refused():
    with pytest.raises(BadGraph, match="attention in layer 'attention' sees later tokens, since it is not causal"):
        decoding(language_model(causal=False))


def test_a_layer_that_brings_tokens_together_is_refused():
    net = Builder("mixed", (8,), vocabulary=8)
    net.embedding("tokens", 8)
    net.transpose("turned", (1, 0))
    net.dense("scores", 8)
    graph = net.build(loss="softmax_cross_entropy", optimizer=Sgd(learning_rate=0.1))

    with pytest.raises(BadGraph, match="dense in layer 'scores' brings different tokens together"):
        decoding(graph)


SCORES = np.array([[[0.0, 1.0, 1.0 - 1e-7], [3.0, 0.0, 0.0]]])


@pytest.mark.parametrize(("tokens", "wrong", "open_"), [
    ([1, 0], [False, False], [False, False]), ([2, 0], [False, False], [True, False]),
    ([1, 2], [False, True], [False, False]),
])
def test_a_token_is_wrong_only_where_rounding_cannot_have_chosen_it(
    tokens: list[int], wrong: list[bool], open_: list[bool],
):
    is_wrong, is_open = generation.judged(SCORES, np.array([tokens]), tolerance=1e-6)

    assert (wrong, open_) == (is_wrong[0].tolist(), is_open[0].tolist())


def test_an_oracle_that_sees_later_tokens_is_refused():
    class Sees:
        def output(self, tokens: np.ndarray, is_training: bool) -> np.ndarray:
            one = np.eye(5)[tokens]
            return one + one.sum(axis=1, keepdims=True) + [0, 0, 0, 9, 0]

    with pytest.raises(ValueError, match="not causal"):
        generation.oracle(Sees(), np.array([[1, 2]]), 3)
