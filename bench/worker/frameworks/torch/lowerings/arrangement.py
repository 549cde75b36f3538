"""The same elements in another shape or order.

All follow the order of the axes, NCHW, and not that of the memory, which may be channels_last.
"""

from ._modules import modules


def _join(*inputs):
    import torch

    return torch.cat(inputs, 1)


def _concat(nn, layer):
    return modules().Apply(_join)


def _flatten(nn, layer):
    return nn.Flatten()


def _reshape(nn, layer):
    shape = layer["attributes"]["shape"]
    return modules().Apply(lambda x: x.reshape(-1, *shape))


def _transpose(nn, layer):
    axes = [1 + axis for axis in layer["attributes"]["axes"]]
    return modules().Apply(lambda x: x.permute(0, *axes))


def _slice(nn, layer):
    a = layer["attributes"]
    return modules().Apply(lambda x: x.narrow(a["axis"], a["start"], a["stop"] - a["start"]))


def _split(nn, layer):
    a = layer["attributes"]
    return modules().Apply(lambda x: x.chunk(a["parts"], a["axis"]))


def _expand(nn, layer):
    return modules().Apply(lambda value, like: value.expand(len(like), *value.shape))


LOWERINGS = {
    "concat": _concat,
    "flatten": _flatten,
    "reshape": _reshape,
    "transpose": _transpose,
    "slice": _slice,
    "split": _split,
    "expand": _expand,
}
