"""PyTorch: one nn.Module per layer, run in order by a small network module.

A lowering is a function (torch.nn, layer) -> nn.Module; one file per family. "in_place" of a layer means that the
memory of its first input may be overwritten.
"""

import numpy as np

from .... import registry
from ....graphs import (
    ends_of_training,
    inputs_of,
    last_readers,
    layers_for_loss,
    output_names,
    outputs_of,
    parameters_of,
)
from ._modules import modules

LOWERINGS = registry.tables(__name__, __path__, "LOWERINGS")


def lowered(graph, weights, more=None, known=None):
    """The graph as an nn.Module that holds copies of the weights, and {layer name: its nn.Module}.

    ``more`` are lowerings of operations that only this graph has. ``known`` are modules of a graph with the same
    parameters, by layer: those with parameters are used again, and the weights are those that they hold.
    """
    import torch

    layers, table, known = {}, dict(LOWERINGS, **(more or {})), known or {}
    overwriting = _overwriting(graph["layers"], output_names(graph))
    for layer in graph["layers"]:
        if layer["parameters"] and layer["name"] in known:
            layers[layer["name"]] = known[layer["name"]]
            continue
        lower = table[layer["op"]]
        layers[layer["name"]] = lower(torch.nn, dict(layer, in_place=layer["name"] in overwriting))
    network = modules().Network(
        list(layers.values()), [each["name"] for each in inputs_of(graph)],
        _wiring(graph, graph["layers"], output_names(graph)),
        _wiring(graph, layers_for_loss(graph), ends_of_training(graph)),
    )
    if known:
        return network, layers
    _share(graph, layers)
    parameters = parameters_of(graph)
    with torch.no_grad():
        for key, tensor in tensors(graph, layers).items():
            tensor.copy_(torch.tensor(np.ascontiguousarray(weights[key])))
            if not parameters[key]["is_trainable"]:
                tensor.requires_grad_(False)         # although it is a weight, if only other outputs depend on it
    return network, layers


def _wiring(graph, run, results):
    """([(outputs, inputs, names that no later layer reads) of each layer, or None where it is not run], results)."""
    last_reader, names = last_readers(run, results), {layer["name"] for layer in run}
    return [
        (outputs_of(layer), layer["inputs"],
         [i for i in sorted(set(layer["inputs"])) if last_reader.get(i) == layer["name"]])
        if layer["name"] in names else None
        for layer in graph["layers"]
    ], results


def _share(graph, layers):
    """Gives later layers the parameters that they share with earlier ones, as in networks written by hand."""
    first = {}
    for layer in graph["layers"]:
        for p in layer["parameters"]:
            module, attribute = layers[layer["name"]], _attribute(layer, p)
            if p["key"] in first:
                setattr(module, attribute, first[p["key"]])
            else:
                first[p["key"]] = getattr(module, attribute)


# Their results are new memory, which their own backward pass does not need.
_GIVES_AWAY = {"conv2d", "dense", "batch_norm", "add", "concat"}


def _overwriting(layers, results):
    """Names of the relu and add layers that may overwrite their first input, as in networks written by hand."""
    by_name = {layer["name"]: layer for layer in layers}
    reads = [*results, *(name for layer in layers for name in layer["inputs"])]

    def is_free(layer):
        name = layer["inputs"][0]
        producer = by_name.get(name)
        if producer is None or producer["op"] not in _GIVES_AWAY or reads.count(name) > 1:
            return False
        if producer["outputs"] != layer["outputs"]:
            return False                         # it is broadcast
        # The dense result of a sequence is a view, and autograd would copy it when it is overwritten.
        return producer["op"] != "dense" or len(producer["output_shape"]) == 1

    return {layer["name"] for layer in layers if layer["op"] in ("relu", "add") and is_free(layer)}


_ATTRIBUTES = {"gamma": "weight", "beta": "bias", "mean": "running_mean", "variance": "running_var"}
_OF_OPERATION = {("prelu", "slope"): "weight"}


def _attribute(layer, parameter):
    """The name of a parameter in its nn.Module."""
    name = parameter["name"]
    return _OF_OPERATION.get((layer["op"], name)) or _ATTRIBUTES.get(name, name)


def tensors(graph, layers, trainable_only=False):
    """{key: the module's own tensor} of all parameters and running statistics, or of the trainable ones."""
    return {
        p["key"]: getattr(layers[layer["name"]], _attribute(layer, p))
        for layer in graph["layers"]
        for p in layer["parameters"]
        if p["is_trainable"] or not trainable_only
    }
