"""Convolutions of images and sequences, which Keras keeps with their channels last."""

from ...user_code import Refused
from ..values import shape_in_keras


def pair(value):
    """Rows and columns; a sequence has one row."""
    value = [int(each) for each in (value if isinstance(value, (list, tuple)) else [value] * 2)]
    return [1, *value] if len(value) == 1 else value


def as_image(call, value):
    """The value as an image with its channels first, however the layer keeps them."""
    if getattr(call.op, "data_format", "channels_last") != "channels_first":
        return call.image(value)
    value = call.plain(value)
    if len(value.shape) == 3:
        batch, channels, steps = value.shape
        return call.add("reshape", value, shape=[batch, channels, 1, steps], to=[channels, 1, steps])
    return value


def as_found(call, image, value):
    """The image that a layer gives, in the order in which it keeps images, as ``value`` came."""
    rank = len(shape_in_keras(value))
    if getattr(call.op, "data_format", "channels_last") != "channels_first":
        return image._replace(rank=rank)
    image = image._replace(rank=None)
    if rank == 4:
        return image
    batch, channels, _, steps = image.shape
    return call.add("reshape", image, shape=[batch, channels, steps], to=[channels, steps])


def pads(sizes, kernel, stride, dilation, padding):
    """(before, after) of rows and of columns."""
    if padding == "valid":
        return [0, 0], [0, 0]
    extents = [d * (k - 1) + 1 for k, d in zip(kernel, dilation)]
    if padding == "causal":
        return [each - 1 for each in extents], [0, 0]
    totals = [max((-(-size // s) - 1) * s + e - size, 0) for size, s, e in zip(sizes, stride, extents)]
    return [each // 2 for each in totals], [each - each // 2 for each in totals]


def padded(call, image, before, after, value=0.0):
    """The image with rows and columns around it."""
    if not any(before) and not any(after):
        return image
    batch, channels, height, width = image.shape
    shape = [batch, channels, height + before[0] + after[0], width + before[1] + after[1]]
    return call.add("pad", image, shape=shape, rank=image.rank, before=[0, 0, *before], after=[0, 0, *after],
                    mode="constant", value=value, name="pad")


def _convolved(call, image, kernel, change, bias, channels, groups, strides, dilation, padding, name=None):
    """One convolution; ``kernel`` is a variable that ``change`` makes OIHW of."""
    weight = call.weight(kernel, change)
    size = list(weight[1].shape[2:])
    before, after = pads(image.shape[2:], size, strides, dilation, padding)
    inside = before
    if before != after:
        image, inside = padded(call, image, before, after), [0, 0]
    sizes = [(n + 2 * p - d * (k - 1) - 1) // s + 1 for n, p, d, k, s in zip(
        image.shape[2:], inside, dilation, size, strides)]
    return call.add("conv2d", image, shape=[1, channels, *sizes], rank=image.rank, name=name,
                    weights={"weight": weight, "bias": call.weight(bias)}, out_channels=channels, kernel=size,
                    stride=strides, padding=inside, dilation=dilation, groups=groups, bias=bias is not None)


def _oihw(array):
    array = array[None] if array.ndim == 3 else array
    return array.transpose(3, 2, 0, 1)


def _depthwise(array):
    array = array[None] if array.ndim == 3 else array
    height, width, channels, multiplier = array.shape
    return array.transpose(2, 3, 0, 1).reshape(channels * multiplier, 1, height, width)


def _conv(call):
    op, value = call.op, call.first()
    if getattr(op, "lora_enabled", False):
        raise Refused("it has a low-rank adaptation; merge that first")
    image = as_image(call, value)
    found = _convolved(call, image, op._kernel if hasattr(op, "_kernel") else op.kernel, _oihw,
                       op.bias if op.use_bias else None, op.filters, op.groups, pair(op.strides),
                       pair(op.dilation_rate), op.padding)
    return as_found(call, call.activated(found, op.activation), value)


def _depthwise_conv(call):
    op, value = call.op, call.first()
    image = as_image(call, value)
    channels = image.shape[1]
    found = _convolved(call, image, op.kernel, _depthwise, op.bias if op.use_bias else None,
                       channels * op.depth_multiplier, channels, pair(op.strides), pair(op.dilation_rate), op.padding)
    return as_found(call, call.activated(found, op.activation), value)


def _separable_conv(call):
    op, value = call.op, call.first()
    image = as_image(call, value)
    channels = image.shape[1]
    found = _convolved(call, image, op.depthwise_kernel, _depthwise, None, channels * op.depth_multiplier, channels,
                       pair(op.strides), pair(op.dilation_rate), op.padding, name="depthwise")
    found = _convolved(call, found, op.pointwise_kernel, _oihw, op.bias if op.use_bias else None, op.filters, 1,
                       [1, 1], [1, 1], "valid", name="pointwise")
    return as_found(call, call.activated(found, op.activation), value)


def _conv_transpose(call):
    op, value = call.op, call.first()
    if op.output_padding is not None or any(each != 1 for each in pair(op.dilation_rate)) or op.padding not in (
            "valid", "same"):
        raise Refused("it has a dilation or an output_padding; leave them out")
    image = as_image(call, value)
    weight = call.weight(op.kernel, _oihw)           # Keras has (height, width, out, in)
    kernel, strides = list(weight[1].shape[2:]), pair(op.strides)
    beyond = [k - s for k, s in zip(kernel, strides)]
    cut = [max(each, 0) // 2 if op.padding == "same" else 0 for each in beyond]
    more = [max(-each, 0) for each in beyond]
    sizes = [(n - 1) * s - 2 * p + k + m for n, s, p, k, m in zip(image.shape[2:], strides, cut, kernel, more)]
    bias = op.bias if op.use_bias else None
    found = call.add("conv_transpose2d", image, shape=[1, op.filters, *sizes], rank=image.rank, weights={
        "weight": weight, "bias": call.weight(bias)}, out_channels=op.filters, kernel=kernel, stride=strides,
        padding=cut, output_padding=more, dilation=[1, 1], groups=1, bias=bias is not None)
    if op.padding == "same":
        for axis in (2, 3):
            wanted = image.shape[axis] * strides[axis - 2]
            if found.shape[axis] > wanted:
                shape = [*found.shape[:axis], wanted, *found.shape[axis + 1:]]
                found = call.add("slice", found, shape=shape, rank=found.rank, axis=axis, start=0, stop=wanted,
                                 name="cut")
    return as_found(call, call.activated(found, op.activation), value)


LAYERS = {
    **dict.fromkeys(("Conv1D", "Conv2D"), _conv),
    **dict.fromkeys(("DepthwiseConv1D", "DepthwiseConv2D"), _depthwise_conv),
    **dict.fromkeys(("SeparableConv1D", "SeparableConv2D"), _separable_conv),
    **dict.fromkeys(("Conv1DTranspose", "Conv2DTranspose"), _conv_transpose),
}
OPERATIONS = {}
