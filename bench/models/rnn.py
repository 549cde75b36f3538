"""A character model of the plain kind: one recurrent layer that predicts the next of 128 ASCII characters.

Source: Mikolov et al. 2010, "Recurrent neural network based language model" (Interspeech), after Elman 1990, "Finding
structure in time" (Cognitive Science 14): a hidden layer of tanh units that reads itself one step later. 512 units, 100
steps, and an embedding of 128 features as in lstm; 410,240 parameters. Adam in place of descent.
"""

from __future__ import annotations

from rigmark.bench.ir.building import Builder
from rigmark.bench.ir.graph import Graph
from rigmark.bench.ir.ops.recurrent import Rnn
from rigmark.bench.ir.training import Adam


def build(vocabulary: int = 128, steps: int = 100, features: int = 128, hidden: int = 512) -> Graph:
    net = Builder("rnn", (steps,), vocabulary=vocabulary, init="glorot_uniform")
    net.embedding("embedding", features)
    net.add_layer("rnn", Rnn(hidden=hidden))
    net.dense("characters", vocabulary)
    return net.build(loss="softmax_cross_entropy", optimizer=Adam(learning_rate=1e-3))
