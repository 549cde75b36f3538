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


LOWERINGS = {
    "reduce_sum": _reduced("reduce_sum"),
    "reduce_mean": _reduced("reduce_mean"),
    "reduce_max": _reduced("reduce_max"),
    "reduce_min": _reduced("reduce_min"),
    "cumulative_sum": _cumulative_sum,
    "argmax": _argmax,
}
