"""Matrix products."""

from ._modules import modules


def _dense(nn, layer):
    a = layer["attributes"]
    return nn.Linear(layer["input_shapes"][0][-1], a["out_features"], bias=a["bias"])


def _matmul(nn, layer):
    import torch

    return modules().Apply(torch.matmul)


LOWERINGS = {
    "dense": _dense,
    "matmul": _matmul,
}
