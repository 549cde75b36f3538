"""Rows chosen by their index."""


def _embedding(tf, layer):
    return lambda run, x, weight: tf.gather(weight, x)


def _gather(tf, layer):
    a = layer["attributes"]
    return lambda run, x: tf.gather(x, a["indices"], axis=a["axis"])


LOWERINGS = {
    "embedding": _embedding,
    "gather": _gather,
}
