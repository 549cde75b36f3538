"""Softmax and attention."""

import math

import numpy as np

from ..._arrangement import angles


def _softmax(run, layer, weights, x):
    return run.nn.softmax(x)


def _log_softmax(run, layer, weights, x):
    return run.nn.log_softmax(x)


def _attention(run, layer, weights, query, key, value, mask=None):
    a = layer["attributes"]
    if not is_in_jax(run, query, value):
        return composed(run, a, query, key, value, mask)
    # JAX has heads behind steps.
    query, key, value = (x.swapaxes(1, 2) for x in (query, key, value))
    masks = {} if mask is None else {"mask" if mask.dtype == bool else "bias": mask}
    attended = run.nn.dot_product_attention(query, key, value, is_causal=a["causal"], scale=a.get("scale"), **masks)
    return attended.swapaxes(1, 2)


def is_in_jax(run, query, value):
    """Whether JAX's own attention does this: its softmax is in fp32, values are as wide as keys, CPUs lack its fp16."""
    is_half = query.dtype == np.float16 and run.jax.default_backend() == "cpu"
    return query.dtype.itemsize < 8 and query.shape[-1] == value.shape[-1] and not is_half


def composed(run, attributes, query, key, value, mask):
    """What JAX's own attention does not do; of narrow formats the softmax is in fp32 here too."""
    key, value = (run.np.repeat(x, query.shape[1] // x.shape[1], 1) for x in (key, value))
    scores = (query @ key.swapaxes(2, 3)).astype(run.np.promote_types(query.dtype, np.float32))
    scores = scores * attributes.get("scale", 1 / math.sqrt(query.shape[3]))
    if attributes["causal"]:
        mask = run.np.tri(query.shape[2], dtype=bool)
    if mask is not None:
        scores = run.np.where(mask, scores, -np.inf) if mask.dtype == bool else scores + mask
    return run.nn.softmax(scores).astype(value.dtype) @ value


def _rotary(run, layer, weights, x):
    cos, sin = (run.np.asarray(values, x.dtype) for values in angles(layer))
    is_interleaved = layer["attributes"]["interleaved"]
    first, second = (x[..., ::2], x[..., 1::2]) if is_interleaved else run.np.split(x, 2, -1)
    turned = first * cos - second * sin, second * cos + first * sin
    return run.np.stack(turned, -1).reshape(x.shape) if is_interleaved else run.np.concatenate(turned, -1)


LOWERINGS = {
    "softmax": _softmax,
    "log_softmax": _log_softmax,
    "attention": _attention,
    "rotary": _rotary,
}
