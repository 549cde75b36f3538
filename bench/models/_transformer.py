"""What transformers have in common: attention of several heads, and the two layers behind it."""

from __future__ import annotations

from rigmark.bench.ir.building import Builder

INIT = "normal_0.02"         # of all matrices and embeddings in GPT-2 and BERT


def attention(
    net: Builder, query: str, key: str, value: str, *, steps: int, features: int, heads: int, causal: bool = False,
    mask: str | None = None,
) -> str:
    """The layer of the heads' results side by side, (steps, features), of three values of this shape.

    ``mask`` is a value that broadcasts to (heads, steps, steps), True where a key is seen.
    """
    apart = []
    for name, of in (("query", query), ("key", key), ("value", value)):
        net.reshape(f"{name}_rows", (steps, heads, features // heads), of=of)
        apart.append(net.transpose(f"{name}_heads", (1, 0, 2)))
    net.attention("attention", of=apart if mask is None else [*apart, mask], causal=causal)
    net.transpose("rows", (1, 0, 2))
    return net.reshape("joined", (steps, features))


def feed_forward(net: Builder, features: int, *, tanh: bool, of: str) -> str:
    """Two dense layers with a GELU between them, of four times as many features inside."""
    net.dense("expand", 4 * features, of=of)
    net.gelu("gelu", tanh=tanh)
    return net.dense("contract", features)
