"""Softmax and attention."""


def _softmax(run, layer, weights, x):
    return run.nn.softmax(x)


def _attention(run, layer, weights, query, key, value, mask=None):
    # JAX has heads behind steps.
    query, key, value = (x.swapaxes(1, 2) for x in (query, key, value))
    masks = {} if mask is None else {"mask" if mask.dtype == bool else "bias": mask}
    attended = run.nn.dot_product_attention(query, key, value, is_causal=layer["attributes"]["causal"], **masks)
    return attended.swapaxes(1, 2)


LOWERINGS = {
    "softmax": _softmax,
    "attention": _attention,
}
