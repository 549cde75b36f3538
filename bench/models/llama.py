"""A small language model of Llama's kind: rotary positions, RMS normalisation, SwiGLU, and queries in groups.

Source: Touvron et al. 2023 (arXiv 2302.13971), section 2.2, and Grattafiori et al. 2024, "The Llama 3 herd of models"
(arXiv 2407.21783), section 3.2, whose queries share keys and values in groups (Ainslie et al. 2023, arXiv 2305.13245).
The sizes are those of Karpathy's llama2.c, stories15M, with a group of two: 32,000 tokens, 6 blocks of 288 features,
6 heads for queries and 3 for keys and values, 768 features inside; scores by the table of tokens.
14,694,048 parameters.
Adam in place of AdamW.
"""

from __future__ import annotations

from rigmark.bench.ir.building import Builder
from rigmark.bench.ir.graph import Graph
from rigmark.bench.ir.ops.attention import Rotary
from rigmark.bench.ir.ops.elementwise import Multiply, Silu
from rigmark.bench.ir.ops.normalisation import RmsNorm
from rigmark.bench.ir.training import Adam
from rigmark.bench.models._transformer import INIT

EPSILON = 1e-5


def build(
    vocabulary: int = 32000, steps: int = 128, features: int = 288, heads: int = 6, shared_heads: int = 3,
    hidden: int = 768, blocks: int = 6,
) -> Graph:
    net = Builder("llama", (steps,), vocabulary=vocabulary, init=INIT)
    trunk = net.embedding("tokens", features, init=INIT)
    for block in range(1, blocks + 1):
        with net.scope(f"block{block}"):
            entry = net.add_layer("norm1", RmsNorm(epsilon=EPSILON), of=trunk)
            _attention(net, entry, steps=steps, features=features, heads=heads, shared_heads=shared_heads)
            trunk = net.add("add1", of=(trunk, net.last))
            _swiglu(net, net.add_layer("norm2", RmsNorm(epsilon=EPSILON)), features, hidden)
            trunk = net.add("add2", of=(trunk, net.last))
    net.add_layer("norm", RmsNorm(epsilon=EPSILON))
    net.dense("scores", vocabulary, bias=False, weight="tokens/weight")
    return net.build(loss="softmax_cross_entropy", optimizer=Adam(learning_rate=5e-4))


def _attention(net: Builder, entry: str, *, steps: int, features: int, heads: int, shared_heads: int) -> str:
    size = features // heads
    apart = []
    for name, count in (("query", heads), ("key", shared_heads), ("value", shared_heads)):
        net.dense(name, count * size, bias=False, of=entry)
        net.reshape(f"{name}_rows", (steps, count, size))
        value = net.transpose(f"{name}_heads", (1, 0, 2))
        apart.append(value if name == "value" else net.add_layer(f"{name}_turned", Rotary()))
    net.attention("attention", of=apart, causal=True)
    net.transpose("rows", (1, 0, 2))
    net.reshape("joined", (steps, features))
    return net.dense("projection", features, bias=False)


def _swiglu(net: Builder, entry: str, features: int, hidden: int) -> str:
    """Shazeer 2020, arXiv 2002.05202."""
    gate = net.add_layer("silu", Silu(), of=net.dense("gate", hidden, bias=False, of=entry))
    net.add_layer("gated", Multiply(), of=(gate, net.dense("up", hidden, bias=False, of=entry)))
    return net.dense("down", features, bias=False)
