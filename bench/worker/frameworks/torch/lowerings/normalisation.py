"""Normalisation by statistics of a batch, of channels or of features."""

from ._modules import modules


def _batch_norm(nn, layer):
    a, shape = layer["attributes"], layer["input_shapes"][0]
    kind = nn.BatchNorm2d if len(shape) == 3 else nn.BatchNorm1d
    return kind(shape[0], eps=a["epsilon"], momentum=a["momentum"])


def _local_response_norm(nn, layer):
    a = layer["attributes"]
    return nn.LocalResponseNorm(a["size"], alpha=a["alpha"], beta=a["beta"], k=a["k"])


def _layer_norm(nn, layer):
    return nn.LayerNorm(layer["input_shapes"][0][-1], eps=layer["attributes"]["epsilon"])


def _rms_norm(nn, layer):
    features, epsilon = layer["input_shapes"][0][-1], layer["attributes"]["epsilon"]
    return (nn.RMSNorm if hasattr(nn, "RMSNorm") else modules().RmsNorm)(features, eps=epsilon)      # PyTorch 2.4


def _group_norm(nn, layer):
    a = layer["attributes"]
    return nn.GroupNorm(a["groups"], layer["input_shapes"][0][0], eps=a["epsilon"])


LOWERINGS = {
    "batch_norm": _batch_norm,
    "local_response_norm": _local_response_norm,
    "layer_norm": _layer_norm,
    "rms_norm": _rms_norm,
    "group_norm": _group_norm,
}
