"""The same elements in another shape or order."""

import math

import numpy as np

from ...user_code import Refused


def _view(call):
    x, (shape, batch, _) = call.rows, call.result
    if batch == 0 and x.batch is not None and len(shape) > 1:
        count = max(x.batch + 1, x.folded)
        while count < len(x.shape) and math.prod(x.shape[:count]) < shape[0]:
            count += 1
        if count > 1 and math.prod(x.shape[:count]) == shape[0] and x.batch < count:
            folded = call.regrouped(x, [*x.shape[:count], *shape[1:]], x.batch)
            return folded._replace(folded=count)
    return call.regrouped(x, shape, batch)


def _transpose(call):
    x = call.subject
    axes = list(range(len(x.shape)))
    one, other = (call.get("dim" + each, call.get("axis" + each)) % len(axes) for each in "01")
    axes[one], axes[other] = other, one
    return call.permuted(x, axes)


def _turned(call):
    x = call.subject
    return call.permuted(x, range(len(x.shape))[::-1])


def _permute(call):
    x = call.subject
    return call.permuted(x, [axis % len(x.shape) for axis in call["dims"]])


def _expand(call):
    shape, batch, _ = call.result
    return _spread(call, call.subject, shape, batch)


def _spread(call, x, shape, batch):
    """The value repeated along axes where it has a size of 1, and once for each sample where it is one for all."""
    if (list(x.shape), x.batch) == (list(shape), batch):
        return x
    value = call.regrouped(x, [1] * (len(shape) - len(x.shape)) + list(x.shape),
                           None if x.batch is None else x.batch + len(shape) - len(x.shape))
    times = [new // old for new, old in zip(shape, value.shape)]
    if any(times_of != 1 for times_of in times):
        like = ([size * times_of for size, times_of in zip(value.shape, times)], value.batch, value.dtype)
        value = call.add("tile", value, like=like, times=times)
    if value.batch == batch:
        return value
    order = [batch, *(axis for axis in range(len(shape)) if axis != batch)]
    first = call.expanded(call.permuted(value, order))
    return call.permuted(first, [order.index(axis) for axis in range(len(shape))])


def _repeat(call):
    x, (shape, batch, _) = call.subject, call.result
    if x.batch is None and batch is not None:
        return _expand(call)
    value = call.regrouped(x, [1] * (len(shape) - len(x.shape)) + list(x.shape),
                           None if x.batch is None else x.batch + len(shape) - len(x.shape))
    times = [new // old for new, old in zip(shape, value.shape)]
    return value if set(times) == {1} else call.add("tile", value, times=times)


def _concat(call):
    values = [call.value_of(each) for each in call["tensors"]]
    shape, batch, dtype = call.result
    axis = call.get("dim", 0) % len(shape)
    if axis == batch:
        raise Refused("it joins values along the batch")
    values = [call.expanded(each) if each.batch is None and batch == 0 else each for each in values]
    return _joined(call, values, axis, (shape, batch, dtype))


def _joined(call, values, axis, like):
    shape, batch, dtype = like
    if len(values) == 1:
        return values[0]
    if batch == 0 and shape[0] == 1 and axis == 1 and len(shape) in (2, 3, 4) and dtype == "float":
        return call.add("concat", *values, like=like)
    return call.add("join", *values, like=like, axis=axis)


def _stack(call):
    like = call.result
    axis = call["dim"] % len(like[0])
    values = []
    for each in call["tensors"]:
        value = call.value_of(each)
        shape = [*value.shape[:axis], 1, *value.shape[axis:]]
        batch = None if value.batch is None else value.batch + (axis <= value.batch)
        values.append(call.regrouped(value, shape, batch))
    return _joined(call, values, axis, like)


def _split(call):
    x, outputs = call.subject, call.results
    axis = call["dim"] % len(x.shape)
    if axis == x.batch:
        raise Refused("it splits the batch")
    sizes = [shape[axis] for shape, _, _ in outputs]
    if len(sizes) == 1:
        return [x]
    if len(set(sizes)) == 1:
        return call.add_many("split", x, outputs=outputs, axis=axis, parts=len(sizes))
    starts = [sum(sizes[:index]) for index in range(len(sizes))]
    return [call.add("slice", x, like=like, axis=axis, start=start, stop=start + size)
            if call.is_used(index) else None
            for index, (like, start, size) in enumerate(zip(outputs, starts, sizes))]


def _unbind(call):
    x = call.subject
    axis = call["dim"] % len(x.shape)
    if axis == x.batch:
        raise Refused("it splits the batch")
    kept = [*x.shape[:axis], 1, *x.shape[axis + 1:]]
    parts = call.add_many("split", x, outputs=[(kept, x.batch, x.dtype)] * x.shape[axis], axis=axis,
                          parts=x.shape[axis]) if x.shape[axis] > 1 else [x]
    return [call.regrouped(part, shape, batch) for part, (shape, batch, _) in zip(parts, call.results)]


def _select(call):
    x, (shape, batch, _) = call.subject, call.result
    axis = call["dim"] % len(x.shape)
    if axis == x.batch:
        raise Refused("it takes one sample of the batch")
    start = call["index"] % x.shape[axis]
    return call.regrouped(_sliced(call, x, axis, range(start, start + 1)), shape, batch)


def _slice(call):
    x = call.subject
    axis = call["dim"] % len(x.shape)
    if axis == x.batch:
        if call.result[0] != x.shape or call.get("start") not in (None, 0) or call["step"] != 1:
            raise Refused("it takes a part of the batch")
        return x
    bounds = [call.known_of(each) if each is not None else None for each in (call.get("start"), call.get("end"))]
    start, stop = (None if each is None else int(each.reshape(-1)[0]) for each in bounds)
    return _sliced(call, x, axis, range(*slice(start, stop, call["step"]).indices(x.shape[axis])))


def _narrow(call):
    x = call.subject
    axis = call["dim"] % len(x.shape)
    start = int(call.known("start").reshape(-1)[0]) % x.shape[axis]
    return _sliced(call, x, axis, range(start, start + call.result[0][axis]))


def _sliced(call, x, axis, entries):
    """Those entries of an axis."""
    if list(entries) == list(range(x.shape[axis])):
        return x
    like = ([*x.shape[:axis], len(entries), *x.shape[axis + 1:]], x.batch, x.dtype)
    if entries.step == 1:
        return call.add("slice", x, like=like, axis=axis, start=entries.start, stop=entries.stop)
    return call.add("gather", x, like=like, axis=axis, indices=list(entries))


def _gathered(call, x, axis, indices):
    like = ([*x.shape[:axis], len(indices), *x.shape[axis + 1:]], x.batch, x.dtype)
    return call.add("gather", x, like=like, axis=axis, indices=[int(each) for each in indices])


def _flip(call):
    x = call.subject
    for axis in (each % len(x.shape) for each in call["dims"]):
        if axis == x.batch:
            raise Refused("it turns the batch around")
        x = _gathered(call, x, axis, range(x.shape[axis])[::-1])
    return x


def _roll(call):
    x = call.subject
    for shift, axis in zip(call["shifts"], call["dims"]):
        size = x.shape[axis % len(x.shape)]
        x = _gathered(call, x, axis % len(x.shape), [(index - shift) % size for index in range(size)])
    return x


def _index(call):
    """x[indices], x[:, one, other] and x[samples, indices], by indices that are part of the network."""
    places = call["indices"]
    given = [axis for axis, each in enumerate(places) if each is not None]
    x, (shape, batch, _) = call.subject, call.result
    if given != list(range(given[0], given[-1] + 1)):
        raise Refused("it takes entries by indices of axes that do not lie side by side")
    axes = [axis for axis in given if axis != x.batch]
    if len(axes) < len(given) and not call.counts_samples(places[x.batch]):
        raise Refused("it takes samples of the batch by indices")
    known = [call.known_of(places[axis]) for axis in axes]
    if any(each is None for each in known):
        raise Refused("it takes entries by indices that are computed")
    if any(each.dtype.kind not in "iu" for each in known):
        raise Refused("it takes entries by bools; multiply by them, or use torch.where")
    if not axes:
        return call.regrouped(x, shape, batch)
    sizes = [x.shape[axis] for axis in axes]
    whole = np.broadcast_arrays(*[each % size for each, size in zip(known, sizes)])
    flat = np.ravel_multi_index([each.reshape(-1) for each in whole], sizes)
    merged = call.regrouped(x, [*x.shape[:axes[0]], math.prod(sizes), *x.shape[axes[-1] + 1:]],
                            x.batch if x.batch is None or x.batch < axes[0] else x.batch - len(axes) + 1)
    return call.regrouped(_gathered(call, merged, axes[0], flat), shape, batch)


def _index_select(call):
    indices = call.known("index")
    if indices is None:
        raise Refused("it takes entries by indices that are computed")
    x = call.subject
    return _gathered(call, x, call["dim"] % len(x.shape), indices.reshape(-1))


def _pad(call):
    x, pads = call.subject, list(call["pad"])
    mode = {"replicate": "edge"}.get(call.get("mode", "constant"), call.get("mode", "constant"))
    return _padded(call, x, pads, mode, float(call.get("value") or 0.0), call.result)


def _padded(call, x, pads, mode, value, like):
    """``pads`` as torch has them, (before, after) of the last axis first; negative ones cut."""
    before, after = [0] * len(x.shape), [0] * len(x.shape)
    for index in range(len(pads) // 2):
        before[-1 - index], after[-1 - index] = pads[2 * index:2 * index + 2]
    for axis, (first, last) in enumerate(zip(before, after)):
        if first < 0 or last < 0:
            x = _sliced(call, x, axis, range(max(0, -first), x.shape[axis] + min(0, last)))
    before, after = ([max(0, each) for each in pair] for pair in (before, after))
    if not any(before) and not any(after):
        return x
    return call.add("pad", x, like=like, before=before, after=after, mode=mode, value=value)


def _constant_pad(call):
    return _padded(call, call.subject, list(call["pad"]), "constant", float(call["value"]), call.result)


def _moved_axes(call):
    x = call.subject
    rank = len(x.shape)
    one, other = ([axis % rank for axis in (each if isinstance(each, (list, tuple)) else [each])]
                  for each in (call["source"], call["destination"]))
    order = [axis for axis in range(rank) if axis not in one]
    for place, axis in sorted(zip(other, one)):
        order.insert(place, axis)
    return call.permuted(x, order)


def _repeated_entries(call):
    times, axis = call.known("repeats"), call.get("dim")
    x = call.subject
    if times is None or axis is None or axis % len(x.shape) == x.batch:
        raise Refused("it repeats so often as is computed, or entries of all axes or of the batch")
    return _gathered(call, x, axis % len(x.shape), np.repeat(np.arange(x.shape[axis]), times.reshape(-1)))


def _regrouped_image(call, parts, order, shape):
    """An image whose axes are divided into ``parts``, brought into another order and joined to ``shape``."""
    x = call.subject
    return call.regrouped(call.permuted(call.regrouped(x, parts, x.batch), order), shape, x.batch)


def _pixel_shuffle(call):
    times, (rows, channels, height, width) = call["upscale_factor"], call.subject.shape
    channels //= times ** 2
    return _regrouped_image(call, [rows, channels, times, times, height, width], [0, 1, 4, 2, 5, 3],
                            [rows, channels, height * times, width * times])


def _pixel_unshuffle(call):
    times, (rows, channels, height, width) = call["downscale_factor"], call.subject.shape
    height, width = height // times, width // times
    return _regrouped_image(call, [rows, channels, height, times, width, times], [0, 1, 3, 5, 2, 4],
                            [rows, channels * times ** 2, height, width])


def _channel_shuffle(call):
    groups, (rows, channels, *size) = call["groups"], call.subject.shape
    order = [0, 2, 1, *range(3, 3 + len(size))]
    return _regrouped_image(call, [rows, groups, channels // groups, *size], order, [rows, channels, *size])


def _triangle(keep):
    """The part of a matrix on one side of its diagonal, else 0."""
    def lower(call):
        x = call.subject
        kept = keep(np.ones(x.shape[-2:], bool), call["diagonal"])
        return call.add("where", call.constant(kept), x, call.constant(0.0))
    return lower


def _copied(call):
    """What is written over all of the subject."""
    source, (shape, batch, dtype) = call.value("src"), call.result
    if source.dtype != dtype:
        source = call.add("cast", source, like=(source.shape, source.batch, dtype), to=dtype)
    return _spread(call, source, shape, batch)


def _filled(call):
    shape, batch, dtype = call.result
    number = np.asarray(call.known("value") if call.get("value") is not None else [0]).reshape(-1)[0]
    return _spread(call, call.regrouped(call.as_kind(number.item(), dtype), [1] * len(shape), None), shape, batch)


def _slice_written(call, part):
    """The value of which ``call`` shows a slice, once that slice is ``part``."""
    x = call.subject
    axis = call["dim"] % len(x.shape)
    if axis == x.batch:
        return part
    start, stop = (None if call.get(each) is None else int(call.known(each).reshape(-1)[0])
                   for each in ("start", "end"))
    return _written(call, x, axis, range(*slice(start, stop, call["step"]).indices(x.shape[axis])), part)


def _select_written(call, part):
    x = call.subject
    axis = call["dim"] % len(x.shape)
    if axis == x.batch:
        raise Refused("it writes into one sample of the batch")
    start, batch = call["index"] % x.shape[axis], part.batch
    shape = [*part.shape[:axis], 1, *part.shape[axis:]]
    part = call.regrouped(part, shape, None if batch is None else batch + (axis <= batch))
    return _written(call, x, axis, range(start, start + 1), part)


def _written(call, x, axis, entries, part):
    if entries.step != 1:
        raise Refused("it writes into a part of steps above 1")
    size, (shape, batch, dtype) = x.shape[axis], call.traced("self")
    x, part = (_spread(call, each, [*shape[:axis], each.shape[axis], *shape[axis + 1:]], batch) for each in (x, part))
    if part.dtype != dtype:
        raise Refused("it writes %s into %s" % (part.dtype, dtype))
    parts = [_sliced(call, x, axis, range(entries.start))] if entries.start else []
    parts += [part] + ([_sliced(call, x, axis, range(entries.stop, size))] if entries.stop < size else [])
    return _joined(call, parts, axis, (shape, batch, dtype))


PARTS = {
    "slice": _slice_written,
    "select": _select_written,
    **dict.fromkeys(("alias", "detach", "lift_fresh_copy"), lambda call, part: part),
}

CALLS = {
    **dict.fromkeys((
        "view", "reshape", "_unsafe_view", "flatten", "unflatten", "unsqueeze", "squeeze", "view_as", "reshape_as",
    ), _view),
    **dict.fromkeys(("transpose", "swapaxes", "swapdims"), _transpose),
    **dict.fromkeys(("t", "numpy_T"), _turned),
    "permute": _permute,
    **dict.fromkeys(("expand", "expand_as"), _expand),
    "repeat": _repeat,
    **dict.fromkeys(("cat", "concat"), _concat),
    "stack": _stack,
    **dict.fromkeys(("split", "split_with_sizes", "chunk", "tensor_split"), _split),
    "unbind": _unbind,
    "select": _select,
    "slice": _slice,
    "narrow": _narrow,
    "flip": _flip,
    "roll": _roll,
    "index_select": _index_select,
    "pad": _pad,
    **dict.fromkeys(("movedim", "moveaxis"), _moved_axes),
    "repeat_interleave": _repeated_entries,
    "pixel_shuffle": _pixel_shuffle,
    "pixel_unshuffle": _pixel_unshuffle,
    "channel_shuffle": _channel_shuffle,
    "tril": _triangle(np.tril),
    "triu": _triangle(np.triu),
    "copy": _copied,
    **dict.fromkeys(("fill", "zero"), _filled),
    "constant_pad_nd": _constant_pad,
}
