"""Values that come from no other layer."""


def _parameter(network, layer):
    network.alias(layer, network.parameter(layer, "value"))


NODES = {
    "parameter": _parameter,
}
