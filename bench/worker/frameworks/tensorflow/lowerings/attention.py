"""Softmax and attention."""

import math

from ..._arrangement import angles


def _softmax(tf, layer):
    return lambda run, x: tf.nn.softmax(x)


def _log_softmax(tf, layer):
    return lambda run, x: tf.nn.log_softmax(x)


def _attention(tf, layer):
    """TensorFlow has no fused operation."""
    heads, steps, features = layer["input_shapes"][0][1:]
    is_causal, scale = layer["attributes"]["causal"], layer["attributes"].get("scale", 1 / math.sqrt(features))
    served = heads // layer["input_shapes"][1][1]        # heads of the query for each of the key

    def forward(run, query, key, value, mask=None):
        if served > 1:
            key, value = (tf.repeat(x, served, axis=1) for x in (key, value))
        scores = tf.matmul(query * tf.constant(scale, query.dtype), key, transpose_b=True)
        if scores.dtype.size < 4:
            scores = tf.cast(scores, tf.float32)
        if is_causal:
            mask = tf.linalg.band_part(tf.ones([steps, steps], tf.bool), -1, 0)
        if mask is not None:
            # Not infinity, which has no gradient if everything is masked.
            scores = (tf.where(mask, scores, scores.dtype.min) if mask.dtype == tf.bool
                      else scores + tf.cast(mask, scores.dtype))
        return tf.matmul(tf.cast(tf.nn.softmax(scores), value.dtype), value)

    return forward


def _rotary(tf, layer):
    cos, sin = angles(layer)
    is_interleaved, shape = layer["attributes"]["interleaved"], layer["outputs"][0]["shape"]

    def forward(run, x):
        first, second = (x[..., ::2], x[..., 1::2]) if is_interleaved else tf.split(x, 2, -1)
        c, s = tf.constant(cos, x.dtype), tf.constant(sin, x.dtype)
        turned = first * c - second * s, second * c + first * s
        if not is_interleaved:
            return tf.concat(turned, -1)
        return tf.reshape(tf.stack(turned, -1), [*x.shape[:-1], shape[-1]])

    return forward


LOWERINGS = {
    "softmax": _softmax,
    "log_softmax": _log_softmax,
    "attention": _attention,
    "rotary": _rotary,
}
