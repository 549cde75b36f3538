"""Images at another size, and regions of them."""

import numpy as np

from ..._resampling import nearest, shares


def _resize(run, layer, weights, x):
    a, (_, *old) = layer["attributes"], layer["input_shapes"][0]
    axes = (1, 2) if run.layout.is_channels_last else (2, 3)
    if a["mode"] != "nearest":                   # as jax.image.resize, which knows half_pixel only, and another cubic
        rows, columns = (run.np.asarray(matrix, x.dtype) for matrix in shares(layer))
        way = "ph,qw,nhwc->npqc" if run.layout.is_channels_last else "ph,qw,nchw->ncpq"
        return run.np.einsum(way, rows, columns, x)
    for axis, size, new in zip(axes, old, a["size"]):
        if new % size == 0:
            x = run.np.repeat(x, new // size, axis)
        else:
            x = run.np.take(x, np.array(nearest(size, new, a["coordinates"])), axis)
    return x


def _roi_align(run, layer, weights, x, boxes):
    """Four gathers, since JAX has no such call."""
    a, (channels, *sizes) = layer["attributes"], layer["input_shapes"][0]
    regions, samples = layer["input_shapes"][1][0], a["samples"]
    boxes = run.lax.stop_gradient(boxes).astype(run.np.promote_types(boxes.dtype, "float32"))

    def shares(axis):
        """[(which pixels, (batch, regions, samples), their share)] of the lower and the upper neighbours."""
        low, high = (boxes[..., side] * a["scale"] - 0.5 * a["aligned"] for side in (1 - axis, 3 - axis))
        length = high - low if a["aligned"] else run.np.maximum(high - low, 1)
        count, size = a["size"][axis] * samples, sizes[axis]
        steps = run.np.asarray((np.arange(count) + 0.5) / count, boxes.dtype)
        place = low[..., None] + length[..., None] * steps
        is_inside = (place >= -1) & (place <= size)
        place = place.clip(0, size - 1)
        lower = run.np.floor(place).astype("int32")
        part = place - lower
        return [(lower, is_inside * (1 - part)), (run.np.minimum(lower + 1, size - 1), is_inside * part)]

    pixels, total = x.reshape(len(x), channels, -1), 0
    columns = shares(1)
    for row, of_row in shares(0):
        for column, of_column in columns:
            places = row[..., None] * sizes[1] + column[..., None, :]
            taken = run.jax.vmap(lambda image, chosen: image[:, chosen])(pixels, places)
            share = (of_row[..., None] * of_column[..., None, :]).astype(x.dtype)
            total = total + taken * share[:, None]
    total = total.reshape(len(x), channels, regions, a["size"][0], samples, a["size"][1], samples)
    return total.mean((4, 6)).swapaxes(1, 2)


LOWERINGS = {
    "resize": _resize,
    "roi_align": _roi_align,
}
