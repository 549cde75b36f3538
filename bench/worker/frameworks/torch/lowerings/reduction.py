"""Sums, means and extremes along axes, and where these lie."""

from ._modules import modules


def _reduced(function):
    """The lowering that reduces by torch's function of this name."""
    def lower(nn, layer):
        import torch

        reduce, a = getattr(torch, function), layer["attributes"]
        return modules().Apply(lambda x: reduce(x, a["axes"], a["keep"]))

    return lower


def _cumulative_sum(nn, layer):
    axis = layer["attributes"]["axis"]
    return modules().Apply(lambda x: x.cumsum(axis))


def _argmax(nn, layer):
    a = layer["attributes"]
    return modules().Apply(lambda x: x.argmax(a["axis"], a["keep"]))


def _top_k(nn, layer):
    a = layer["attributes"]
    return modules().Apply(lambda x: tuple(x.topk(a["count"], a["axis"])))


LOWERINGS = {
    "reduce_sum": _reduced("sum"),
    "reduce_mean": _reduced("mean"),
    "reduce_max": _reduced("amax"),
    "reduce_min": _reduced("amin"),
    "cumulative_sum": _cumulative_sum,
    "argmax": _argmax,
    "top_k": _top_k,
}
