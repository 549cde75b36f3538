"""Convolutions of images; a sequence (channels, steps) is an image of height 1."""

from ... import frameworks


def _conv2d(network, layer):
    _convolution(network, layer, "Conv", layer["attributes"]["padding"] * 2)


def _conv_transpose2d(network, layer):
    a = layer["attributes"]
    padding, more = a["padding"], a["output_padding"]
    if all(extra < step for extra, step in zip(more, a["stride"])):
        _convolution(network, layer, "ConvTranspose", padding * 2, output_padding=more)
        return
    # ONNX Runtime takes no more than the stride, but less away at the end, which is the same.
    behind = [taken - extra for taken, extra in zip(padding, more)]
    if min(behind) < 0:
        raise frameworks.Unsupported("layer '%s' cannot be run: ONNX Runtime takes an output_padding below the stride "
                                     "or up to the padding, not %s" % (layer["name"], list(more)))
    _convolution(network, layer, "ConvTranspose", [*padding, *behind])


def _convolution(network, layer, op, pads, **more):
    a = layer["attributes"]
    parameters = [network.parameter(layer, p["name"]) for p in layer["parameters"]]      # weight, and perhaps bias
    network.node(
        layer, op, layer["inputs"] + parameters, kernel_shape=a["kernel"], strides=a["stride"],
        pads=pads, dilations=a["dilation"], group=a["groups"], **more
    )


NODES = {
    "conv2d": _conv2d,
    "conv_transpose2d": _conv_transpose2d,
}
