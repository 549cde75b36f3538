"""Images at another size."""

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


LOWERINGS = {
    "resize": _resize,
}
