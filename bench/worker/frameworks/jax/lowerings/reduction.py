"""Sums, means and extremes along axes."""


def _reduced(function):
    """The lowering that reduces by jax.numpy's function of this name."""
    def lower(run, layer, weights, x):
        a = layer["attributes"]
        return getattr(run.np, function)(x, axis=tuple(a["axes"]), keepdims=a["keep"])

    return lower


LOWERINGS = {
    "reduce_sum": _reduced("sum"),
    "reduce_mean": _reduced("mean"),
    "reduce_max": _reduced("max"),
}
