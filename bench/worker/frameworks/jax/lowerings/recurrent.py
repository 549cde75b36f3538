"""Layers with a state that goes from step to step."""

from ._base import plus_bias


def _lstm_step(run, attributes, gates, states, weight_hidden):
    hidden, cell = states
    i, f, g, o = run.np.split(gates + hidden @ weight_hidden, 4, axis=-1)
    cell = run.nn.sigmoid(f) * cell + run.nn.sigmoid(i) * run.np.tanh(g)
    return run.nn.sigmoid(o) * run.np.tanh(cell), cell


def _rnn_step(run, attributes, gates, states, weight_hidden):
    return ((run.nn.relu if attributes["relu"] else run.np.tanh)(gates + states[0] @ weight_hidden),)


def _gru_step(run, attributes, gates, states, weight_hidden, bias_hidden=None):
    (hidden,), size = states, attributes["hidden"]
    if bias_hidden is None:                              # reset before the product
        of_gates, of_new = weight_hidden[:, :2 * size], weight_hidden[:, 2 * size:]
        r, z = run.np.split(run.nn.sigmoid(gates[:, :2 * size] + hidden @ of_gates), 2, axis=-1)
        new = run.np.tanh(gates[:, 2 * size:] + (r * hidden) @ of_new)
    else:
        from_hidden = plus_bias(run, hidden @ weight_hidden, bias_hidden)
        r, z = run.np.split(run.nn.sigmoid(gates[:, :2 * size] + from_hidden[:, :2 * size]), 2, axis=-1)
        new = run.np.tanh(gates[:, 2 * size:] + r * from_hidden[:, 2 * size:])
    return ((1 - z) * new + z * hidden,)


def _direction(run, attributes, advance, x, first, weight_input, weight_hidden, bias, **further):
    """(every hidden state, the states after the last step) of one direction."""
    # One product with the inputs of all steps; then axis 0 is the step, as scan expects.
    from_inputs = plus_bias(run, x @ weight_input, bias).swapaxes(0, 1)

    def step(states, from_input):
        states = advance(run, attributes, from_input, states, weight_hidden, **further)
        return states, states[0]

    states, outputs = run.lax.scan(step, first, from_inputs)
    return outputs.swapaxes(0, 1), states


def _recurrent(advance, states):
    """The lowering of a cell with so many states."""
    def lower(run, layer, weights, x, *first):
        a = layer["attributes"]
        count = a.get("directions", 1)
        start = run.np.zeros((len(x), a["hidden"]), x.dtype)
        of_directions = []
        for index in range(count):
            own = {
                name[:-len("_reverse")] if index else name: each for name, each in weights.items()
                if name.endswith("_reverse") == bool(index)
            }
            own_first = tuple(state[:, index] for state in first) or (start,) * states
            output, final = _direction(run, a, advance, x[:, ::-1] if index else x, own_first, **own)
            of_directions.append((output[:, ::-1] if index else output, final))
        outputs, finals = zip(*of_directions)
        sequence = outputs[0] if count == 1 else run.np.concatenate(outputs, -1)
        return (sequence, *(run.np.stack(each, 1) for each in zip(*finals))) if a.get("final") else sequence

    return lower


LOWERINGS = {
    "lstm": _recurrent(_lstm_step, 2),
    "gru": _recurrent(_gru_step, 1),
    "rnn": _recurrent(_rnn_step, 1),
}
