"""The same elements in another shape or order."""

import numpy as np

from ..._arrangement import regrouped


def _concat(run, layer, weights, *inputs):
    return run.np.concatenate(inputs, run.layout.channel if layer["is_image"] else 1)


def _flatten(run, layer, weights, x):
    return x.reshape(len(x), -1)


def _reshape(run, layer, weights, x):
    return x.reshape(len(x), *layer["attributes"]["shape"])


def _transpose(run, layer, weights, x):
    return x.transpose([0, *(axis + 1 for axis in layer["attributes"]["axes"])])


def _slice(run, layer, weights, x):
    a = layer["attributes"]
    return run.lax.slice_in_dim(x, a["start"], a["stop"], a.get("step", 1), a["axis"])


def _split(run, layer, weights, x):
    a = layer["attributes"]
    return tuple(run.np.split(x, np.cumsum(a["sizes"])[:-1] if "sizes" in a else a["parts"], a["axis"]))


def _expand(run, layer, weights, value, like):
    return run.np.broadcast_to(value, (len(like), *value.shape))


def _join(run, layer, weights, *inputs):
    return run.np.concatenate(inputs, layer["attributes"]["axis"])


def _permute(run, layer, weights, x):
    return x.transpose(layer["attributes"]["axes"])


def _regroup(run, layer, weights, x):
    return x.reshape(regrouped(layer))


def _tile(run, layer, weights, x):
    return run.np.tile(x, layer["attributes"]["times"])


def _pad(run, layer, weights, x):
    a = layer["attributes"]
    order = (0, 2, 3, 1) if layer["is_image"] else range(x.ndim)
    constant = {"constant_values": a["value"]} if a["mode"] == "constant" else {}
    return run.np.pad(x, [(a["before"][axis], a["after"][axis]) for axis in order], a["mode"], **constant)


LOWERINGS = {
    "concat": _concat,
    "flatten": _flatten,
    "reshape": _reshape,
    "transpose": _transpose,
    "slice": _slice,
    "split": _split,
    "expand": _expand,
    "join": _join,
    "permute": _permute,
    "regroup": _regroup,
    "tile": _tile,
    "pad": _pad,
}
