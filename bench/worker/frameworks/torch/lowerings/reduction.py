"""Sums, means and extremes along axes."""

from ._modules import modules


def _reduced(function):
    """The lowering that reduces by torch's function of this name."""
    def lower(nn, layer):
        import torch

        reduce, a = getattr(torch, function), layer["attributes"]
        return modules().Apply(lambda x: reduce(x, a["axes"], a["keep"]))

    return lower


LOWERINGS = {
    "reduce_sum": _reduced("sum"),
    "reduce_mean": _reduced("mean"),
    "reduce_max": _reduced("amax"),
}
