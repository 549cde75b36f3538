"""Rows chosen by their index."""


def _embedding(run, layer, weights, tokens):
    return weights["weight"][tokens]


def _gather(run, layer, weights, x):
    a = layer["attributes"]
    return run.np.take(x, run.np.asarray(a["indices"]), axis=a["axis"])


LOWERINGS = {
    "embedding": _embedding,
    "gather": _gather,
}
