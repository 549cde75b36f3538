"""Normalisation by statistics of a batch, of channels or of features."""


def _batch_norm(tf, layer):
    if layer["is_fp64"]:
        return _composed_batch_norm(tf, layer)                   # the fused operation has no kernel for it
    a, keys = layer["attributes"], {p["name"]: p["key"] for p in layer["parameters"]}
    is_vector = len(layer["input_shapes"][0]) == 1

    def forward(run, x, gamma, beta, mean, variance):
        if is_vector:
            x = x[:, None, None, :]
        old = _so_far(run, keys, mean, variance)
        if run.is_training and a["momentum"] == 1:
            old = ([], [])                                       # it rejects statistics that it would ignore
        # The public function raises epsilon to 1.001e-5.
        norm = tf.raw_ops.FusedBatchNormV3(
            x=x, scale=gamma, offset=beta, mean=old[0], variance=old[1], epsilon=a["epsilon"],
            exponential_avg_factor=a["momentum"], is_training=run.is_training,
        )
        if run.is_training:
            run.statistics[keys["mean"]] = norm.batch_mean       # already mixed with the old ones
            run.statistics[keys["variance"]] = norm.batch_variance
        return norm.y[:, 0, 0, :] if is_vector else norm.y

    return forward


def _so_far(run, keys, mean, variance):
    """The running statistics, which earlier layers that share them may have moved in this pass."""
    return run.statistics.get(keys["mean"], mean), run.statistics.get(keys["variance"], variance)


def _composed_batch_norm(tf, layer):
    a, keys = layer["attributes"], {p["name"]: p["key"] for p in layer["parameters"]}
    axes = list(range(len(layer["input_shapes"][0])))            # all but the last, the batch among them

    def forward(run, x, gamma, beta, mean, variance):
        if run.is_training:
            old, (mean, variance) = _so_far(run, keys, mean, variance), tf.nn.moments(x, axes)
            count = tf.cast(tf.size(x) // x.shape[-1], x.dtype)
            unbiased = variance * count / tf.maximum(count - 1, 1)
            for key, before, new in (("mean", old[0], mean), ("variance", old[1], unbiased)):
                run.statistics[keys[key]] = (1 - a["momentum"]) * before + a["momentum"] * new
        return (x - mean) * (tf.math.rsqrt(variance + a["epsilon"]) * gamma) + beta

    return forward


def _local_response_norm(tf, layer):
    a = layer["attributes"]
    return lambda run, x: tf.nn.local_response_normalization(
        x, depth_radius=a["size"] // 2, bias=a["k"], alpha=a["alpha"] / a["size"], beta=a["beta"]
    )


def _layer_norm(tf, layer):
    epsilon = layer["attributes"]["epsilon"]

    def forward(run, x, gamma, beta):
        mean, variance = tf.nn.moments(x, [-1], keepdims=True)
        return tf.nn.batch_normalization(x, mean, variance, beta, gamma, epsilon)

    return forward


def _rms_norm(tf, layer):
    epsilon = layer["attributes"]["epsilon"]

    def forward(run, x, gamma):
        return x * tf.math.rsqrt(tf.reduce_mean(tf.square(x), -1, keepdims=True) + epsilon) * gamma

    return forward


def _group_norm(tf, layer):
    a, (channels, rows, columns) = layer["attributes"], layer["input_shapes"][0]

    def forward(run, x, gamma, beta):
        grouped = tf.reshape(x, [-1, rows, columns, a["groups"], channels // a["groups"]])
        mean, variance = tf.nn.moments(grouped, [1, 2, 4], keepdims=True)
        normal = (grouped - mean) * tf.math.rsqrt(variance + a["epsilon"])
        return tf.reshape(normal, [-1, rows, columns, channels]) * gamma + beta

    return forward


LOWERINGS = {
    "batch_norm": _batch_norm,
    "local_response_norm": _local_response_norm,
    "layer_norm": _layer_norm,
    "rms_norm": _rms_norm,
    "group_norm": _group_norm,
}
