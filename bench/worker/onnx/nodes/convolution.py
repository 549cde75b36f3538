"""Convolutions of images; a sequence (channels, steps) is an image of height 1."""


def _conv2d(network, layer):
    _convolution(network, layer, "Conv")


def _conv_transpose2d(network, layer):
    _convolution(network, layer, "ConvTranspose", output_padding=layer["attributes"]["output_padding"])


def _convolution(network, layer, op, **more):
    a = layer["attributes"]
    parameters = [network.parameter(layer, p["name"]) for p in layer["parameters"]]      # weight, and perhaps bias
    network.node(
        layer, op, layer["inputs"] + parameters, kernel_shape=a["kernel"], strides=a["stride"],
        pads=a["padding"] * 2, dilations=a["dilation"], group=a["groups"], **more
    )


NODES = {
    "conv2d": _conv2d,
    "conv_transpose2d": _conv_transpose2d,
}
