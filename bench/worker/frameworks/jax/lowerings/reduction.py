"""Sums, means and extremes along axes, and where these lie."""


def _reduced(function):
    """The lowering that reduces by jax.numpy's function of this name."""
    def lower(run, layer, weights, x):
        a = layer["attributes"]
        return getattr(run.np, function)(x, axis=tuple(a["axes"]), keepdims=a["keep"])

    return lower


def _cumulative_sum(run, layer, weights, x):
    return run.np.cumsum(x, layer["attributes"]["axis"])


def _argmax(run, layer, weights, x):
    a = layer["attributes"]
    return run.np.argmax(x, a["axis"], keepdims=a["keep"])


def _top_k(run, layer, weights, x):
    a = layer["attributes"]
    found = run.lax.top_k(run.np.moveaxis(x, a["axis"], -1), a["count"])
    return tuple(run.np.moveaxis(each, -1, a["axis"]) for each in found)


LOWERINGS = {
    "reduce_sum": _reduced("sum"),
    "reduce_mean": _reduced("mean"),
    "reduce_max": _reduced("max"),
    "reduce_min": _reduced("min"),
    "cumulative_sum": _cumulative_sum,
    "argmax": _argmax,
    "top_k": _top_k,
}
