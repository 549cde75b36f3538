"""What the plain form of a graph says: its values, its parameters, and which of them layers share."""

import collections


def outputs_of(layer):
    """The names of a layer's values, as its readers write them: "split", "split:1"."""
    name = layer["name"]
    return [name] + ["%s:%d" % (name, index) for index in range(1, len(layer["outputs"]))]


def layer_of(value):
    """The name of the layer that gives a value, or "input"."""
    return value.partition(":")[0]


def parameters_of(graph):
    """{key: parameter}, each once, in the order of the layers that have them first."""
    parameters = collections.OrderedDict()
    for layer in graph["layers"]:
        for parameter in layer["parameters"]:
            parameters.setdefault(parameter["key"], parameter)
    return parameters


def shared_keys(graph):
    """The keys of the parameters that more than one layer has; they are kept in canonical order."""
    counts = collections.Counter(p["key"] for layer in graph["layers"] for p in layer["parameters"])
    return {key for key, count in counts.items() if count > 1}


def with_gradient(graph):
    """Names of the layers in or before which a trainable parameter lies, and that lead to the output by floats."""
    names = set()
    for layer in graph["layers"]:
        has_own = any(p["is_trainable"] for p in layer["parameters"])
        is_float = any(value["dtype"] == "float" for value in layer["outputs"])
        if is_float and (has_own or names.intersection(map(layer_of, layer["inputs"]))):
            names.add(layer["name"])
    reached = {graph["layers"][-1]["name"]}
    for layer in reversed(graph["layers"]):
        if layer["name"] in names & reached:
            reached.update(map(layer_of, layer["inputs"]))
    return names & reached
