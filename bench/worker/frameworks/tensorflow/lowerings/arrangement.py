"""The same elements in another shape or order."""


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
    part = (slice(None),) * (a["axis"] % len(layer["input_shapes"][0])) + (slice(a["start"], a["stop"]),)
    return lambda run, x: x[part]


def _split(tf, layer):
    a = layer["attributes"]
    return lambda run, x: tuple(tf.split(x, a["parts"], a["axis"]))


def _expand(tf, layer):
    return lambda run, value, like: tf.broadcast_to(value, [like.shape[0], *value.shape])


LOWERINGS = {
    "concat": _concat,
    "flatten": _reshape,
    "reshape": _reshape,
    "transpose": _transpose,
    "slice": _slice,
    "split": _split,
    "expand": _expand,
}
