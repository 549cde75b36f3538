"""Convolutions of images, and their transposes."""


def _conv2d(nn, layer):
    a = layer["attributes"]
    return nn.Conv2d(
        layer["input_shapes"][0][0], a["out_channels"], tuple(a["kernel"]), stride=tuple(a["stride"]),
        padding=tuple(a["padding"]), dilation=tuple(a["dilation"]), groups=a["groups"], bias=a["bias"],
    )


def _conv_transpose2d(nn, layer):
    a = layer["attributes"]
    return nn.ConvTranspose2d(
        layer["input_shapes"][0][0], a["out_channels"], tuple(a["kernel"]), stride=tuple(a["stride"]),
        padding=tuple(a["padding"]), output_padding=tuple(a["output_padding"]), groups=a["groups"], bias=a["bias"],
        dilation=tuple(a["dilation"]),
    )


LOWERINGS = {
    "conv2d": _conv2d,
    "conv_transpose2d": _conv_transpose2d,
}
