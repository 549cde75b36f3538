"""Convolutions of images."""


def _conv2d(network, layer):
    a = layer["attributes"]
    parameters = [network.parameter(layer, p["name"]) for p in layer["parameters"]]      # weight, and perhaps bias
    network.node(
        layer, "Conv", layer["inputs"] + parameters, kernel_shape=a["kernel"], strides=a["stride"],
        pads=a["padding"] * 2, dilations=a["dilation"], group=a["groups"],
    )


NODES = {
    "conv2d": _conv2d,
}
