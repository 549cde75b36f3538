"""Convolutions of images, and their transposes."""

from ._base import plus_bias


def _conv2d(run, layer, weights, x):
    a = layer["attributes"]
    y = run.lax.conv_general_dilated(
        x, weights["weight"], a["stride"], [(p, p) for p in a["padding"]], rhs_dilation=a["dilation"],
        dimension_numbers=run.layout.convolution, feature_group_count=a["groups"],
    )
    return plus_bias(run, y, run.layout.spread(weights["bias"], y)) if a["bias"] else y


def _conv_transpose2d(run, layer, weights, x):
    """As a convolution of the image with zeros between its pixels, by the kernel turned around."""
    a, weight = layer["attributes"], weights["weight"]
    images, _, output = run.layout.convolution
    kernel = "HWIO" if run.layout.is_channels_last else "IOHW"
    if a["groups"] > 1:                          # of each group's input channels, to the output channels of all
        if kernel == "IOHW":
            weight, kernel = weight.transpose(2, 3, 0, 1), "HWIO"
        rows, columns, _, out = weight.shape
        weight = weight.reshape(rows, columns, a["groups"], -1, out).swapaxes(2, 3)
        weight = weight.reshape(rows, columns, -1, a["groups"] * out)
    weight = run.np.flip(weight, (kernel.index("H"), kernel.index("W")))
    padding = [
        (spread * (size - 1) - padding, spread * (size - 1) - padding + more)
        for size, spread, padding, more in zip(a["kernel"], a["dilation"], a["padding"], a["output_padding"])
    ]
    y = run.lax.conv_general_dilated(
        x, weight, (1, 1), padding, lhs_dilation=a["stride"], rhs_dilation=a["dilation"],
        dimension_numbers=(images, kernel, output), feature_group_count=a["groups"],
    )
    return plus_bias(run, y, run.layout.spread(weights["bias"], y)) if a["bias"] else y


LOWERINGS = {
    "conv2d": _conv2d,
    "conv_transpose2d": _conv_transpose2d,
}
