"""Softmax and attention."""

from ._modules import modules


def _softmax(nn, layer):
    return nn.Softmax(dim=-1)


def _log_softmax(nn, layer):
    return nn.LogSoftmax(dim=-1)


def _attention(nn, layer):
    import torch

    attend, is_causal = torch.nn.functional.scaled_dot_product_attention, layer["attributes"]["causal"]
    return modules().Apply(lambda query, key, value, mask=None: attend(query, key, value, mask, is_causal=is_causal))


LOWERINGS = {
    "softmax": _softmax,
    "log_softmax": _log_softmax,
    "attention": _attention,
}
