"""Rows chosen by their index."""

from ..user import Refused
from .arrangement import _gathered, _sliced


def _embedding(call):
    indices = call.known("indices")
    if indices is not None:
        return _rows(call, indices)
    weight, tokens = call.weight("weight"), call.value("indices")
    if call.get("padding_idx", -1) >= 0:
        call.note("the padding row of %s is trained here like the others" % weight.name)
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


def _gather(call):
    if call.value("index").dtype != "int64":
        raise Refused("its indices are no integers")
    return call.add("gather_elements", call.subject, call.value("index"), axis=call["dim"] % len(call.result[0]))


CALLS = {
    "embedding": _embedding,
    "gather": _gather,
}
