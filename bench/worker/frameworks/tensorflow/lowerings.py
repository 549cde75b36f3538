"""TensorFlow: raw ``tf.nn`` operations on NHWC images."""

import numpy as np

from .._image_layouts import channels_first, channels_last

# A loop costs a few operations more in each step, unrolling costs tracing time: 1 s for 32 steps of training, which
# are then 0.8 of the loop's time; 3 s for 100 steps, which gain nothing.
UNROLLED_STEPS = 50


class Pass:
    """One pass through the network: its mode, the dropout masks it was given, the statistics it leaves behind."""

    def __init__(self, is_training, masks=None):
        self.is_training = is_training
        self.masks = masks or {}                 # none: dropout draws its own
        self.statistics = {}                     # {key: new value}, for the caller to assign


# The lowerings: (tf, layer) -> function of a Pass, the inputs, and the parameters by name. What need not be decided
# at each step is decided before. "keeps_order", "is_xla", "is_eager", "is_cuda" and "is_fp64" of a layer stand beside
# the graph's own entries.


def _padding(layer):
    """("SAME" or "VALID", what tf.pad must add before, or None).

    Explicit padding, which tf.nn.conv2d also takes, keeps its gradient from oneDNN: a ResNet-18 step takes 1.4 times
    as long.
    """
    a = layer["attributes"]
    if not any(a["padding"]):
        return "VALID", None
    sides = zip(
        layer["input_shapes"][0][1:], layer["output_shape"][1:], a["kernel"], a["stride"], a["padding"],
        a.get("dilation", (1, 1)),
    )
    if all(_is_same(*side) for side in sides):
        return "SAME", None
    return "VALID", _on_both_sides(a["padding"])


def _on_both_sides(padding):
    rows, columns = padding
    return [[0, 0], [rows, rows], [columns, columns], [0, 0]]


