"""Sums, means and extremes along axes."""


def _reduced(function):
    """The lowering that is TensorFlow's reduction of this name."""
    def lower(tf, layer):
        reduce, a = getattr(tf, function), layer["attributes"]
        return lambda run, x: reduce(x, a["axes"], keepdims=a["keep"])

    return lower


LOWERINGS = {
    "reduce_sum": _reduced("reduce_sum"),
    "reduce_mean": _reduced("reduce_mean"),
    "reduce_max": _reduced("reduce_max"),
}
