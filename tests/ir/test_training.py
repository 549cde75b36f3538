"""Optimizers as users name them."""

from __future__ import annotations

import pytest

from rigmark.bench import models
from rigmark.bench.ir.building import Builder
from rigmark.bench.ir.ops import BadGraph
from rigmark.bench.ir.training import OWN, USUAL, Adam, AdamW, Sgd, optimizer_of


@pytest.mark.parametrize(("text", "optimizer"), [
    ("sgd", Sgd(learning_rate=0.01)),
    ("sgd:momentum=0.9", Sgd(learning_rate=0.01, momentum=0.9)),
    ("adam:learning_rate=3e-4:beta2=0.95", Adam(learning_rate=3e-4, beta2=0.95)),
    ("adamw:weight_decay=0.1", AdamW(learning_rate=1e-3, weight_decay=0.1)),
    *USUAL.items(),
])
def test_a_name_has_usual_settings_but_for_those_that_are_stated(text: str, optimizer: object):
    assert optimizer == optimizer_of(text)


@pytest.mark.parametrize(("text", "message"), [
    ("rmsprop", "no optimizer 'rmsprop'; there are: sgd, adam, adamw"),
    ("sgd:weight_decay=1", "sgd has no 'weight_decay'; it has: learning_rate, momentum"),
    ("adam:beta1=1", "beta1 of adam cannot be '1'; write adam:beta1=0.9"),
    ("adam:learning_rate", "learning_rate of adam cannot be ''; write adam:learning_rate=0.001"),
    ("sgd:learning_rate=nan", "cannot be 'nan'"),
    ("sgd:learning_rate=1e999", "cannot be '1e999'"),
])
def test_what_there_is_not_is_one_sentence(text: str, message: str):
    with pytest.raises(ValueError, match=message):
        optimizer_of(text)


def test_a_graph_that_is_trained_otherwise_is_another_only_in_that():
    mlp = models.build("mlp")
    other = mlp.trained(loss="mean_squared_error", optimizer="adamw")

    assert mlp is mlp.trained(loss=OWN, optimizer=OWN)
    assert ("mean_squared_error", USUAL["adamw"]) == (other.loss, other.optimizer)
    assert other.layers == mlp.layers
    assert other.fingerprint != mlp.fingerprint


def test_a_loss_that_the_output_does_not_fit_is_refused():
    net = Builder("image", (3, 4, 4))
    net.conv2d("conv", 2, kernel=1)
    image = net.build(loss="mean_squared_error", optimizer=Sgd(learning_rate=0.1))

    with pytest.raises(BadGraph, match=r"image: softmax_cross_entropy needs a vector .* scores, not \(2, 4, 4\)"):
        image.trained(loss="softmax_cross_entropy", optimizer=OWN)
    with pytest.raises(ValueError, match="no loss 'hinge'; there are: softmax_cross_entropy, mean_squared_error"):
        image.trained(loss="hinge", optimizer=OWN)
