"""Convolutions of images."""


def _conv2d(nn, layer):
    a = layer["attributes"]
    return nn.Conv2d(
        layer["input_shapes"][0][0], a["out_channels"], tuple(a["kernel"]), stride=tuple(a["stride"]),
        padding=tuple(a["padding"]), dilation=tuple(a["dilation"]), groups=a["groups"], bias=a["bias"],
    )


LOWERINGS = {
    "conv2d": _conv2d,
}
