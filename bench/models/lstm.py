"""A character model: two LSTM layers that predict the next of 128 ASCII characters at every step.

Source: Karpathy 2015, "The unreasonable effectiveness of recurrent neural networks" (char-rnn): 2 layers of 512 units,
dropout 0.5 after each, 100 steps, about 3.5 M parameters (3,494,016 here); after Graves 2013, "Generating sequences
with recurrent neural networks" (arXiv 1308.0850). An embedding of 128 features takes the place of one-hot characters,
Adam that of RMSProp. State begins at 0 in every sample.
"""

from __future__ import annotations

from rigmark.bench.ir.building import Builder
from rigmark.bench.ir.graph import Graph
from rigmark.bench.ir.training import Adam


def build(vocabulary: int = 128, steps: int = 100, features: int = 128, hidden: int = 512) -> Graph:
    net = Builder("lstm", (steps,), vocabulary=vocabulary, init="glorot_uniform")
    net.embedding("embedding", features)
    for index in (1, 2):
        net.lstm(f"lstm{index}", hidden)
        net.dropout(f"dropout{index}", 0.5)
    net.dense("characters", vocabulary)
    return net.build(loss="softmax_cross_entropy", optimizer=Adam(learning_rate=2e-3))
