"""Images at another size, and regions of them."""

import numpy as np

from ..._resampling import nearest, shares


def _resize(tf, layer):
    a, (_, *old) = layer["attributes"], layer["input_shapes"][0]
    is_half = a["coordinates"] == "half_pixel"
    if a["mode"] == "nearest" and layer["is_xla"]:
        taken = [nearest(*sides, a["coordinates"]) for sides in zip(old, a["size"])]
        return lambda run, x: tf.gather(tf.gather(x, taken[0], axis=1), taken[1], axis=2)
    if a["mode"] == "nearest":
        return lambda run, x: tf.raw_ops.ResizeNearestNeighbor(images=x, size=a["size"], half_pixel_centers=is_half)
    if a["mode"] == "bilinear" and not layer["is_xla"] and not layer["is_fp64"]:     # it answers in fp32
        return lambda run, x: tf.cast(tf.raw_ops.ResizeBilinear(
            images=x, size=a["size"], align_corners=a["coordinates"] == "align_corners", half_pixel_centers=is_half,
        ), x.dtype)
    rows, columns = shares(layer)                # TensorFlow's own cubic is another one

    def forward(run, x):
        along_rows = tf.einsum("ph,nhwc->npwc", tf.constant(rows, x.dtype), x)
        return tf.einsum("qw,npwc->npqc", tf.constant(columns, x.dtype), along_rows)

    return forward


def _roi_align(tf, layer):
    """Four gathers: TensorFlow's crop_and_resize takes one sample of each part, at other places."""
    a, (channels, *sizes) = layer["attributes"], layer["input_shapes"][0]
    regions, samples = layer["input_shapes"][1][0], a["samples"]

    def shares(boxes, axis):
        """[(which pixels, (batch, regions, samples), their share)] of the lower and the upper neighbours."""
        low, high = (boxes[..., side] * a["scale"] - 0.5 * a["aligned"] for side in (1 - axis, 3 - axis))
        length = high - low if a["aligned"] else tf.maximum(high - low, 1)
        count, size = a["size"][axis] * samples, sizes[axis]
        steps = tf.constant((np.arange(count) + 0.5) / count, boxes.dtype)
        place = low[..., None] + length[..., None] * steps
        is_inside = tf.cast((place >= -1) & (place <= size), boxes.dtype)
        place = tf.clip_by_value(place, 0, size - 1)
        lower = tf.floor(place)
        part, lower = place - lower, tf.cast(lower, tf.int32)
        return [(lower, is_inside * (1 - part)), (tf.minimum(lower + 1, size - 1), is_inside * part)]

    def forward(run, x, boxes):
        boxes = tf.stop_gradient(boxes)
        boxes = boxes if boxes.dtype == tf.float64 else tf.cast(boxes, tf.float32)
        pixels, total = tf.reshape(x, (-1, channels, sizes[0] * sizes[1])), 0
        columns = shares(boxes, 1)
        for row, of_row in shares(boxes, 0):
            for column, of_column in columns:
                places = row[..., None] * sizes[1] + column[..., None, :]
                share = tf.cast(of_row[..., None] * of_column[..., None, :], x.dtype)
                total = total + tf.gather(pixels, places, axis=2, batch_dims=1) * share[:, None]
        total = tf.reshape(total, (-1, channels, regions, a["size"][0], samples, a["size"][1], samples))
        return tf.transpose(tf.reduce_mean(total, (4, 6)), (0, 2, 1, 3, 4))

    return forward


LOWERINGS = {
    "resize": _resize,
    "roi_align": _roi_align,
}
