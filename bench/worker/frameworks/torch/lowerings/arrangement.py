"""The same elements in another shape or order.

All follow the order of the axes, NCHW, and not that of the memory, which may be channels_last.
"""

from ..._arrangement import pad_sources, regrouped
from ._modules import modules


def _join(*inputs):
    import torch

    return torch.cat(inputs, 1)


def _concat(nn, layer):
    return modules().Apply(_join)


def _flatten(nn, layer):
    if not layer["input_shapes"][0]:         # of which nn.Flatten can make nothing
        return modules().Apply(lambda x: x.reshape(-1, 1))
    return nn.Flatten()


def _reshape(nn, layer):
    shape = layer["attributes"]["shape"]
    return modules().Apply(lambda x: x.reshape(-1, *shape))


def _transpose(nn, layer):
    axes = [1 + axis for axis in layer["attributes"]["axes"]]
    return modules().Apply(lambda x: x.permute(0, *axes))


def _slice(nn, layer):
    a = layer["attributes"]
    if "step" not in a:
        return modules().Apply(lambda x: x.narrow(a["axis"], a["start"], a["stop"] - a["start"]))
    part = (slice(None),) * (a["axis"] % len(layer["outputs"][0]["shape"])) + (
        slice(a["start"], a["stop"], a["step"]),)
    return modules().Apply(lambda x: x[part])


def _split(nn, layer):
    a = layer["attributes"]
    if "sizes" in a:
        return modules().Apply(lambda x: x.split(a["sizes"], a["axis"]))
    return modules().Apply(lambda x: x.chunk(a["parts"], a["axis"]))


def _expand(nn, layer):
    return modules().Apply(lambda value, like: value.expand(len(like), *value.shape))


def _join_along(nn, layer):
    import torch

    axis = layer["attributes"]["axis"]
    return modules().Apply(lambda *inputs: torch.cat(inputs, axis))


def _permute(nn, layer):
    axes = layer["attributes"]["axes"]
    return modules().Apply(lambda x: x.permute(axes))


def _regroup(nn, layer):
    shape = regrouped(layer)
    return modules().Apply(lambda x: x.reshape(shape))


def _tile(nn, layer):
    times = layer["attributes"]["times"]
    return modules().Apply(lambda x: x.repeat(times))


def _pad(nn, layer):
    a, rank = layer["attributes"], len(layer["outputs"][0]["shape"])
    known = rank if a["mode"] == "constant" else min(rank - 1, 3)
    if any((*a["before"][:rank - known], *a["after"][:rank - known])):
        return modules().Chosen(pad_sources(layer))              # PyTorch has a mode for the last three axes only
    mode = {"constant": "constant", "edge": "replicate", "reflect": "reflect"}[a["mode"]]
    sides = [side for axis in reversed(range(rank - known, rank)) for side in (a["before"][axis], a["after"][axis])]
    value = a["value"] if a["mode"] == "constant" else None
    return modules().Apply(lambda x: nn.functional.pad(x, sides, mode, value))


LOWERINGS = {
    "concat": _concat,
    "flatten": _flatten,
    "reshape": _reshape,
    "transpose": _transpose,
    "slice": _slice,
    "split": _split,
    "expand": _expand,
    "join": _join_along,
    "permute": _permute,
    "regroup": _regroup,
    "tile": _tile,
    "pad": _pad,
}
