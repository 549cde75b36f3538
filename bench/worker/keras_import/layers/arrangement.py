"""The same elements in another shape or order."""

import math

import numpy as np

from ...user_code import Refused
from ..values import shape_in_keras
from .convolution import as_found, as_image, padded, pair


def _shaped(call, value, shape):
    """The same elements, in Keras's order, under another shape."""
    value = call.plain(value)
    shape = [int(each) for each in shape]
    if shape == list(value.shape):
        return value
    if value.shape[0] != 1 or shape[0] != 1:
        raise Refused("it joins or tears apart the samples of a batch")
    if len(shape) == 2:
        return call.add("flatten", value, shape=shape, dtype=value.dtype)
    if len(shape) == 1:
        raise Refused("it leaves one number per sample and no axis beside the batch")
    return call.add("reshape", value, shape=shape, dtype=value.dtype, to=shape[1:])


def _reshape(call):
    value = call.first()
    return _shaped(call, value, _filled(value, [1, *call.op.target_shape]))


def _filled(value, shape):
    """A shape whose -1 is what is left."""
    shape = [-1 if each is None else int(each) for each in shape]
    rest = math.prod(each for each in shape if each != -1)
    return [math.prod(value.shape) // rest if each == -1 else each for each in shape]


def _reshape_operation(call):
    """Where the batch is the first axis, and stays so; it is the number that is not known, -1 or None."""
    value, shape = call.first(), list(call.op.newshape)
    if isinstance(shape[0], call.reader.keras.KerasTensor) or shape[0] in (-1, None):
        return _shaped(call, value, _filled(value, [1, *shape[1:]]))
    raise Refused("its first axis is not the batch")


def _flatten(call):
    value = call.first()
    if getattr(call.op, "data_format", "channels_last") == "channels_first" and len(shape_in_keras(value)) > 2:
        raise Refused("it flattens channels_first; set data_format='channels_last'")
    return _shaped(call, value, [1, math.prod(value.shape)])


def _turned(call, value, axes):
    value = call.plain(value)
    if axes[0] != 0:
        raise Refused("it moves the batch to another axis")
    if list(axes) == list(range(len(axes))):
        return value
    return call.add("transpose", value, shape=[value.shape[axis] for axis in axes], dtype=value.dtype,
                    axes=[axis - 1 for axis in axes[1:]])


def _permute(call):
    return _turned(call, call.first(), [0, *call.op.dims])


def _transpose(call):
    value = call.first()
    rank = len(shape_in_keras(value))
    axes = call.op.axes
    return _turned(call, value, list(range(rank))[::-1] if axes is None else [axis % rank for axis in axes])


def _swapaxes(call):
    value = call.first()
    axes = list(range(len(shape_in_keras(value))))
    one, other = call.op.axis1 % len(axes), call.op.axis2 % len(axes)
    axes[one], axes[other] = axes[other], axes[one]
    return _turned(call, value, axes)


def _squeeze(call):
    value = call.plain(call.first())
    given = call.op.axis
    rank = len(value.shape)
    axes = [axis for axis in range(1, rank) if value.shape[axis] == 1] if given is None else [
        axis % rank for axis in ([given] if isinstance(given, int) else given)]
    return _shaped(call, value, [size for axis, size in enumerate(value.shape) if axis not in axes])


def _expand_dims(call):
    value = call.plain(call.first())
    axis = call.op.axis
    axis = axis[0] if isinstance(axis, (list, tuple)) else axis
    axis %= len(value.shape) + 1
    if axis == 0:
        raise Refused("it gives an axis before the batch")
    return _shaped(call, value, [*value.shape[:axis], 1, *value.shape[axis:]])


def _repeat_vector(call):
    value = call.first()
    features, count = value.shape[1], int(call.op.n)
    row = _shaped(call, value, [1, 1, features])
    return call.add("tile", row, shape=[1, count, features], times=[1, count, 1], name="repeated")


def joined(call, values, axis):
    """Values one after another along an axis that is counted as Keras does."""
    rank = len(shape_in_keras(values[0]))
    axis %= rank
    if axis == 0:
        raise Refused("it joins values along the batch")
    if len(values) == 1:
        return values[0]
    if any(each.rank is not None for each in values) and rank == 4:
        values = [call.image(each) for each in values]
        axis = {1: 2, 2: 3, 3: 1}[axis]
    else:
        values = [call.plain(each) for each in values]
    shape = list(values[0].shape)
    shape[axis] = sum(each.shape[axis] for each in values)
    image, dtype = values[0].rank, values[0].dtype
    if axis == 1 and rank in (2, 3, 4) and dtype == "float":
        return call.add("concat", *values, shape=shape, rank=image)
    return call.add("join", *values, shape=shape, rank=image, dtype=dtype, axis=axis)


def _concatenate(call):
    return joined(call, call.values(), call.op.axis)


def _stack(call):
    values = [call.plain(each) for each in call.values()]
    axis = call.op.axis % (len(values[0].shape) + 1)
    if axis == 0:
        raise Refused("it gives an axis before the batch")
    return joined(call, [_shaped(call, each, [*each.shape[:axis], 1, *each.shape[axis:]]) for each in values], axis)


def _split(call):
    value, given = call.plain(call.first()), call.op.indices_or_sections
    axis = call.op.axis % len(value.shape)
    if axis == 0:
        raise Refused("it splits the batch")
    size = value.shape[axis]
    bounds = [size * i // given for i in range(given + 1)] if isinstance(given, int) else [0, *map(int, given), size]
    sizes = np.diff(bounds).tolist()
    outputs = [([*value.shape[:axis], each, *value.shape[axis + 1:]], value.dtype, None) for each in sizes]
    if len(sizes) == 1:
        return [value]
    own = {} if len(set(sizes)) == 1 else {"sizes": sizes}
    return call.add_many("split", value, outputs=outputs, axis=axis, parts=len(sizes), **own)


def _sliced(call, value, axis, start, stop, name=None):
    if (start, stop) == (0, value.shape[axis]):
        return value
    shape = [*value.shape[:axis], stop - start, *value.shape[axis + 1:]]
    return call.add("slice", value, shape=shape, rank=value.rank, dtype=value.dtype, axis=axis, start=start,
                    stop=stop, name=name)


def _get_item(call):
    value, key = call.plain(call.first()), call["key"]
    key = list(key) if isinstance(key, (tuple, list)) else [key]
    if Ellipsis in key:
        place = key.index(Ellipsis)
        count = len(value.shape) - sum(each is not None for each in key) + 1
        key[place:place + 1] = [slice(None)] * count
    shape, axis = [], 0
    for each in key:
        if each is None:
            shape.append(1)
            continue
        size = value.shape[axis]
        if isinstance(each, slice):
            start, stop, step = each.indices(size)
            if axis == 0 and (each.start, each.stop, each.step) != (None, None, None):
                raise Refused("it takes a part of the batch")
            if step != 1:
                raise Refused("it takes every %d-th entry" % step)
        elif isinstance(each, int) and axis:
            start, stop = each % size, each % size + 1
        else:
            raise Refused("it takes entries by indices that are computed, or one sample of the batch")
        value = _sliced(call, value, axis, start, stop)
        if isinstance(each, slice):
            shape.append(stop - start)
        axis += 1
    return _shaped(call, value, [*shape, *value.shape[axis:]])


def _sides(given):
    """((top, bottom), (left, right)); of a sequence (before, after)."""
    return given if isinstance(given[0], (list, tuple)) else ((0, 0), tuple(given))


def _zero_padding(call):
    value = call.first()
    rows, columns = _sides(call.op.padding)
    image = as_image(call, value)
    found = padded(call, image, [rows[0], columns[0]], [rows[1], columns[1]])
    return as_found(call, found, value)


def _cropping(call):
    value = call.first()
    image = as_image(call, value)
    for axis, (before, after) in zip((2, 3), _sides(call.op.cropping)):
        image = _sliced(call, image, axis, before, image.shape[axis] - after)
    return as_found(call, image, value)


def _up_sampling(call):
    value, op = call.first(), call.op
    image = as_image(call, value)
    times = pair(op.size)
    mode = getattr(op, "interpolation", "nearest")
    if mode not in ("nearest", "bilinear"):
        raise Refused("it enlarges by '%s', and a graph by nearest or bilinear" % mode)
    size = [each * by for each, by in zip(image.shape[2:], times)]
    found = call.add("resize", image, shape=[1, image.shape[1], *size], rank=image.rank, size=size, mode=mode,
                     coordinates="half_pixel")
    return as_found(call, found, value)


def _resizing(call):
    value, op = call.first(), call.op
    unusual = op.crop_to_aspect_ratio or getattr(op, "pad_to_aspect_ratio", False) or getattr(op, "antialias", False)
    if op.interpolation not in ("nearest", "bilinear") or unusual:
        raise Refused("it resizes by '%s', or keeps an aspect ratio" % op.interpolation)
    image = as_image(call, value)
    size = [int(op.height), int(op.width)]
    found = call.add("resize", image, shape=[1, image.shape[1], *size], rank=image.rank, size=size,
                     mode=op.interpolation, coordinates="half_pixel")
    return as_found(call, found, value)


def _broadcast_to(call):
    given, shape = next(iter(call._arguments.values())), list(call.op.shape)
    if not call.is_shared(given):
        value = call.plain(call.value_of(given))
        times = [1, *(int(new) // old for new, old in zip(shape[1:], value.shape[1:]))]
        return call.add("tile", value, shape=[1, *map(int, shape[1:])], times=times)
    raise Refused("it repeats a value that all samples share for each sample")


def _tile(call):
    value, times = call.plain(call.first()), [int(each) for each in np.atleast_1d(call.op.repeats)]
    if len(times) != len(value.shape) or times[0] != 1:
        raise Refused("it repeats samples of the batch, or has fewer numbers than axes")
    return call.add("tile", value, shape=[size * by for size, by in zip(value.shape, times)], times=times)


LAYERS = {
    "Reshape": _reshape,
    "Flatten": _flatten,
    "Permute": _permute,
    "RepeatVector": _repeat_vector,
    "Concatenate": _concatenate,
    **dict.fromkeys(("ZeroPadding1D", "ZeroPadding2D"), _zero_padding),
    **dict.fromkeys(("Cropping1D", "Cropping2D"), _cropping),
    **dict.fromkeys(("UpSampling1D", "UpSampling2D"), _up_sampling),
    "Resizing": _resizing,
}
OPERATIONS = {
    "Reshape": _reshape_operation,
    "Transpose": _transpose,
    "Swapaxes": _swapaxes,
    "Squeeze": _squeeze,
    "ExpandDims": _expand_dims,
    "Concatenate": _concatenate,
    "Stack": _stack,
    "Split": _split,
    "GetItem": _get_item,
    "BroadcastTo": _broadcast_to,
    "Tile": _tile,
}
