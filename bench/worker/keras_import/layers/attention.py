"""Attention."""

import math

import numpy as np

from ...user_code import Refused
from .elementwise import dropped
from .products import dense


def _multi_head(call):
    op = call.op
    for name in ("query_mask", "value_mask", "key_mask"):
        if call.get(name) is not None:
            raise Refused("it skips steps by a mask that came with its input; give it an attention_mask")
    if call.get("return_attention_scores"):
        raise Refused("its scores are returned, which attention in one operation does not give")
    if getattr(op, "_use_gate", False):
        raise Refused("it has a gate")
    query, value = (call.plain(call.value(name)) for name in ("query", "value"))
    key = value if call.get("key") is None else call.plain(call.value("key"))
    if any(len(each.shape) != 3 for each in (query, value, key)):
        raise Refused("it takes more than sequences of features")
    heads = op.num_heads
    projected = [
        _heads(call, _projected(call, each, part, name), heads, name)
        for each, part, name in ((query, op.query_dense, "query"), (key, op.key_dense, "key"),
                                 (value, op.value_dense, "value"))
    ]
    scale = 1 / math.sqrt(op.key_dim)
    found = attended(call, *projected, scale=scale, rate=float(op.dropout), **_masks(call, "attention_mask"))
    steps, features = query.shape[1], projected[2].shape[3]
    turned = call.add("transpose", found, shape=[1, steps, heads, features], axes=[1, 0, 2], name="transpose")
    flat = call.add("reshape", turned, shape=[1, steps, heads * features], to=[steps, heads * features],
                    name="reshape")
    return _projected(call, flat, op.output_dense, "attention_output")


def _projected(call, value, part, name):
    """A product over the last axis with an EinsumDense, whose other axes are joined."""
    count = value.shape[2]
    features = int(np.prod([int(size) for size in part.kernel.shape])) // count
    return dense(call, value, part._kernel, part.bias, features, name=name,
                 change=lambda array: array.reshape(count, features))


def _heads(call, value, heads, name):
    _, steps, features = value.shape
    split = call.add("reshape", value, shape=[1, steps, heads, features // heads],
                     to=[steps, heads, features // heads], name=name + ".reshape")
    return call.add("transpose", split, shape=[1, heads, steps, features // heads], axes=[1, 0, 2],
                    name=name + ".transpose")


def _masks(call, name):
    given = call.get(name)
    if given is None:
        return {"is_causal": bool(call.get("use_causal_mask"))}
    if call.get("use_causal_mask"):
        raise Refused("it has a mask and is causal; let the mask say what is seen")
    value = call.plain(call.value(name))
    if value.dtype == "int64":
        value = call.like("greater", value, call.constant(np.int64(0)), name="mask")._replace(dtype="bool")
    if len(value.shape) == 3:
        value = call.add("reshape", value, shape=[value.shape[0], 1, *value.shape[1:]], dtype=value.dtype,
                         to=[1, *value.shape[1:]], name="mask")
    return {"is_causal": False, "mask": value}


def attended(call, query, key, value, scale, rate, is_causal, mask=None):
    """Attention of (1, heads, steps, features); in single steps where weights are dropped out."""
    shape = [*query.shape[:3], value.shape[3]]
    usual = 1 / math.sqrt(query.shape[3])
    masks = [] if mask is None else [mask]
    if not rate or call.is_inference:
        own = {} if abs(scale / usual - 1) < 1e-6 else {"scale": scale}
        return call.add("attention", query, key, value, *masks, shape=shape, causal=is_causal, name="attention", **own)
    queries, keys = query.shape[2], key.shape[2]
    pairs = [1, query.shape[1], queries, keys]
    turned = call.add("transpose", key, shape=[1, key.shape[1], key.shape[3], keys], axes=[0, 2, 1],
                      name="key.transpose")
    scaled = call.like("multiply", query, call.constant(np.float32(scale)), name="scaled")
    scores = call.add("matmul", scaled, turned, shape=pairs, name="scores")
    if is_causal:
        seen = np.where(np.tril(np.ones((queries, keys), bool)), 0, -np.inf).astype(np.float32)
        scores = call.like("add", scores, call.constant(seen), name="causal")
    for each in masks:
        least = call.constant(np.float32(-np.inf))
        scores = call.add("where", each, scores, least, shape=pairs, name="masked")
    weights = dropped(call, call.like("softmax", scores, name="weights"), rate)
    return call.add("matmul", weights, value, shape=shape, name="attention")


LAYERS = {
    "MultiHeadAttention": _multi_head,
}
OPERATIONS = {}
