"""Layers with a state that goes from step to step."""

from ._base import plus_bias

# A loop adds a few operations to each step; unrolling adds tracing time: 1 s for 32 steps of training, which then take
# 0.8 of the time of the loop, and 3 s for 100 steps, which do not get faster.
UNROLLED_STEPS = 50


def _lstm(tf, layer):
    if layer["is_cuda"] and not layer["is_xla"]:
        return _cudnn_lstm(tf, layer)
    steps, features = layer["input_shapes"][0]
    hidden = layer["attributes"]["hidden"]
    unrolls = layer["is_eager"] or (steps <= UNROLLED_STEPS and not layer["is_xla"])
    run_steps = _unrolled(tf, steps) if unrolls else _looped(tf, steps)

    def forward(run, x, weight_input, weight_hidden, bias):
        # The product with the inputs of all steps at once.
        gates = plus_bias(tf, tf.matmul(tf.reshape(x, [-1, features]), weight_input), bias)
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
    "lstm": _lstm,
}
