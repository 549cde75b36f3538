"""Rows chosen by their index."""

from ._base import wide_float


def _embedding(tf, layer):
    return lambda run, x, weight: tf.gather(weight, x)


def _gather(tf, layer):
    a = layer["attributes"]
    return lambda run, x: tf.gather(x, a["indices"], axis=a["axis"])


def _one_hot(tf, layer):
    depth, dtype = layer["attributes"]["depth"], wide_float(tf, layer)
    return lambda run, x: tf.one_hot(x, depth, dtype=dtype)


def _gather_elements(tf, layer):
    """Rows of the axis as the last one, since tf.gather's batch stands in front."""
    rank = len(layer["outputs"][0]["shape"])
    axis = layer["attributes"]["axis"] % rank
    order = [*(each for each in range(rank) if each != axis), axis]
    back = [order.index(each) for each in range(rank)]

    def forward(run, x, indices):
        x, indices = tf.transpose(x, order), tf.transpose(indices, order)
        return tf.transpose(tf.gather(x, indices, batch_dims=rank - 1), back)

    return forward


def _embedding_bag(tf, layer):
    reduce = tf.reduce_mean if layer["attributes"]["mean"] else tf.reduce_sum
    return lambda run, x, weight: reduce(tf.gather(weight, x), -2)


def _scatter_add(tf, layer):
    axis = layer["attributes"]["axis"] % len(layer["outputs"][0]["shape"])

    def forward(run, x, indices, values):
        places = list(tf.meshgrid(*(tf.range(size, dtype=indices.dtype) for size in indices.shape), indexing="ij"))
        places[axis] = indices
        return tf.tensor_scatter_nd_add(x, tf.stack(places, -1), values)

    return forward


LOWERINGS = {
    "embedding": _embedding,
    "gather": _gather,
    "one_hot": _one_hot,
    "gather_elements": _gather_elements,
    "embedding_bag": _embedding_bag,
    "scatter_add": _scatter_add,
}
