"""Values that come from no other layer."""


def _parameter(run, layer, weights):
    return weights["value"]


LOWERINGS = {
    "parameter": _parameter,
}
