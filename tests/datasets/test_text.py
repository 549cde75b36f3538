"""Characters of real text as samples for models that predict the next one."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

from rigmark.bench import datasets, models
from rigmark.bench.datasets import text
from rigmark.bench.errors import UserError
from rigmark.bench.ir.building import Builder
from rigmark.bench.ir.training import Sgd

lstm = importlib.import_module("rigmark.bench.models.lstm")


def spelt(tokens):
    return "".join(map(chr, tokens))


def test_is_english_of_the_documentation():
    words = text.text().split()

    assert 10_000 < len(text.text()) < 1_000_000
    assert words.count("the") / len(words) > 0.02        # about 0.06 in English prose
    assert datasets.__doc__ in text.text()


def test_each_target_is_the_character_after_its_token():
    dataset = datasets.load("text", models.build("lstm"))

    for x, y in ((dataset.x, dataset.y), (dataset.test_x, dataset.test_y)):
        assert x.dtype == y.dtype == np.int64
        assert x.shape == y.shape == (len(x), 100)
        assert x.min() >= 0
        assert x.max() < 128
        np.testing.assert_array_equal(x[:, 1:], y[:, :-1])
    plain = text.text().encode("ascii", "replace").decode()
    assert spelt(dataset.x[0]) + chr(dataset.y[0, -1]) in plain


def test_held_out_text_is_a_tenth_and_is_not_trained_on():
    dataset = datasets.load("text", models.build("lstm"))
    excerpts = {spelt(x) for x in dataset.x}

    assert len(dataset.test_x) == pytest.approx((len(dataset.x) + len(dataset.test_x)) / 10, abs=1)
    assert not any(spelt(x) in excerpts for x in dataset.test_x)


def test_is_the_same_every_time():
    first, second = (datasets.load("text", lstm.build(steps=64)) for _ in range(2))

    np.testing.assert_array_equal(first.x, second.x)
    assert first.x.shape[1:] == (64,)


def test_a_model_without_tokens_is_refused_with_the_reason():
    with pytest.raises(UserError, match=r"next token at every step, which mlp does not; use --data synthetic"):
        datasets.load("text", models.build("mlp"))


def test_a_model_that_answers_once_for_a_sequence_is_refused_with_the_reason():
    net = Builder("sentiment", (10,), vocabulary=128)
    net.embedding("embedding", 4)
    net.flatten("flatten")
    net.dense("classes", 2)

    with pytest.raises(UserError, match="sentiment does not"):
        datasets.load("text", net.build(loss="softmax_cross_entropy", optimizer=Sgd(learning_rate=0.1)))


def test_a_vocabulary_that_is_too_small_is_refused_with_the_reason():
    with pytest.raises(UserError, match=r"128 different characters but lstm knows only 60"):
        datasets.load("text", lstm.build(vocabulary=60))
