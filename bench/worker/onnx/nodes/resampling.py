"""Images at another size."""

MODES = {"nearest": "nearest", "bilinear": "linear", "bicubic": "cubic"}
ROUNDED = {"half_pixel": "round_prefer_ceil", "asymmetric": "floor"}     # of nearest, as floor((p + 1/2) * in / out)


def _resize(network, layer):
    a = layer["attributes"]
    more = {"nearest_mode": ROUNDED[a["coordinates"]]} if a["mode"] == "nearest" else {}
    if a["mode"] == "bicubic":
        more = {"cubic_coeff_a": -0.75}
    size = network.constant(layer, "size", a["size"])
    network.node(
        layer, "Resize", [layer["inputs"][0], "", "", size], axes=[2, 3], mode=MODES[a["mode"]],
        coordinate_transformation_mode=a["coordinates"], **more
    )


NODES = {
    "resize": _resize,
}
