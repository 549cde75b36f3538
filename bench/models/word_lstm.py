"""A language model of words whose state goes on from piece to piece of a text: two LSTM layers of 650 units.

Source: Zaremba, Sutskever and Vinyals 2014, "Recurrent neural network regularization" (arXiv 1409.2329), the medium
network: 10,000 words, 35 steps, batches of 20, dropout of 0.5 on all connections that are not recurrent. "We initialize
the hidden states to zero. We then use the final hidden states of the current minibatch as the initial hidden state of
the subsequent minibatch." 19,775,200 parameters, about the 20 million that the paper's network is known for. Trained by
SGD with a rate of 1, without its decay and without the clipping of gradients. A measured first batch begins with states
that are drawn, as all inputs are, so that a proof sees one that is forgotten.
"""

from __future__ import annotations

from rigmark.bench.ir.building import Builder
from rigmark.bench.ir.graph import INPUT, Carried, Graph, Input
from rigmark.bench.ir.ops.recurrent import Lstm
from rigmark.bench.ir.training import Sgd


def build(vocabulary: int = 10_000, steps: int = 35, hidden: int = 650, dropout: float = 0.5) -> Graph:
    net = Builder("word_lstm", (steps,), vocabulary=vocabulary, init="uniform_fan_in")
    carried = []
    states = [
        [net.add_input(Input(name=f"{state}{index}", shape=(1, hidden))) for state in ("hidden", "cell")]
        for index in (1, 2)
    ]
    trunk = net.embedding("embedding", hidden, of=INPUT)
    for index, given in enumerate(states, 1):
        net.dropout(f"dropout{index}", dropout, of=trunk)
        trunk = net.add_layer(f"lstm{index}", Lstm(hidden=hidden, final=True), (net.last, *given))
        carried += [Carried(input=name, value=f"{trunk}:{place}") for place, name in enumerate(given, 1)]
    net.dropout("dropout3", dropout, of=trunk)
    net.dense("words", vocabulary)
    return net.build(loss="softmax_cross_entropy", optimizer=Sgd(learning_rate=1.0), carried=carried)
