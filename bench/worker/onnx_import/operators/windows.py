"""Windows that slide over images and sequences: convolutions and pooling."""

import numpy as np

from .. import Refused
from ..net import LEAST
from .arrangement import padded


def _image(net, node):
    """(the value as an image, the function that makes a value like it one of the node's rank again)."""
    value = net.read(node, 0)
    if value.batch != 0:
        raise Refused("%s takes images with the batch as their first axis" % node.said)
    if len(value.shape) == 4:
        return value, lambda other: other
    if len(value.shape) != 3:
        raise Refused("%s has %d dimensions; 1 and 2 are known" % (node.said, len(value.shape) - 2))
    rows, channels, width = value.shape
    label = net.label(node)
    image = net.regroup(value, (rows, channels, 1, width), 0, label + ".image")
    return image, lambda other: net.regroup(
        other, (other.shape[0], other.shape[1], other.shape[3]), 0, label + ".sequence")


def _both(numbers, of_one):
    """The numbers of height and width; of a sequence, which has a height of 1, those of the height are neutral."""
    numbers = [int(each) for each in numbers]
    return [of_one, *numbers] if len(numbers) == 1 else numbers


def _pads(net, node, image, kernel, strides, dilations):
    """(before, after) of height and width."""
    given, auto = node.get("pads"), node.get("auto_pad", "NOTSET")
    if auto in ("NOTSET", ""):
        half = len(given or []) // 2
        given = [int(each) for each in given or []]
        return _both(given[:half] or [0, 0], 0), _both(given[half:] or [0, 0], 0)
    before, after = [], []
    for size, window, stride, dilation in zip(image.shape[2:], kernel, strides, dilations):
        short = max((-(-size // stride) - 1) * stride + dilation * (window - 1) + 1 - size, 0)
        small, large = short // 2, short - short // 2
        short = (0, 0) if auto == "VALID" else (small, large) if auto == "SAME_UPPER" else (large, small)
        before.append(short[0])
        after.append(short[1])
    return before, after


def _sizes(image, kernel, strides, dilations, before, after, is_ceil=False):
    """Height and width of what windows give."""
    sizes = []
    for size, window, stride, dilation, one, other in zip(image.shape[2:], kernel, strides, dilations, before, after):
        free = size + one + other - dilation * (window - 1) - 1
        count = (-(-free // stride) if is_ceil else free // stride) + 1
        if is_ceil and (count - 1) * stride >= size + one:
            count -= 1               # a window must begin within the image
        sizes.append(count)
    return tuple(sizes)


def _windows(net, node, kernel):
    image, back = _image(net, node)
    kernel = _both(kernel, 1)
    strides, dilations = (_both(node.get(name, [1] * (len(kernel))), 1)[-2:] for name in ("strides", "dilations"))
    if len(node.get("kernel_shape", kernel)) == 1:
        strides[0], dilations[0] = 1, 1
    before, after = _pads(net, node, image, kernel, strides, dilations)
    return image, back, kernel, strides, dilations, before, after


def _conv(net, node):
    weight = net.need(node, 1, "weight")
    if weight.ndim not in (3, 4):
        raise Refused("%s has %d dimensions; 1 and 2 are known" % (node.said, weight.ndim - 2))
    image, back, kernel, strides, dilations, before, after = _windows(net, node, weight.shape[2:])
    if before != after:
        image = padded(net, net.label(node) + ".pad", image, [0, 0, *before], [0, 0, *after])
        before = after = [0, 0]
    parameters = {"weight": weight.reshape(weight.shape[:2] + tuple(kernel))}
    if node.has(2):
        parameters["bias"] = net.need(node, 2, "bias")
    attributes = {
        "out_channels": int(weight.shape[0]), "kernel": kernel, "stride": strides, "padding": before,
        "dilation": dilations, "groups": int(node.get("group", 1)), "bias": node.has(2),
    }
    sizes = _sizes(image, kernel, strides, dilations, before, after)
    like = image._replace(name=None, shape=(image.shape[0], int(weight.shape[0])) + sizes)  # noqa: RUF005
    net.give(node, back(net.layer(node, "conv2d", [image], attributes, like=like, parameters=parameters)))


def _transposed(net, node):
    """A convolution that enlarges; what it pads unevenly is cut off behind it."""
    weight = net.need(node, 1, "weight")
    if weight.ndim not in (3, 4) or node.get("auto_pad", "NOTSET") not in ("NOTSET", "") or node.get("output_shape"):
        raise Refused("%s has 3 dimensions, or a padding that follows from its size" % node.said)
    image, back, kernel, strides, dilations, before, after = _windows(net, node, weight.shape[2:])
    more = _both(node.get("output_padding", [0] * (weight.ndim - 2)), 0)
    is_even = before == after
    groups = int(node.get("group", 1))
    channels = int(weight.shape[1]) * groups
    parameters = {"weight": weight.reshape(weight.shape[:2] + tuple(kernel))}
    if node.has(2):
        parameters["bias"] = net.need(node, 2, "bias")
    padding = before if is_even else [0, 0]
    attributes = {
        "out_channels": channels, "kernel": kernel, "stride": strides, "padding": padding, "output_padding": more,
        "dilation": dilations, "groups": groups, "bias": node.has(2),
    }
    sizes = [
        (size - 1) * stride - 2 * pad + dilation * (window - 1) + extra + 1
        for size, stride, pad, dilation, window, extra
        in zip(image.shape[2:], strides, padding, dilations, kernel, more)
    ]
    like = image._replace(name=None, shape=(image.shape[0], channels, *sizes))
    result = net.layer(node, "conv_transpose2d", [image], attributes, like=like, parameters=parameters)
    if not is_even:
        for axis in range(2):
            result = net.slice(result, 2 + axis, before[axis], sizes[axis] - after[axis], 1,
                               "%s.cut%d" % (net.label(node), axis))
    net.give(node, back(result))


def _pool(net, node):
    is_max = node.op == "MaxPool"
    if node.gives(1):
        raise Refused("%s also gives the places of the largest" % node.said)
    image, back, kernel, strides, dilations, before, after = _windows(net, node, node.get("kernel_shape"))
    if dilations != [1, 1]:
        raise Refused("%s has dilation %s; 1 is known" % (node.said, dilations))
    is_ceil = bool(node.get("ceil_mode", 0))
    sizes = _sizes(image, kernel, strides, dilations, before, after, is_ceil)
    # Padding that makes the last window whole, where it is cut; it never counts.
    extra = [max(0, (count - 1) * stride + window - size - one - other) for count, stride, window, size, one, other
             in zip(sizes, strides, kernel, image.shape[2:], before, after)]
    counts = is_max or bool(node.get("count_include_pad", 0))
    share = None
    is_symmetric = before == after and not any(extra) and all(2 * pad <= window for pad, window in zip(before, kernel))
    if not is_symmetric:
        if not is_max:
            share = _share(image, kernel, strides, before, after, extra, sizes, counts)
        end = [one + other for one, other in zip(after, extra)]
        image = padded(net, net.label(node) + ".pad", image, [0, 0, *before], [0, 0, *end], fill=LEAST if is_max else 0)
        before = [0, 0]
    attributes = {"kernel": kernel, "stride": strides, "padding": before}
    if not is_max:
        attributes["count_include_pad"] = counts or share is not None
    like = image._replace(name=None, shape=image.shape[:2] + sizes)
    pooled = net.layer(node, "max_pool" if is_max else "avg_pool", [image], attributes, like=like)
    if share is not None and not np.allclose(share, 1):
        pooled = net.both(node, "multiply", [pooled, net.given(net.label(node) + ".share", share)], also=".counted")
    net.give(node, back(pooled))


def _share(image, kernel, strides, before, after, extra, sizes, counts):
    """By how much means over whole windows are too small: what of each window counts, inverted."""
    shares = []
    for axis in range(2):
        size, one, other = image.shape[2 + axis], before[axis], after[axis]
        valid = np.zeros(size + one + other + extra[axis])
        valid[:size + one + other] = 1 if counts else 0
        valid[one:one + size] = 1
        counted = [valid[at * strides[axis]:at * strides[axis] + kernel[axis]].sum() for at in range(sizes[axis])]
        shares.append(kernel[axis] / np.array(counted))
    return (shares[0][:, None] * shares[1][None, :])[None, None].astype(np.float32)


def _global_average(net, node):
    image, back = _image(net, node)
    like = image._replace(name=None, shape=image.shape[:2])
    mean = net.layer(node, "global_avg_pool", [image], like=like)
    net.give(node, back(net.regroup(mean, (*image.shape[:2], 1, 1), 0, net.label(node) + ".image")))


def _global_max(net, node):
    image, back = _image(net, node)
    like = image._replace(name=None, shape=(*image.shape[:2], 1, 1))
    net.give(node, back(net.layer(node, "reduce_max", [image], {"axes": [2, 3], "keep": True}, like=like)))


OPERATORS = {
    "Conv": _conv, "ConvTranspose": _transposed, "MaxPool": _pool, "AveragePool": _pool,
    "GlobalAveragePool": _global_average, "GlobalMaxPool": _global_max,
}
