"""The same elements in another shape or order."""


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
    return run.lax.slice_in_dim(x, a["start"], a["stop"], axis=a["axis"])


def _split(run, layer, weights, x):
    a = layer["attributes"]
    return tuple(run.np.split(x, a["parts"], a["axis"]))


def _expand(run, layer, weights, value, like):
    return run.np.broadcast_to(value, (len(like), *value.shape))


LOWERINGS = {
    "concat": _concat,
    "flatten": _flatten,
    "reshape": _reshape,
    "transpose": _transpose,
    "slice": _slice,
    "split": _split,
    "expand": _expand,
}
