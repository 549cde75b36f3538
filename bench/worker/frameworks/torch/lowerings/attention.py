"""Softmax and attention."""

import functools

from ..._arrangement import angles
from ._modules import modules


def _softmax(nn, layer):
    return nn.Softmax(dim=-1)


def _log_softmax(nn, layer):
    return nn.LogSoftmax(dim=-1)


def attend(layer):
    """PyTorch's own attention of (query, key, value, mask, is_causal) with the other settings of a layer."""
    import torch

    more = {"scale": layer["attributes"]["scale"]} if "scale" in layer["attributes"] else {}      # PyTorch 2.1
    if layer["input_shapes"][0][1] != layer["input_shapes"][1][1]:
        more["enable_gqa"] = True                                                                 # 2.5
    return functools.partial(torch.nn.functional.scaled_dot_product_attention, **more)


def _attention(nn, layer):
    attention, is_causal = attend(layer), layer["attributes"]["causal"]
    return modules().Apply(
        lambda query, key, value, mask=None: attention(query, key, value, mask, is_causal=is_causal)
    )


def _rotary(nn, layer):
    return modules().Rotary(*angles(layer), layer["attributes"]["interleaved"])


LOWERINGS = {
    "softmax": _softmax,
    "log_softmax": _log_softmax,
    "attention": _attention,
    "rotary": _rotary,
}
