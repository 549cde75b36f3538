"""What the plain form of a graph says: inputs, outputs, values, parameters, and which of them layers share."""

import collections


def inputs_of(graph):
    """[{"name", "shape", "dtype"}], in the order in which samples have them."""
    if "inputs" in graph:
        return graph["inputs"]
    only = graph["input"]
    return [{"name": "input", "shape": only["shape"], "dtype": "float" if only["vocabulary"] is None else "int64"}]


def output_names(graph):
    """The names of the values that it answers; the loss takes the first."""
    return graph.get("outputs") or [graph["layers"][-1]["name"]]


def output_values(graph):
    """The values that it answers, {"shape", "batch", "dtype"} each, in order."""
    values = {name: value for layer in graph["layers"] for name, value in zip(outputs_of(layer), layer["outputs"])}
    return [values[name] for name in output_names(graph)]


def copies(graph):
    """[(number of steps, {key that is copied to: key of what it becomes})]."""
    keys = list(parameters_of(graph))
    return [
        (copy["every"], {
            key: copy["source"] + key[len(copy["target"]):] for key in keys if key.startswith(copy["target"])
        })
        for copy in graph.get("copies", ())
    ]


def with_copies_every(graph, steps):
    """The graph, whose copies are made after every so many steps."""
    if "copies" not in graph:
        return graph
    return dict(graph, copies=[dict(copy, every=steps) for copy in graph["copies"]])


def layers_for_loss(graph):
    """The layers that lead to the loss, in order: a training step runs no others."""
    needed = {layer_of(output_names(graph)[0])}
    for layer in reversed(graph["layers"]):
        if layer["name"] in needed:
            needed.update(map(layer_of, layer["inputs"]))
    return [layer for layer in graph["layers"] if layer["name"] in needed]


def last_readers(layers, kept):
    """{value: the layer that reads it last}, of the values that may be let go then: without those of ``kept``."""
    return {name: layer["name"] for layer in layers for name in layer["inputs"] if name not in kept}


def outputs_of(layer):
    """The names of a layer's values, as its readers write them: "split", "split:1"."""
    name = layer["name"]
    return [name] + ["%s:%d" % (name, index) for index in range(1, len(layer["outputs"]))]


def layer_of(value):
    """The name of the layer, or of the input, that gives a value."""
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
    """Names of the layers in or before which a trainable parameter lies, and that lead to the loss by floats."""
    names = set()
    for layer in graph["layers"]:
        has_own = any(p["is_trainable"] for p in layer["parameters"])
        is_float = any(value["dtype"] == "float" for value in layer["outputs"])
        if is_float and (has_own or names.intersection(map(layer_of, layer["inputs"]))):
            names.add(layer["name"])
    reached = {layer_of(output_names(graph)[0])}
    for layer in reversed(graph["layers"]):
        if layer["name"] in names & reached:
            reached.update(map(layer_of, layer["inputs"]))
    return names & reached
