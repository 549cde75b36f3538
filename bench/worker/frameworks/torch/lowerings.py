"""PyTorch: one nn.Module a layer, run in order by a small network module."""

import functools
from types import SimpleNamespace

import numpy as np


@functools.lru_cache(maxsize=1)
def _modules():
    """The modules that torch.nn lacks. Made on demand, since torch is imported on demand."""
    from torch import nn

    class Apply(nn.Module):
        """A function of tensors as a layer."""

        def __init__(self, function):
            super().__init__()
            self.function = function

        def forward(self, *inputs):
            return self.function(*inputs)

    class Dropout(nn.Dropout):
        """PyTorch's own dropout, unless a proof gives a ``mask`` to multiply with."""

        def __init__(self, rate):
            super().__init__(rate)
            # Of the instance, not the class: its first appearance would make torch.compile compile again.
            self.mask = None

        def forward(self, x):
            return super().forward(x) if self.mask is None else x * self.mask.to(x.dtype)

    class Lstm(nn.Module):
        """Every hidden state of an nn.LSTM with one bias: its second one is 0 and not trained.

        Both would get the same gradient, so that their sum learned twice as fast.
        """

        def __init__(self, features, hidden):
            super().__init__()
            self.lstm = nn.LSTM(features, hidden, batch_first=True)
            nn.init.zeros_(self.lstm.bias_hh_l0).requires_grad_(False)

        def forward(self, x):
            return self.lstm(x)[0]

        @property
        def weight_input(self):
            return self.lstm.weight_ih_l0

        @property
        def weight_hidden(self):
            return self.lstm.weight_hh_l0

        @property
        def bias(self):
            return self.lstm.bias_ih_l0

    class Network(nn.Module):
        """Runs layers by ``wiring``, a (name, names of inputs, names read for the last time) for each layer."""

        def __init__(self, layers, wiring):
            super().__init__()
            self.layers = nn.ModuleList(layers)
            self.wiring = wiring

        def forward(self, x):
            values = {"input": x}
            for layer, (name, inputs, finished) in zip(self.layers, self.wiring):
                values[name] = layer(*[values[i] for i in inputs])
                for i in finished:
                    del values[i]
            return values[name]

    return SimpleNamespace(Apply=Apply, Dropout=Dropout, Lstm=Lstm, Network=Network)


def lowered(graph, weights):
    """The graph as an nn.Module that holds copies of the weights, and {layer name: its nn.Module}."""
    import torch

    layers = {}
    overwriting = _overwriting(graph["layers"])
    for layer in graph["layers"]:
        lower = LOWERINGS[layer["op"]]
        layers[layer["name"]] = lower(torch.nn, dict(layer, in_place=layer["name"] in overwriting))
    network = _modules().Network(list(layers.values()), _wiring(graph["layers"]))
    with torch.no_grad():
        for key, tensor in tensors(graph, layers).items():
            tensor.copy_(torch.tensor(np.ascontiguousarray(weights[key])))
    return network, layers


def _wiring(layers):
    """(name, inputs, names that no later layer reads) of each layer."""
    last_reader = {name: layer["name"] for layer in layers for name in layer["inputs"]}
    return [
        (layer["name"], layer["inputs"], [i for i in sorted(set(layer["inputs"])) if last_reader[i] == layer["name"]])
        for layer in layers
    ]


# Their results are fresh memory, which they do not keep for their own backward pass.
_GIVES_AWAY = {"conv2d", "dense", "batch_norm", "add", "concat"}


def _overwriting(layers):
    """Names of the relu and add layers that may write into their first input, as networks written by hand do."""
    by_name = {layer["name"]: layer for layer in layers}
    reads = [name for layer in layers for name in layer["inputs"]]

    def is_free(name):
        producer = by_name.get(name)
        if producer is None or producer["op"] not in _GIVES_AWAY or reads.count(name) > 1:
            return False
        # The dense result of a sequence is a view, and autograd would copy around a write into it.
        return producer["op"] != "dense" or len(producer["output_shape"]) == 1

    return {layer["name"] for layer in layers if layer["op"] in ("relu", "add") and is_free(layer["inputs"][0])}


