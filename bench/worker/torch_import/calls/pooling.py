"""Windows that slide over images."""

from ..user import Refused
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
    if rows or columns:
        pads = [padding[1], padding[1] + columns, padding[0], padding[0] + rows]
        shape = [*x.shape[:2], x.shape[2] + pads[2] + pads[3], x.shape[3] + pads[0] + pads[1]]
        x = _padded(call, x, pads, "constant", float("-inf"), (shape, x.batch, x.dtype))
        padding = [0, 0]
    found = call.add("max_pool", x, kernel=kernel, stride=stride, padding=padding)
    return [found, None] if len(call.results) == 2 else found


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
        raise Refused("it makes %s of %s, by windows of different sizes; give it an image whose sizes divide" % (
            tuple(wanted), tuple(sizes)))
    kernel = [size // want for size, want in zip(sizes, wanted)]
    return call.add("avg_pool", x, kernel=kernel, stride=kernel, padding=[0, 0], count_include_pad=True)


CALLS = {
    **dict.fromkeys(("max_pool2d", "max_pool2d_with_indices"), _max_pool),
    "avg_pool2d": _avg_pool,
    **dict.fromkeys(("adaptive_avg_pool2d", "adaptive_avg_pool1d"), _adaptive_avg_pool),
}
