"""Rows chosen by their index."""

import numpy as np

from ...user_code import Refused
from .arrangement import _gathered, _index, _sliced, _spread


def _embedding(call):
    indices = call.known("indices")
    if indices is not None:
        return _rows(call, indices)
    weight = call.weight("weight")
    if call.get("padding_idx", -1) >= 0:
        call.note("the padding row of %s is trained here like the others" % weight.name)
    return _looked_up(call, weight, call.value("indices"))


def _looked_up(call, weight, tokens):
    vocabulary, features = weight.tensor.shape
    first = call.batch_first(tokens)
    found = call.add("embedding", first, weights={"weight": weight}, like=([*first.shape, features], 0, "float"),
                     vocabulary=vocabulary, features=features)
    return call.batch_back(found, tokens)


def _rows(call, indices):
    """Rows by indices that are part of the network, such as positions."""
    flat = [int(each) for each in indices.reshape(-1)]
    table, (shape, batch, _) = call.value("weight"), call.result
    is_run = flat == list(range(flat[0], flat[0] + len(flat)))
    found = _sliced(call, table, 0, range(flat[0], flat[-1] + 1)) if is_run else _gathered(call, table, 0, flat)
    shared = call.regrouped(found, shape, None)
    return shared if batch is None else call.expanded(shared)


def _entries(call):
    """x[indices], which is a table's rows where x is a parameter and the indices are computed."""
    places = call["indices"]
    if len(places) == 1 and call.is_weight("self") and call.known_of(places[0]) is None:
        weight, tokens = call.weight("self"), call.value_of(places[0])
        if len(weight.tensor.shape) == 2 and tokens.dtype == "int64":
            return _looked_up(call, weight, tokens)
    return _index(call)


def _gather(call):
    x, indices, axis = call.subject, call.value("index"), call["dim"] % len(call.result[0])
    if indices.dtype != "int64":
        raise Refused("its indices are no integers")
    return call.add("gather_elements", *_beside(call, x, axis, indices), axis=axis)


def _beside(call, x, axis, *others):
    """The value, and others that have its shape but along an axis, and a batch where one of them has."""
    batch = next((each.batch for each in (x, *others) if each.batch is not None), None)
    if batch == axis:
        raise Refused("it takes entries of the batch")
    if any(each.batch not in (None, batch) for each in (x, *others)):
        raise Refused("its inputs have the batch as different axes")
    return [_spread(call, each, each.shape, batch) for each in (x, *others)]


def _scatter_add(call):
    axis = call["dim"] % len(call.result[0])
    return call.add("scatter_add", *_beside(call, call.subject, axis, call.value("index"), call.value("src")),
                    axis=axis)


def _index_add(call):
    indices, added, axis = call.known("index"), call.value("source"), call["dim"] % len(call.result[0])
    if indices is None or call.get("alpha", 1) != 1:
        raise Refused("its indices are computed, or it multiplies what is added")
    shape = [1] * len(added.shape)
    shape[axis] = -1
    places = call.constant(np.ascontiguousarray(np.broadcast_to(indices.reshape(shape), added.shape)))
    return call.add("scatter_add", *_beside(call, call.subject, axis, places, added), axis=axis)


def _bags(call):
    """Bags of equally many tokens each, as a matrix of them makes."""
    indices, offsets = call.value("indices"), call.known_pair(call["offsets"])
    size = indices.shape[0]
    whole = indices.batch == 0 and len(indices.shape) == 1 and offsets is not None and all(
        each.tolist() == list(range(0, samples * size, size)) for each, samples in zip(offsets, (2, 3)))
    if not whole or call["mode"] not in (0, 1) or call.get("per_sample_weights") is not None:
        raise Refused("its bags are not of one size, or it takes their maximum, or weighs them")
    weight = call.weight("weight")
    vocabulary, features = weight.tensor.shape
    tokens = call.regrouped(indices, [1, size], 0)
    found = call.add("embedding_bag", tokens, weights={"weight": weight}, like=([1, features], 0, "float"),
                     vocabulary=vocabulary, features=features, mean=call["mode"] == 1)
    return [found, None, None, None]


def _one_hot(call):
    if call["num_classes"] < 1:
        raise Refused("it takes the number of classes from its data; give num_classes")
    x, (shape, batch, dtype) = call.subject, call.result
    found = call.add("one_hot", x, like=(shape, batch, "float"), depth=int(call["num_classes"]))
    return call.add("cast", found, to=dtype)


CALLS = {
    "embedding": _embedding,
    "gather": _gather,
    "index": _entries,
    "scatter_add": _scatter_add,
    "index_add": _index_add,
    "embedding_bag": _bags,
    "one_hot": _one_hot,
}
