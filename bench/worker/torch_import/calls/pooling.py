"""Windows that slide over images."""

import numpy as np

from ...user_code import Refused
from .arrangement import _padded


def _pair(value):
    value = [int(each) for each in (value if isinstance(value, (list, tuple)) else [value])]
    return value * 2 if len(value) == 1 else value


def _sizes(call):
    kernel = _pair(call["kernel_size"])
    return kernel, _pair(call["stride"] or kernel), _pair(call["padding"])


def _beyond(call, x):
    """Rows and columns behind the image that windows rounded up reach into."""
    kernel, stride, padding = _sizes(call)
    sizes, found = x.shape[2:], call.result[0][2:]
    return [max(0, (out - 1) * s + k - size - 2 * p) for out, s, k, size, p in zip(
        found, stride, kernel, sizes, padding)] if call.get("ceil_mode") else [0, 0]


def _max_pool(call):
    kernel, stride, padding = _sizes(call)
    if _pair(call["dilation"]) != [1, 1]:
        raise Refused("its window is dilated")
    x = call.subject
    rows, columns = _beyond(call, x)
    settings = {"kernel": kernel, "stride": stride, "padding": padding}
    if call.has_several and call.is_used(1):
        if rows or columns:
            raise Refused("it rounds sizes up (ceil_mode) over the edge, and tells where its largest numbers were")
        return call.add_many("max_pool", x, outputs=call.results, indices=True, **settings)
    if rows or columns:
        pads = [padding[1], padding[1] + columns, padding[0], padding[0] + rows]
        shape = [*x.shape[:2], x.shape[2] + pads[2] + pads[3], x.shape[3] + pads[0] + pads[1]]
        x = _padded(call, x, pads, "constant", float("-inf"), (shape, x.batch, x.dtype))
        settings["padding"] = [0, 0]
    found = call.add("max_pool", x, like=call.result, **settings)
    return [found, None] if call.has_several else found


def _max_unpool(call):
    return call.add("max_unpool", call.subject, call.value("indices"), size=list(call.result[0][2:]))


def _of_sequence(op):
    """Of a sequence, as an image of one row."""
    def lower(call):
        x, (shape, batch, dtype) = call.subject, call.result
        (kernel,), (padding,) = (_pair(call[name])[:1] for name in ("kernel_size", "padding"))
        (stride,) = _pair(call["stride"] or kernel)[:1]
        if call["ceil_mode"] or call.get("dilation", [1]) not in (1, [1]):
            raise Refused("its window is dilated, or it rounds sizes up (ceil_mode)")
        more = {"count_include_pad": bool(call["count_include_pad"])} if op == "avg_pool" else {}
        row = call.regrouped(x, [*x.shape[:2], 1, x.shape[2]], x.batch)
        found = call.add(op, row, like=([*shape[:2], 1, shape[2]], batch, dtype), kernel=[1, kernel],
                         stride=[1, stride], padding=[0, padding], **more)
        return call.regrouped(found, shape, batch)
    return lower


def _avg_pool(call):
    kernel, stride, padding = _sizes(call)
    x = call.subject
    if any(_beyond(call, x)) or call.get("divisor_override") is not None:
        raise Refused("it rounds sizes up (ceil_mode) over the edge, or has a divisor of its own")
    return call.add("avg_pool", x, kernel=kernel, stride=stride, padding=padding,
                    count_include_pad=bool(call["count_include_pad"]))


def _adaptive_avg_pool(call):
    x, (shape, _, _) = call.subject, call.result
    sizes, wanted = x.shape[2:], shape[2:]
    if sizes == wanted:
        return x
    if set(wanted) == {1}:
        return call.add("reduce_mean", x, axes=list(range(2, len(shape))), keep=True)
    if len(sizes) != 2 or any(size % want for size, want in zip(sizes, wanted)):
        return _averaged(call, x, wanted)
    kernel = [size // want for size, want in zip(sizes, wanted)]
    return call.add("avg_pool", x, kernel=kernel, stride=kernel, padding=[0, 0], count_include_pad=True)


def _averaged(call, x, wanted):
    """By windows of different sizes, as torch lays them: a product with a constant matrix for each axis."""
    call.note("adaptive pooling of %s to %s by windows of different sizes is computed as matrix products" % (
        tuple(x.shape[2:]), tuple(wanted)))
    shares = [call.constant(_shares(size, want)) for size, want in zip(x.shape[2:], wanted)]
    if len(wanted) == 1:
        return call.add("matmul", x, call.permuted(shares[0], [1, 0]))
    rows = call.add("matmul", shares[0], x, like=([*x.shape[:2], wanted[0], x.shape[3]], x.batch, x.dtype))
    return call.add("matmul", rows, call.permuted(shares[1], [1, 0]))


def _shares(size, new):
    """(new, size): the part of each entry in the mean that each of the new ones is."""
    matrix = np.zeros((new, size), np.float32)
    for place in range(new):
        first, last = place * size // new, -(-(place + 1) * size // new)
        matrix[place, first:last] = 1 / (last - first)
    return matrix


def _adaptive_max_pool(call):
    x, wanted = call.subject, call.result[0][2:]
    sizes = x.shape[2:]
    if call.is_used(1) or any(size % want for size, want in zip(sizes, wanted)):
        raise Refused("it makes %s of %s, by windows of different sizes, or tells where the largest numbers were" % (
            tuple(wanted), tuple(sizes)))
    kernel = [size // want for size, want in zip(sizes, wanted)]
    return [call.add("max_pool", x, kernel=kernel, stride=kernel, padding=[0, 0]), None]


CALLS = {
    "max_unpool2d": _max_unpool,
    "max_pool1d": _of_sequence("max_pool"),
    "avg_pool1d": _of_sequence("avg_pool"),
    "adaptive_max_pool2d": _adaptive_max_pool,
    **dict.fromkeys(("max_pool2d", "max_pool2d_with_indices"), _max_pool),
    "avg_pool2d": _avg_pool,
    **dict.fromkeys(("adaptive_avg_pool2d", "adaptive_avg_pool1d"), _adaptive_avg_pool),
}
