"""Rows chosen by their index."""


def _embedding(network, layer):
    network.node(layer, "Gather", [network.parameter(layer, "weight"), layer["inputs"][0]], axis=0)


def _gather(network, layer):
    a = layer["attributes"]
    network.node(layer, "Gather", [layer["inputs"][0], network.constant(layer, "indices", a["indices"])],
                 axis=a["axis"])


NODES = {
    "embedding": _embedding,
    "gather": _gather,
}
