"""Convolutions."""

from ...user_code import Refused
from .arrangement import _padded


def _pair(value):
    value = [int(each) for each in (value if isinstance(value, (list, tuple)) else [value])]
    return value * 2 if len(value) == 1 else value


def _conv2d(call):
    weight, x = call.weight("weight"), call.subject
    kernel = list(weight.tensor.shape[2:])
    padding, dilation = call["padding"], _pair(call["dilation"])
    if isinstance(padding, str):
        padding, x = _named_padding(call, x, padding, kernel, dilation)
    return call.add(
        "conv2d", x, weights={"weight": weight, "bias": call.weight("bias")}, out_channels=weight.tensor.shape[0],
        kernel=kernel, stride=_pair(call["stride"]), padding=_pair(padding), dilation=dilation,
        groups=int(call["groups"]), bias=call["bias"] is not None,
    )


def _named_padding(call, x, name, kernel, dilation):
    """(padding on both sides, the value, padded where the two sides differ)."""
    if name == "valid":
        return [0, 0], x
    whole = [d * (k - 1) for k, d in zip(kernel, dilation)]
    if all(each % 2 == 0 for each in whole):
        return [each // 2 for each in whole], x
    (rows, columns), shape = whole, list(x.shape)
    shape[2:] = [shape[2] + rows, shape[3] + columns]
    pads = [columns // 2, columns - columns // 2, rows // 2, rows - rows // 2]
    return [0, 0], _padded(call, x, pads, "constant", 0.0, (shape, x.batch, x.dtype))


def _transposed(call):
    weight = call.weight("weight")
    return call.add("conv_transpose2d", call.subject, **_transposed_settings(call, weight, _pair))


def _transposed_settings(call, weight, sides):
    groups = int(call["groups"])
    return {
        "weights": {"weight": weight, "bias": call.weight("bias")}, "out_channels": weight.tensor.shape[1] * groups,
        "kernel": list(weight.tensor.shape[2:]), "groups": groups, "bias": call["bias"] is not None,
        **{name: sides(call[name]) for name in ("stride", "padding", "output_padding", "dilation")},
    }


def _side(fill):
    """Of a number per step, that of images of one row."""
    def pair(value):
        return [fill, int(value[0] if isinstance(value, (list, tuple)) else value)]
    return pair


def _row(call, op, settings):
    """The operation on images, for a sequence as an image of one row."""
    x, (shape, batch, dtype) = call.subject, call.result
    row = call.regrouped(x, [*x.shape[:2], 1, x.shape[2]], x.batch)
    found = call.add(op, row, like=([*shape[:2], 1, shape[2]], batch, dtype), **settings)
    return call.regrouped(found, shape, batch)


def _as_row(weight):
    return weight._replace(tensor=weight.tensor.unsqueeze(2))


def _conv1d(call):
    weight = call.weight("weight")
    if isinstance(call["padding"], str):
        raise Refused("its padding is the word '%s'; give a number" % call["padding"])
    return _row(call, "conv2d", {
        "weights": {"weight": _as_row(weight), "bias": call.weight("bias")}, "out_channels": weight.tensor.shape[0],
        "kernel": [1, weight.tensor.shape[2]], "stride": _side(1)(call["stride"]),
        "padding": _side(0)(call["padding"]), "dilation": _side(1)(call["dilation"]), "groups": int(call["groups"]),
        "bias": call["bias"] is not None,
    })


def _transposed1d(call):
    settings = _transposed_settings(call, _as_row(call.weight("weight")), _side(0))
    return _row(call, "conv_transpose2d", {**settings, "stride": _side(1)(call["stride"]),
                                           "dilation": _side(1)(call["dilation"])})


def _weight_norm(call):
    raise Refused("the weight of a convolution is computed in each step, and a graph has parameters there; call "
                  "torch.nn.utils.parametrize.remove_parametrizations in the factory")


CALLS = {
    "_weight_norm": _weight_norm,
    "conv2d": _conv2d,
    "conv1d": _conv1d,
    "conv_transpose2d": _transposed,
    "conv_transpose1d": _transposed1d,
}