_ATTRIBUTES = {"gamma": "weight", "beta": "bias", "mean": "running_mean", "variance": "running_var"}


def tensors(graph, layers, trainable_only=False):
    """{key: the module's own tensor} of all parameters and running statistics, or of the trainable ones."""
    return {
        layer["name"] + "/" + p["name"]: getattr(layers[layer["name"]], _ATTRIBUTES.get(p["name"], p["name"]))
        for layer in graph["layers"]
        for p in layer["parameters"]
        if p["is_trainable"] or not trainable_only
    }


# The lowerings: (torch.nn, layer) -> nn.Module. "in_place" says that the first input's memory may be written.


def _conv2d(nn, layer):
    a = layer["attributes"]
    return nn.Conv2d(
        layer["input_shapes"][0][0], a["out_channels"], tuple(a["kernel"]), stride=tuple(a["stride"]),
        padding=tuple(a["padding"]), dilation=tuple(a["dilation"]), groups=a["groups"], bias=a["bias"],
    )


def _dense(nn, layer):
    a = layer["attributes"]
    return nn.Linear(layer["input_shapes"][0][-1], a["out_features"], bias=a["bias"])


def _max_pool(nn, layer):
    a = layer["attributes"]
    return nn.MaxPool2d(tuple(a["kernel"]), stride=tuple(a["stride"]), padding=tuple(a["padding"]))


def _avg_pool(nn, layer):
    a = layer["attributes"]
    return nn.AvgPool2d(
        tuple(a["kernel"]), stride=tuple(a["stride"]), padding=tuple(a["padding"]),
        count_include_pad=a["count_include_pad"],
    )


def _global_avg_pool(nn, layer):
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())


def _batch_norm(nn, layer):
    a, shape = layer["attributes"], layer["input_shapes"][0]
    kind = nn.BatchNorm2d if len(shape) == 3 else nn.BatchNorm1d
    return kind(shape[0], eps=a["epsilon"], momentum=a["momentum"])


def _relu(nn, layer):
    return nn.ReLU(inplace=layer["in_place"])


def _tanh(nn, layer):
    return nn.Tanh()


def _sigmoid(nn, layer):
    return nn.Sigmoid()


def _softmax(nn, layer):
    return nn.Softmax(dim=-1)


def _dropout(nn, layer):
    return _modules().Dropout(layer["attributes"]["rate"])


def _local_response_norm(nn, layer):
    a = layer["attributes"]
    return nn.LocalResponseNorm(a["size"], alpha=a["alpha"], beta=a["beta"], k=a["k"])


def _sum(first, *others):
    for other in others:
        first = first + other
    return first


def _sum_in_place(first, *others):
    for other in others:
        first += other
    return first


def _add(nn, layer):
    return _modules().Apply(_sum_in_place if layer["in_place"] else _sum)


def _join(*inputs):
    import torch

    return torch.cat(inputs, 1)


def _concat(nn, layer):
    return _modules().Apply(_join)


def _flatten(nn, layer):
    return nn.Flatten()


def _embedding(nn, layer):
    a = layer["attributes"]
    return nn.Embedding(a["vocabulary"], a["features"])


def _lstm(nn, layer):
    return _modules().Lstm(layer["input_shapes"][0][-1], layer["attributes"]["hidden"])


# Both follow the order of the axes, NCHW, and not that of the memory, which may be channels_last.


def _reshape(nn, layer):
    shape = layer["attributes"]["shape"]
    return _modules().Apply(lambda x: x.reshape(-1, *shape))


def _transpose(nn, layer):
    axes = [1 + axis for axis in layer["attributes"]["axes"]]
    return _modules().Apply(lambda x: x.permute(0, *axes))


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
    "flatten": _flatten,
    "embedding": _embedding,
    "lstm": _lstm,
    "reshape": _reshape,
    "transpose": _transpose,
}
