"""Attention."""

import math

import numpy as np

from ...user_code import Refused


def _attention(call):
    query, key, value = (call.value(name) for name in ("query", "key", "value"))
    if any(each.batch != 0 for each in (query, key, value)):
        raise Refused("query, key and value need the batch as their first axis")
    shape = query.shape
    query, key, value = (_with_heads(call, each) for each in (query, key, value))
    usual = 1 / math.sqrt(query.shape[-1])
    scale = usual if call.get("scale") is None else float(call["scale"])
    is_causal, mask = bool(call["is_causal"]), call.get("attn_mask")
    if mask is not None and _is_causal(call, mask, query.shape[2], key.shape[2]):
        is_causal, mask = True, None
    masks = [] if mask is None else [call.value("attn_mask")]
    like = ([*query.shape[:3], value.shape[3]], 0, "float")
    if call["dropout_p"] > 0:
        if key.shape[1] != query.shape[1]:
            key, value = (_repeated(call, each, query.shape[1] // each.shape[1]) for each in (key, value))
        found = _with_dropout(call, query, key, value, masks, is_causal, scale, like)
    else:
        own = {} if abs(scale / usual - 1) <= 1e-6 else {"scale": scale}
        found = call.add("attention", query, key, value, *masks, like=like, causal=is_causal, **own)
    return call.regrouped(found, [*shape[:-1], value.shape[3]], 0)


def _with_heads(call, value):
    """As (batch, heads, steps, features)."""
    middle = int(np.prod(value.shape[1:-2]))
    return call.regrouped(value, [value.shape[0], middle, *value.shape[-2:]], 0)


def _repeated(call, value, times):
    """Each head so many times, one after the other: several queries share a key."""
    batch, heads, steps, features = value.shape
    indices = [head for head in range(heads) for _ in range(times)]
    return call.add("gather", value, like=([batch, heads * times, steps, features], 0, "float"), axis=1,
                    indices=indices)


def _is_causal(call, mask, queries, keys):
    """Whether a known mask shows each query the keys up to its own step."""
    known = call.known_of(mask)
    if known is None or queries != keys or known.size != queries * keys:
        return False
    seen = known.reshape(queries, keys)
    seen = seen if known.dtype.kind == "b" else np.where(seen == 0, True, np.where(seen < -1e30, False, None))
    return np.array_equal(seen, np.tril(np.ones((queries, keys), bool)))


def _with_dropout(call, query, key, value, masks, is_causal, scale, like):
    """In single steps, since attention in one operation has no dropout."""
    batch, heads, queries, _ = query.shape
    keys = key.shape[2]
    pairs = ([batch, heads, queries, keys], 0, "float")
    turned = call.permuted(key, [0, 1, 3, 2])
    scaled = call.add("multiply", query, call.constant(scale), like=(query.shape, 0, "float"))
    scores = call.add("matmul", scaled, turned, like=pairs)
    if is_causal:
        seen = np.where(np.tril(np.ones((queries, keys), bool)), 0, -np.inf).astype(np.float32)
        scores = call.add("add", scores, call.constant(seen), like=pairs)
    for mask in masks:
        if mask.dtype == "bool":
            scores = call.add("where", mask, scores, call.constant(float("-inf")), like=pairs)
        else:
            scores = call.add("add", scores, mask, like=pairs)
    weights = call.add("softmax", scores, like=pairs)
    dropped = call.dropped(weights, float(call["dropout_p"]))
    return call.add("matmul", dropped, value, like=like)


CALLS = {
    "scaled_dot_product_attention": _attention,
}
