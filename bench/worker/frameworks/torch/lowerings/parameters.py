"""Values that come from no other layer."""

from ._modules import modules


def _parameter(nn, layer):
    (parameter,) = layer["parameters"]
    return modules().ParameterValue(tuple(parameter["shape"]), parameter["is_trainable"])


LOWERINGS = {
    "parameter": _parameter,
}
