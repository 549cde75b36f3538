"""The character model of ``lstm`` with gated recurrent units: two GRU layers predict the next of 128 characters.

Source: Cho et al. 2014, "Learning phrase representations using RNN encoder-decoder" (arXiv 1406.1078), compared with
LSTM on sequences by Chung et al. 2014 (arXiv 1412.3555); 2 layers of 512 units as in char-rnn (Karpathy 2015), with the
reset after the product as cuDNN and PyTorch have it; 2,644,096 parameters. State begins at 0 in every sample.
"""

from __future__ import annotations

from rigmark.bench.ir.building import Builder
from rigmark.bench.ir.graph import Graph
from rigmark.bench.ir.training import Adam


def build(vocabulary: int = 128, steps: int = 100, features: int = 128, hidden: int = 512) -> Graph:
    net = Builder("gru", (steps,), vocabulary=vocabulary, init="glorot_uniform")
    net.embedding("embedding", features)
    for index in (1, 2):
        net.gru(f"gru{index}", hidden)
        net.dropout(f"dropout{index}", 0.5)
    net.dense("characters", vocabulary)
    return net.build(loss="softmax_cross_entropy", optimizer=Adam(learning_rate=2e-3))
