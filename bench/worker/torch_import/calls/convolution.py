"""Convolutions."""

from ..user import Refused
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


def _conv1d(call):
    """As a convolution of images of one row."""
    weight, x = call.weight("weight"), call.subject
    if isinstance(call["padding"], str):
        raise Refused("its padding is the word '%s'; give a number" % call["padding"])
    (stride,), (padding,), (dilation,) = (
        each if isinstance(each, (list, tuple)) else [each]
        for each in (call["stride"], call["padding"], call["dilation"]))
    shape, batch, dtype = call.result
    row = call.regrouped(x, [*x.shape[:2], 1, x.shape[2]], x.batch)
    as_image = weight._replace(tensor=weight.tensor.unsqueeze(2))
    found = call.add(
        "conv2d", row, weights={"weight": as_image, "bias": call.weight("bias")}, like=(
            [*shape[:2], 1, shape[2]], batch, dtype), out_channels=weight.tensor.shape[0],
        kernel=[1, weight.tensor.shape[2]], stride=[1, stride], padding=[0, padding], dilation=[1, dilation],
        groups=int(call["groups"]), bias=call["bias"] is not None,
    )
    return call.regrouped(found, shape, batch)


CALLS = {
    "conv2d": _conv2d,
    "conv1d": _conv1d,
}
