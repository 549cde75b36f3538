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


def _embedding_bag(run, layer, weights, tokens):
    rows = weights["weight"][tokens]
    return rows.mean(-2) if layer["attributes"]["mean"] else rows.sum(-2)


def _scatter_add(run, layer, weights, x, indices, values):
    places = list(run.np.ogrid[tuple(map(slice, indices.shape))])
    places[layer["attributes"]["axis"]] = indices
    return x.at[tuple(places)].add(values)


LOWERINGS = {
    "embedding": _embedding,
    "gather": _gather,
    "one_hot": _one_hot,
    "gather_elements": _gather_elements,
    "embedding_bag": _embedding_bag,
    "scatter_add": _scatter_add,
}
