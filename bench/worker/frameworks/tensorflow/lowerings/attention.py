"""Softmax and attention."""

import math


def _softmax(tf, layer):
    return lambda run, x: tf.nn.softmax(x)


def _log_softmax(tf, layer):
    return lambda run, x: tf.nn.log_softmax(x)


def _attention(tf, layer):
    """TensorFlow has no fused operation."""
    steps, features = layer["input_shapes"][0][2:]
    is_causal = layer["attributes"]["causal"]

    def forward(run, query, key, value, mask=None):
        scores = tf.matmul(query * tf.constant(1 / math.sqrt(features), query.dtype), key, transpose_b=True)
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


LOWERINGS = {
    "softmax": _softmax,
    "log_softmax": _log_softmax,
    "attention": _attention,
}
