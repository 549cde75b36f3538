"""BERT-base, uncased, with its head for masked tokens: a transformer that sees the whole of a sequence.

Source: Devlin et al. 2018 (arXiv 1810.04805): 12 blocks of 768 features and 12 heads, normalised behind each part with
an epsilon of 1e-12, GELU, 30,522 tokens, 512 positions, two segments; scores by the table of tokens, with a bias.
109,514,298 parameters, as transformers' BertForMaskedLM, without the pooler that only sentences need. Samples are 128
tokens, the length of 90 % of the paper's training steps, with the segment of each, and a mask of those that are no
padding, which no token attends to; lengths are drawn. The loss counts all positions. Dropout of 0.1 where embeddings
and residuals are, not of attention's weights. Adam with the paper's rate.
"""

from __future__ import annotations

from rigmark.bench.ir.building import Builder
from rigmark.bench.ir.graph import INPUT, Graph, Input, tokens
from rigmark.bench.ir.training import Adam
from rigmark.bench.models._transformer import INIT, attention, feed_forward

EPSILON = 1e-12


def build(
    vocabulary: int = 30522, positions: int = 512, steps: int = 128, features: int = 768, heads: int = 12,
    blocks: int = 12, dropout: float = 0.1,
) -> Graph:
    net = Builder("bert", (steps,), vocabulary=vocabulary, init=INIT)
    segments = net.add_input(tokens((steps,), 2, "token_types"))
    mask = net.add_input(Input(name="attention_mask", shape=(steps,), dtype="bool", draw="lengths"))
    seen = net.reshape("seen", (1, 1, steps), of=mask)
    net.embedding("tokens", features, init=INIT, of=INPUT)
    net.parameter("positions", (positions, features), init=INIT)
    net.slice("position", axis=0, start=0, stop=steps)
    net.embedding("segments", features, init=INIT, of=segments)
    net.add("embedding", of=("tokens", "position", "segments"))
    net.layer_norm("norm", epsilon=EPSILON)
    trunk = net.dropout("dropout", dropout)
    for block in range(1, blocks + 1):
        with net.scope(f"block{block}"):
            query, key, value = (net.dense(name, features, of=trunk) for name in ("query", "key", "value"))
            attention(net, query, key, value, steps=steps, features=features, heads=heads, mask=seen)
            net.dense("projection", features)
            net.add("add1", of=(net.dropout("dropout1", dropout), trunk))
            trunk = net.layer_norm("norm1", epsilon=EPSILON)
            feed_forward(net, features, tanh=False, of=trunk)
            net.add("add2", of=(net.dropout("dropout2", dropout), trunk))
            trunk = net.layer_norm("norm2", epsilon=EPSILON)
    net.dense("transform", features)
    net.gelu("gelu")
    net.layer_norm("transform_norm", epsilon=EPSILON)
    net.dense("scores", vocabulary, weight="tokens/weight")
    return net.build(loss="softmax_cross_entropy", optimizer=Adam(learning_rate=1e-4))
