"""Sums, means and extremes along axes, and where these lie."""


def _reduced(function):
    """The lowering that is TensorFlow's reduction of this name."""
    def lower(tf, layer):
        reduce, a = getattr(tf, function), layer["attributes"]
        return lambda run, x: reduce(x, a["axes"], keepdims=a["keep"])

    return lower


def _cumulative_sum(tf, layer):
    axis = layer["attributes"]["axis"]
    return lambda run, x: tf.cumsum(x, axis)


def _argmax(tf, layer):
    a = layer["attributes"]

    def forward(run, x):
        places = tf.argmax(x, a["axis"])
        return tf.expand_dims(places, a["axis"]) if a["keep"] else places

    return forward


def _top_k(tf, layer):
    """Along the last axis, since TensorFlow knows no other."""
    a, rank = layer["attributes"], len(layer["outputs"][0]["shape"])
    axis = a["axis"] % rank
    order = [*(each for each in range(rank) if each != axis), axis]
    back = [order.index(each) for each in range(rank)]

    def forward(run, x):
        values, places = tf.math.top_k(x if axis == rank - 1 else tf.transpose(x, order), a["count"])
        places = tf.cast(places, tf.int64)
        return (values, places) if axis == rank - 1 else (tf.transpose(values, back), tf.transpose(places, back))

    return forward


LOWERINGS = {
    "reduce_sum": _reduced("reduce_sum"),
    "reduce_mean": _reduced("reduce_mean"),
    "reduce_max": _reduced("reduce_max"),
    "reduce_min": _reduced("reduce_min"),
    "cumulative_sum": _cumulative_sum,
    "argmax": _argmax,
    "top_k": _top_k,
}
