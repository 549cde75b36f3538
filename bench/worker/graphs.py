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
    found = collections.OrderedDict()
    for layer in graph["layers"]:
        for parameter in layer["parameters"]:
            found.setdefault(parameter["key"], parameter)
    return found


def shared_keys(graph):
    """The keys of the parameters that more than one layer has; they are kept in canonical order."""
    counts = collections.Counter(p["key"] for layer in graph["layers"] for p in layer["parameters"])
    return {key for key, count in counts.items() if count > 1}
