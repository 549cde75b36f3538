"""Layers with a state that goes from step to step."""

from ._base import plus_bias

# A loop adds a few operations to each step; unrolling adds tracing time: 1 s for 32 steps of training, which then take
# 0.8 of the time of the loop, and 3 s for 100 steps, which do not get faster.
UNROLLED_STEPS = 50


def _lstm_step(tf, layer):
    def advance(gates, states, weight_hidden):
        h, c = states
        i, f, g, o = tf.split(gates + tf.matmul(h, weight_hidden), 4, axis=1)
        c = tf.sigmoid(f) * c + tf.sigmoid(i) * tf.tanh(g)
        return tf.sigmoid(o) * tf.tanh(c), c

    return advance


def _rnn_step(tf, layer):
    function = tf.nn.relu if layer["attributes"]["relu"] else tf.tanh
    return lambda gates, states, weight_hidden: (function(gates + tf.matmul(states[0], weight_hidden)),)


def _gru_step(tf, layer):
    hidden = layer["attributes"]["hidden"]

    def reset_after(gates, states, weight_hidden, bias_hidden):
        (h,) = states
        r, z, n = tf.split(gates, 3, axis=1)
        of_r, of_z, of_n = tf.split(plus_bias(tf, tf.matmul(h, weight_hidden), bias_hidden), 3, axis=1)
        z = tf.sigmoid(z + of_z)
        return ((1 - z) * tf.tanh(n + tf.sigmoid(r + of_r) * of_n) + z * h,)

    def reset_before(gates, states, weight_hidden):
        (h,) = states
        r_z, n = tf.split(gates, [2 * hidden, hidden], axis=1)
        of_gates, of_n = tf.split(weight_hidden, [2 * hidden, hidden], axis=1)
        r, z = tf.split(tf.sigmoid(r_z + tf.matmul(h, of_gates)), 2, axis=1)
        return ((1 - z) * tf.tanh(n + tf.matmul(r * h, of_n)) + z * h,)

    return reset_after if layer["attributes"]["reset_after"] else reset_before


def _recurrent(step, states):
    """The lowering of a cell: ``step(tf, layer)`` gives (gates, states, further parameters) -> states."""
    def lower(tf, layer):
        steps, features = layer["input_shapes"][0]
        a = layer["attributes"]
        hidden, count = a["hidden"], a.get("directions", 1)
        unrolls = layer["is_eager"] or (steps <= UNROLLED_STEPS and not layer["is_xla"])
        run_steps = (_unrolled if unrolls else _looped)(tf, steps)
        cell = step(tf, layer)

        def direction(x, first, weight_input, weight_hidden, bias, **further):
            # The product with the inputs of all steps at once.
            gates = plus_bias(tf, tf.matmul(tf.reshape(x, [-1, features]), weight_input), bias)
            gates = tf.reshape(gates, [-1, steps, bias.shape[0]])
            read = [tf.convert_to_tensor(each) for each in (weight_hidden, *further.values())]       # once
            first = first or (tf.zeros([x.shape[0], hidden], gates.dtype),) * states
            return run_steps(lambda gates, states: cell(gates, states, *read), gates, first)

        def forward(run, x, *first, **parameters):
            of_directions = []
            for index in range(count):
                own = {
                    name[:-len("_reverse")] if index else name: each for name, each in parameters.items()
                    if name.endswith("_reverse") == bool(index)
                }
                turned = tf.reverse(x, [1]) if index else x
                output, final = direction(turned, tuple(state[:, index] for state in first), **own)
                of_directions.append((tf.reverse(output, [1]) if index else output, final))
            outputs, finals = zip(*of_directions)
            sequence = outputs[0] if count == 1 else tf.concat(outputs, 2)
            return (sequence, *(tf.stack(each, 1) for each in zip(*finals))) if a.get("final") else sequence

        return forward

    return lower


def _lstm(tf, layer):
    if layer["is_cuda"] and not layer["is_xla"] and len(layer["input_shapes"]) == 1 and len(layer["attributes"]) == 1:
        return _cudnn_lstm(tf, layer)
    return _recurrent(_lstm_step, 2)(tf, layer)


def _unrolled(tf, steps):
    def run_steps(advance, gates, states):
        outputs = []
        for of_step in tf.unstack(gates, axis=1):
            states = advance(of_step, states)
            outputs.append(states[0])
        return tf.stack(outputs, axis=1), states

    return run_steps


def _looped(tf, steps):
    def run_steps(advance, gates, states):
        gates = tf.TensorArray(gates.dtype, steps).unstack(tf.transpose(gates, [1, 0, 2]))
        outputs = tf.TensorArray(states[0].dtype, steps, element_shape=states[0].shape)

        def body(step, states, outputs):
            states = advance(gates.read(step), states)
            return step + 1, states, outputs.write(step, states[0])

        # XLA needs the maximum to know how much to keep for the gradient.
        _, states, outputs = tf.while_loop(
            lambda step, *_: step < steps, body, (0, states, outputs), maximum_iterations=steps
        )
        return tf.transpose(outputs.stack(), [1, 0, 2]), states

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
    "gru": _recurrent(_gru_step, 1),
    "rnn": _recurrent(_rnn_step, 1),
}
