"""Rows chosen by their index."""


def _embedding(run, layer, weights, tokens):
    return weights["weight"][tokens]


def _gather(run, layer, weights, x):
    a = layer["attributes"]
    return run.np.take(x, run.np.asarray(a["indices"]), axis=a["axis"])


def _one_hot(run, layer, weights, x):
    return run.nn.one_hot(x, layer["attributes"]["depth"], dtype=run.np.result_type(float))


def _gather_elements(run, layer, weights, x, indices):
    return run.np.take_along_axis(x, indices, layer["attributes"]["axis"])


LOWERINGS = {
    "embedding": _embedding,
    "gather": _gather,
    "one_hot": _one_hot,
    "gather_elements": _gather_elements,
}
