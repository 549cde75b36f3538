"""Windows that slide over images and reduce what they see."""


def _max_pool(network, layer):
    network.node(layer, "MaxPool", layer["inputs"], **_window(layer["attributes"]))


def _avg_pool(network, layer):
    a = layer["attributes"]
    network.node(layer, "AveragePool", layer["inputs"], count_include_pad=int(a["count_include_pad"]), **_window(a))


def _window(attributes):
    return {
        "kernel_shape": attributes["kernel"], "strides": attributes["stride"], "pads": attributes["padding"] * 2,
    }


def _global_avg_pool(network, layer):
    mean = network.node(layer, "GlobalAveragePool", layer["inputs"], part="mean")
    network.node(layer, "Flatten", [mean], axis=1)


NODES = {
    "max_pool": _max_pool,
    "avg_pool": _avg_pool,
    "global_avg_pool": _global_avg_pool,
}
