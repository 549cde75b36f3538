"""GPT-2 small, a language model that predicts the next of 50,257 tokens at every step: a causal transformer.

Source: Radford et al. 2019, "Language models are unsupervised multitask learners", the smallest of its four sizes: 12
blocks of 768 features and 12 heads, normalised before each part, GELU by tanh, scores by the table of tokens;
124,439,808 parameters, as in the released weights and in transformers. Dropout of 0.1 where embeddings and residuals
are, not of attention's weights; residual layers start like all others. Adam with GPT's learning rate (Radford et al.
2018). The context is 1,024 tokens, of which samples fill the first 128, so that the oracle answers in a minute.
"""

from __future__ import annotations

from rigmark.bench.ir.building import Builder
from rigmark.bench.ir.graph import Graph
from rigmark.bench.ir.training import Adam
from rigmark.bench.models._transformer import INIT, attention, feed_forward


def build(
    vocabulary: int = 50257, context: int = 1024, steps: int = 128, features: int = 768, heads: int = 12,
    blocks: int = 12, dropout: float = 0.1,
) -> Graph:
    net = Builder("gpt2", (steps,), vocabulary=vocabulary, init=INIT)
    tokens = net.embedding("tokens", features, init=INIT)
    net.parameter("context", (context, features), init=INIT)
    positions = net.slice("positions", axis=0, start=0, stop=steps)
    net.add("embedding", of=(tokens, positions))
    trunk = net.dropout("dropout", dropout)
    for block in range(1, blocks + 1):
        with net.scope(f"block{block}"):
            net.layer_norm("norm1", of=trunk)
            query, key, value = net.split("split", 3, axis=2, of=net.dense("qkv", 3 * features))
            attention(net, query, key, value, steps=steps, features=features, heads=heads, causal=True)
            net.dense("projection", features)
            trunk = net.add("add1", of=(net.dropout("dropout1", dropout), trunk))
            feed_forward(net, features, tanh=True, of=net.layer_norm("norm2"))
            trunk = net.add("add2", of=(net.dropout("dropout2", dropout), trunk))
    net.layer_norm("norm")
    net.dense("scores", vocabulary, bias=False, weight="tokens/weight")
    return net.build(loss="softmax_cross_entropy", optimizer=Adam(learning_rate=2.5e-4))
