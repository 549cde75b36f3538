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


def carried(graph):
    """[(input, the value of a step that it takes in the next one)]."""
    return [(each["input"], each["value"]) for each in graph.get("carried", ())]


def ends_of_training(graph):
    """The names of the values that a training step computes: what the loss takes, then what is carried, in order."""
    return output_names(graph)[:1] + [value for _, value in carried(graph)]


def with_copies_every(graph, steps):
    """The graph, whose copies are made after every so many steps."""
    if "copies" not in graph:
        return graph
    return dict(graph, copies=[dict(copy, every=steps) for copy in graph["copies"]])


def layers_for_loss(graph):
    """The layers that lead to the loss, and to what is carried, in order: a training step runs no others."""
    return _layers_for(graph, ends_of_training(graph))


def _layers_for(graph, names):
    """The layers that lead to these values, in order."""
    needed = {layer_of(name) for name in names}
    for layer in reversed(graph["layers"]):
        if layer["name"] in needed:
            needed.update(map(layer_of, layer["inputs"]))
    return [layer for layer in graph["layers"] if layer["name"] in needed]


def objectives(graph):
    """The graphs of one loss each that a training step takes one after the other: this one, unless it states several.

    In each, only the parameters that it trains are trainable.
    """
    return [_of_objective(graph, each) for each in graph.get("objectives", ())] or [graph]


def _of_objective(graph, objective):
    trains = tuple(objective["trains"])
    own = dict(without_objectives(graph), outputs=[objective["output"]], optimizer=objective["optimizer"])
    return dict(own, objective=objective["name"], layers=[
        dict(layer, parameters=[
            dict(p, is_trainable=p["is_trainable"] and p["key"].startswith(trains)) for p in layer["parameters"]
        ])
        for layer in layers_for_loss(own)
    ])


def without_objectives(graph):
    """The graph with all layers, whose outputs are computed and whose losses are not."""
    return {key: value for key, value in graph.items() if key != "objectives"}


def for_inference(graph):
    """The graph with no layers but those that its outputs need: others are there for objectives only."""
    if "objectives" not in graph:
        return graph
    return dict(without_objectives(graph), outputs=output_names(graph), layers=_layers_for(graph, output_names(graph)))


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


def trainable_keys(graph):
    """The keys of the parameters that an update of this graph changes."""
    return [key for key, parameter in parameters_of(graph).items() if parameter["is_trainable"]]


def shared_keys(graph):
    """The keys of the parameters that more than one layer has."""
    return {key for key, ops in _ops_by_key(graph).items() if len(ops) > 1}


def canonical_keys(graph):
    """Those of them that are kept in canonical order, since their layers would not keep them alike.

    That may be so of different operations, and of dense layers, whose columns follow what was flattened before them.
    """
    shared = {key: ops for key, ops in _ops_by_key(graph).items() if len(ops) > 1}
    return {key for key, ops in shared.items() if len(set(ops)) > 1 or "dense" in ops}


def _ops_by_key(graph):
    """{key: the operations of the layers that have it}"""
    ops = collections.defaultdict(list)
    for layer in graph["layers"]:
        for parameter in layer["parameters"]:
            ops[parameter["key"]].append(layer["op"])
    return ops


WITHOUT_GRADIENT = {"roi_align": (1,)}
"""By operation, the places of inputs that get no gradient, although they are floats: of regions."""


def with_gradient(graph):
    """Names of the layers in or before which a trainable parameter lies, and that lead to the loss by floats."""
    floats = {each["name"] for each in inputs_of(graph) if each["dtype"] == "float"}
    names, passed_on = set(), {}
    for layer in graph["layers"]:
        floats.update(
            name for name, value in zip(outputs_of(layer), layer["outputs"]) if value["dtype"] == "float")
        without = WITHOUT_GRADIENT.get(layer["op"], ())
        passed_on[layer["name"]] = {
            layer_of(name) for place, name in enumerate(layer["inputs"]) if name in floats and place not in without}
        has_own = any(p["is_trainable"] for p in layer["parameters"])
        is_float = any(value["dtype"] == "float" for value in layer["outputs"])
        if is_float and (has_own or names & passed_on[layer["name"]]):
            names.add(layer["name"])
    reached = {layer_of(output_names(graph)[0])}
    for layer in reversed(graph["layers"]):
        if layer["name"] in names & reached:
            reached.update(passed_on[layer["name"]])
    return names & reached
