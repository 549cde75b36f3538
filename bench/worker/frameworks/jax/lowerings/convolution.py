"""Convolutions of images."""

from ._base import plus_bias


def _conv2d(run, layer, weights, x):
    a = layer["attributes"]
    y = run.lax.conv_general_dilated(
        x, weights["weight"], a["stride"], [(p, p) for p in a["padding"]], rhs_dilation=a["dilation"],
        dimension_numbers=run.layout.convolution, feature_group_count=a["groups"],
    )
    return plus_bias(run, y, run.layout.spread(weights["bias"], y)) if a["bias"] else y


LOWERINGS = {
    "conv2d": _conv2d,
}
