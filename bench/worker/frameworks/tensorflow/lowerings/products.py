"""Matrix products."""

from ._base import plus_bias


def _dense(tf, layer):
    shape = layer["input_shapes"][0]
    output_shape = [-1, *layer["output_shape"]]
    is_shared = layer["is_shared"]

    def forward(run, x, weight, bias=None):
        y = tf.matmul(x, weight, transpose_b=is_shared)
        return y if bias is None else plus_bias(tf, y, bias)

    def forward_sequence(run, x, **parameters):
        return tf.reshape(forward(run, tf.reshape(x, [-1, shape[-1]]), **parameters), output_shape)

    return forward if len(shape) == 1 else forward_sequence


def _matmul(tf, layer):
    return lambda run, left, right: tf.matmul(left, right)


LOWERINGS = {
    "dense": _dense,
    "matmul": _matmul,
}
