"""Layers with a state that goes from step to step."""

from ._base import plus_bias


def _lstm(run, layer, weights, x):
    # One product with the inputs of all steps; then axis 0 is the step, as scan expects.
    from_inputs = plus_bias(run, x @ weights["weight_input"], weights["bias"]).swapaxes(0, 1)
    weight_hidden = weights["weight_hidden"]

    def step(state, from_input):
        hidden, cell = state
        i, f, g, o = run.np.split(from_input + hidden @ weight_hidden, 4, axis=-1)
        cell = run.nn.sigmoid(f) * cell + run.nn.sigmoid(i) * run.np.tanh(g)
        hidden = run.nn.sigmoid(o) * run.np.tanh(cell)
        return (hidden, cell), hidden

    start = run.np.zeros((len(x), layer["attributes"]["hidden"]), x.dtype)
    return run.lax.scan(step, (start, start), from_inputs)[1].swapaxes(0, 1)


LOWERINGS = {
    "lstm": _lstm,
}
