"""The same elements in another shape or order."""

from ..._arrangement import pad_sources, regrouped


def _concat(tf, layer):
    axis = -1 if layer["is_image"] else 1
    return lambda run, *inputs: tf.concat(inputs, axis=axis)


def _reshape(tf, layer):
    output_shape = layer["output_shape"]
    return lambda run, x: tf.reshape(x, [-1, *output_shape])


def _transpose(tf, layer):
    axes = [0, *(1 + axis for axis in layer["attributes"]["axes"])]
    return lambda run, x: tf.transpose(x, axes)


def _slice(tf, layer):
    a = layer["attributes"]
    rank = len(layer["input_shapes"][0])
    part = (slice(None),) * (a["axis"] % rank) + (slice(a["start"], a["stop"], a.get("step")),)
    return lambda run, x: x[part]


def _split(tf, layer):
    a = layer["attributes"]
    return lambda run, x: tuple(tf.split(x, a.get("sizes", a["parts"]), a["axis"]))


def _expand(tf, layer):
    return lambda run, value, like: tf.broadcast_to(value, [like.shape[0], *value.shape])


def _join(tf, layer):
    axis = layer["attributes"]["axis"]
    return lambda run, *inputs: tf.concat(inputs, axis)


def _permute(tf, layer):
    axes = layer["attributes"]["axes"]
    return lambda run, x: tf.transpose(x, axes)


def _regroup(tf, layer):
    shape = regrouped(layer)
    return lambda run, x: tf.reshape(x, shape)


def _tile(tf, layer):
    times = layer["attributes"]["times"]
    return lambda run, x: tf.tile(x, times)


def _pad(tf, layer):
    a = layer["attributes"]
    order = (0, 2, 3, 1) if layer["is_image"] else range(len(a["before"]))
    if a["mode"] == "edge":                      # which TensorFlow has not
        indices = [pad_sources(layer)[axis] for axis in order]

        def choose(run, x):
            for axis, each in enumerate(indices):
                x = x if each is None else tf.gather(x, each, axis=axis)
            return x

        return choose
    pairs, mode = [[a["before"][axis], a["after"][axis]] for axis in order], a["mode"].upper()
    return lambda run, x: tf.pad(x, pairs, mode, constant_values=a["value"])


LOWERINGS = {
    "concat": _concat,
    "flatten": _reshape,
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
