"""Softmax and attention."""

from ._modules import modules


def _softmax(nn, layer):
    return nn.Softmax(dim=-1)


def _log_softmax(nn, layer):
    return nn.LogSoftmax(dim=-1)


def _attention(nn, layer):
    import torch

    attend, is_causal = torch.nn.functional.scaled_dot_product_attention, layer["attributes"]["causal"]
    more = {"scale": layer["attributes"]["scale"]} if "scale" in layer["attributes"] else {}      # PyTorch 2.1
    if layer["input_shapes"][0][1] != layer["input_shapes"][1][1]:
        more["enable_gqa"] = True                                                                 # 2.5
    return modules().Apply(
        lambda query, key, value, mask=None: attend(query, key, value, mask, is_causal=is_causal, **more)
    )


LOWERINGS = {
    "softmax": _softmax,
    "log_softmax": _log_softmax,
    "attention": _attention,
}