def _is_same(size, output, kernel, stride, padding, dilation):
    """True where SAME begins with just this padding; it pads the end as far as the last window needs."""
    total = max((output - 1) * stride + dilation * (kernel - 1) + 1 - size, 0)
    return output == -(-size // stride) and total // 2 == padding


def _is_depthwise(layer):
    a = layer["attributes"]
    if a["groups"] == 1 or a["groups"] != layer["input_shapes"][0][0]:
        return False
    return a["stride"][0] == a["stride"][1] and max(a["dilation"]) == 1      # all that the operation has


def _plus_bias(tf, y, bias):
    """The sum. The gradient of the bias is a sum over samples, which TensorFlow's own rounds at each term."""
    if y.dtype.size >= 4:
        return tf.nn.bias_add(y, bias)

    @tf.custom_gradient
    def add(y, bias):
        def gradients(of_sum):
            others = list(range(of_sum.shape.rank - 1))
            return of_sum, tf.cast(tf.reduce_sum(tf.cast(of_sum, tf.float32), others), bias.dtype)

        return tf.nn.bias_add(y, bias), gradients

    return add(y, bias)


def _conv2d(tf, layer):
    a = layer["attributes"]
    padding, added = _padding(layer)
    convolve = _depthwise if _is_depthwise(layer) else _grouped if _is_split(layer) else _whole
    convolve = convolve(tf, a, padding)

    def forward(run, x, weight, bias=None):
        y = convolve(x if added is None else tf.pad(x, added), weight)
        return y if bias is None else _plus_bias(tf, y, bias)

    return forward


def _is_split(layer):
    # On a CPU the fused forward pass and the gradient refuse groups, depending on oneDNN and the padding.
    return layer["attributes"]["groups"] > 1 and not layer["is_xla"] and not layer["is_cuda"]


def _whole(tf, a, padding):
    return lambda x, weight: tf.nn.conv2d(x, weight, a["stride"], padding, dilations=a["dilation"])


def _depthwise(tf, a, padding):
    return lambda x, weight: tf.nn.depthwise_conv2d(x, weight, [1, *a["stride"], 1], padding)


def _grouped(tf, a, padding):
    of_group = _whole(tf, a, padding)

    def convolve(x, weight):
        groups = zip(tf.split(x, a["groups"], axis=3), tf.split(weight, a["groups"], axis=3))
        return tf.concat([of_group(*group) for group in groups], axis=3)

    return convolve


def _dense(tf, layer):
    shape = layer["input_shapes"][0]
    output_shape = [-1, *layer["output_shape"]]

    def forward(run, x, weight, bias=None):
        y = tf.matmul(x, weight)
        return y if bias is None else _plus_bias(tf, y, bias)

    def forward_sequence(run, x, **parameters):
        return tf.reshape(forward(run, tf.reshape(x, [-1, shape[-1]]), **parameters), output_shape)

    return forward if len(shape) == 1 else forward_sequence


def _max_pool(tf, layer):
    a = layer["attributes"]
    padding, added = _padding(layer)

    def forward(run, x):
        if added is not None:
            x = tf.pad(x, added, constant_values=x.dtype.min)
        return tf.nn.max_pool2d(x, a["kernel"], a["stride"], padding)

    return forward


def _avg_pool(tf, layer):
    a = layer["attributes"]
    padding, added = _padding(layer)
    if padding == "SAME" and a["count_include_pad"]:             # it does not
        padding, added = "VALID", _on_both_sides(a["padding"])
    leaves_out = added is not None and not a["count_include_pad"]
    scale = _whole_to_counted(layer) if leaves_out else None

    def forward(run, x):
        y = tf.nn.avg_pool2d(x if added is None else tf.pad(x, added), a["kernel"], a["stride"], padding)
        return y if scale is None else y * tf.constant(scale, y.dtype)

    return forward


def _whole_to_counted(layer):
    """Pixels of the window / pixels of it that are no padding, (height, width, 1)."""
    a = layer["attributes"]
    shares = []
    for size, output, kernel, stride, padding in zip(
        layer["input_shapes"][0][1:], layer["output_shape"][1:], a["kernel"], a["stride"], a["padding"]
    ):
        start = np.arange(output) * stride - padding
        counted = np.minimum(start + kernel, size) - np.maximum(start, 0)
        shares.append(kernel / counted)
    return np.outer(*shares)[:, :, None].astype(np.float32)


def _global_avg_pool(tf, layer):
    return lambda run, x: tf.reduce_mean(x, axis=[1, 2])


def _batch_norm(tf, layer):
    if layer["is_fp64"]:
        return _composed_batch_norm(tf, layer)                   # the fused operation has no kernel for it
    a, name = layer["attributes"], layer["name"]
    is_vector = len(layer["input_shapes"][0]) == 1

    def forward(run, x, gamma, beta, mean, variance):
        if is_vector:
            x = x[:, None, None, :]
        old = (mean, variance)
        if run.is_training and a["momentum"] == 1:
            old = ([], [])                                       # it insists on not being given what it ignores
        # The public function raises epsilon to 1.001e-5.
        norm = tf.raw_ops.FusedBatchNormV3(
            x=x, scale=gamma, offset=beta, mean=old[0], variance=old[1], epsilon=a["epsilon"],
            exponential_avg_factor=a["momentum"], is_training=run.is_training,
        )
        if run.is_training:
            run.statistics[name + "/mean"] = norm.batch_mean     # mixed with the old ones already
            run.statistics[name + "/variance"] = norm.batch_variance
        return norm.y[:, 0, 0, :] if is_vector else norm.y

    return forward


def _composed_batch_norm(tf, layer):
    a, name = layer["attributes"], layer["name"]
    axes = list(range(len(layer["input_shapes"][0])))            # all but the last, the batch among them

    def forward(run, x, gamma, beta, mean, variance):
        if run.is_training:
            old, (mean, variance) = (mean, variance), tf.nn.moments(x, axes)
            count = tf.cast(tf.size(x) // x.shape[-1], x.dtype)
            unbiased = variance * count / tf.maximum(count - 1, 1)
            for key, before, new in (("mean", old[0], mean), ("variance", old[1], unbiased)):
                run.statistics[name + "/" + key] = (1 - a["momentum"]) * before + a["momentum"] * new
        return (x - mean) * (tf.math.rsqrt(variance + a["epsilon"]) * gamma) + beta

    return forward


def _relu(tf, layer):
    return lambda run, x: tf.nn.relu(x)


def _tanh(tf, layer):
    return lambda run, x: tf.tanh(x)


def _sigmoid(tf, layer):
    return lambda run, x: tf.sigmoid(x)


def _softmax(tf, layer):
    return lambda run, x: tf.nn.softmax(x)


def _dropout(tf, layer):
    name, rate = layer["name"], layer["attributes"]["rate"]

    def forward(run, x):
        if not run.is_training:
            return x
        # XLA ignores the seed.
        return x * tf.cast(run.masks[name], x.dtype) if run.masks else tf.nn.dropout(x, rate)

    return forward


def _local_response_norm(tf, layer):
    a = layer["attributes"]
    return lambda run, x: tf.nn.local_response_normalization(
        x, depth_radius=a["size"] // 2, bias=a["k"], alpha=a["alpha"] / a["size"], beta=a["beta"]
    )


def _add(tf, layer):
    def forward(run, first, *others):
        for other in others:
            first = first + other
        return first

    return forward


def _concat(tf, layer):
    return lambda run, *inputs: tf.concat(inputs, axis=-1)       # of images and of vectors


def _reshape(tf, layer):
    output_shape = layer["output_shape"]
    from_image = len(layer["input_shapes"][0]) == 3 and not layer["keeps_order"]
    to_image = len(output_shape) == 3

    def forward(run, x):
        if from_image:
            x = tf.transpose(x, TO_NCHW)
        x = tf.reshape(x, [-1, *output_shape])
        return tf.transpose(x, TO_NHWC) if to_image else x

    return forward


def _transpose(tf, layer):
    axes = layer["attributes"]["axes"]
    before, after = _stored_axes(layer["input_shapes"][0]), _stored_axes(layer["output_shape"])
    stored_axes = [0, *(1 + before.index(axes[axis]) for axis in after)]
    return lambda run, x: tf.transpose(x, stored_axes)


def _stored_axes(shape):
    """The axes of a sample in the order in which they lie in memory."""
    return (1, 2, 0) if len(shape) == 3 else tuple(range(len(shape)))


def _embedding(tf, layer):
    return lambda run, x, weight: tf.gather(weight, x)


def _lstm(tf, layer):
    if layer["is_cuda"] and not layer["is_xla"]:
        return _cudnn_lstm(tf, layer)
    steps, features = layer["input_shapes"][0]
    hidden = layer["attributes"]["hidden"]
    unrolls = layer["is_eager"] or (steps <= UNROLLED_STEPS and not layer["is_xla"])
    run_steps = _unrolled(tf, steps) if unrolls else _looped(tf, steps)

    def forward(run, x, weight_input, weight_hidden, bias):
        # The inputs' share of all steps at once.
        gates = _plus_bias(tf, tf.matmul(tf.reshape(x, [-1, features]), weight_input), bias)
        gates = tf.reshape(gates, [-1, steps, 4 * hidden])
        weight_hidden = tf.convert_to_tensor(weight_hidden)      # read once

        def advance(gates, h, c):
            i, f, g, o = tf.split(gates + tf.matmul(h, weight_hidden), 4, axis=1)
            c = tf.sigmoid(f) * c + tf.sigmoid(i) * tf.tanh(g)
            return tf.sigmoid(o) * tf.tanh(c), c

        return run_steps(advance, gates, tf.zeros([x.shape[0], hidden], gates.dtype))

    return forward


def _unrolled(tf, steps):
    def run_steps(advance, gates, zeros):
        h = c = zeros
        outputs = []
        for of_step in tf.unstack(gates, axis=1):
            h, c = advance(of_step, h, c)
            outputs.append(h)
        return tf.stack(outputs, axis=1)

    return run_steps


def _looped(tf, steps):
    def run_steps(advance, gates, zeros):
        gates = tf.TensorArray(gates.dtype, steps).unstack(tf.transpose(gates, [1, 0, 2]))
        outputs = tf.TensorArray(zeros.dtype, steps, element_shape=zeros.shape)

        def body(step, h, c, outputs):
            h, c = advance(gates.read(step), h, c)
            return step + 1, h, c, outputs.write(step, h)

        # XLA needs the maximum to know how much to keep for the gradient.
        outputs = tf.while_loop(
            lambda step, *_: step < steps, body, (0, zeros, zeros, outputs), maximum_iterations=steps
        )[-1]
        return tf.transpose(outputs.stack(), [1, 0, 2])

    return run_steps


def _cudnn_lstm(tf, layer):
    hidden = layer["attributes"]["hidden"]

    def forward(run, x, weight_input, weight_hidden, bias):
        # Weights of the input and of the hidden state, each (4 hidden, in), then a bias for each; gates are i, f, g, o.
        parts = (tf.transpose(weight_input), tf.transpose(weight_hidden), bias, tf.zeros([4 * hidden], x.dtype))
        zeros = tf.zeros([1, x.shape[0], hidden], x.dtype)
        outputs = tf.raw_ops.CudnnRNN(
            input=tf.transpose(x, [1, 0, 2]), input_h=zeros, input_c=zeros,
            params=tf.concat([tf.reshape(part, [-1]) for part in parts], axis=0),
            rnn_mode="lstm", is_training=run.is_training,
        ).output
        return tf.transpose(outputs, [1, 0, 2])

    return forward


LOWERINGS = {
    "conv2d": _conv2d,
    "dense": _dense,
    "max_pool": _max_pool,
    "avg_pool": _avg_pool,
    "global_avg_pool": _global_avg_pool,
    "batch_norm": _batch_norm,
    "relu": _relu,
    "tanh": _tanh,
    "sigmoid": _sigmoid,
    "softmax": _softmax,
    "dropout": _dropout,
    "local_response_norm": _local_response_norm,
    "add": _add,
    "concat": _concat,
    "flatten": _reshape,
    "embedding": _embedding,
    "lstm": _lstm,
    "reshape": _reshape,
    "transpose": _transpose,
}


# Layouts: canonical arrays to TensorFlow's and back.

TO_NHWC = (0, 2, 3, 1)
TO_NCHW = (0, 3, 1, 2)


def _unchanged(array):
    return array


def layouts(layer, name, image):
    """(canonical to TensorFlow's, back) for a parameter; ``image`` is what a dense layer's vector was, or None."""
    if layer["op"] == "conv2d" and name == "weight":
        out, per_group, *kernel = next(p["shape"] for p in layer["parameters"] if p["name"] == name)
        if _is_depthwise(layer):
            groups = layer["attributes"]["groups"]
            return (
                lambda array: array.reshape([groups, out // groups, *kernel]).transpose(2, 3, 0, 1),
                lambda array: array.transpose(2, 3, 0, 1).reshape([out, per_group, *kernel]),
            )
        return lambda array: array.transpose(2, 3, 1, 0), lambda array: array.transpose(3, 2, 0, 1)
    if layer["op"] == "dense" and name == "weight" and image is not None:
        return lambda array: channels_last(array, image).T, lambda array: channels_first(array.T, image)
    if (layer["op"] == "dense" and name == "weight") or name in ("weight_input", "weight_hidden"):
        return np.transpose, np.transpose
    return _unchanged, _unchanged
