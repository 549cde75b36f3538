"""Rows chosen by their index."""


def _embedding(network, layer):
    network.node(layer, "Gather", [network.parameter(layer, "weight"), layer["inputs"][0]], axis=0)


def _gather(network, layer):
    a = layer["attributes"]
    network.node(layer, "Gather", [layer["inputs"][0], network.constant(layer, "indices", a["indices"])],
                 axis=a["axis"])


def _one_hot(network, layer):
    depth = network.constant(layer, "depth", layer["attributes"]["depth"])
    values = network.constant(layer, "values", [0, 1], "float32")
    network.node(layer, "OneHot", [layer["inputs"][0], depth, values], axis=-1)


def _gather_elements(network, layer):
    network.node(layer, "GatherElements", layer["inputs"], axis=layer["attributes"]["axis"])


NODES = {
    "embedding": _embedding,
    "gather": _gather,
    "one_hot": _one_hot,
    "gather_elements": _gather_elements,
}
