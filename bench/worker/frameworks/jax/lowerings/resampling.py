"""Images at another size."""

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


LOWERINGS = {
    "resize": _resize,
}
