"""From the model of a file to a graph in its plain form, weights by key, and notes about what the graph is not."""

import numpy as np

from . import Refused, lifting, patterns
from .folding import Folded, kind
from .loading import nodes
from .net import Net, Value

BATCHES = (2, 3)             # at which a file is folded: what differs between them grows with the batch
USUAL_VOCABULARY = 2         # of whole numbers that look nothing up
LOSS = "mean_squared_error"
OPTIMIZER = {"kind": "sgd", "learning_rate": 1e-4, "momentum": 0.0}


class Place(object):
    """An input of a file: its dtype, its sizes (None: open), and which of its axes is the batch (None: none is)."""

    def __init__(self, info, shape):
        from onnx import helper

        if info.type.WhichOneof("value") != "tensor_type" or not info.type.tensor_type.HasField("shape"):
            raise Refused("input '%s' is no tensor of a known number of axes" % info.name)
        self.name = info.name
        self.dtype = helper.tensor_dtype_to_np_dtype(info.type.tensor_type.elem_type)
        dims = info.type.tensor_type.shape.dim
        self.symbols = [each.dim_param or None for each in dims]
        self.sizes = [each.dim_value if each.dim_value > 0 else None for each in dims]
        self.batch = None
        if shape is not None:
            if len(shape) != len(self.sizes):
                raise Refused("input '%s' has %d axes, but --shape gives %d" % (info.name, len(dims), len(shape)))
            for axis, (size, wanted) in enumerate(zip(self.sizes, shape)):
                if size is not None and size != wanted:
                    raise Refused("axis %d of input '%s' is %d, but --shape gives %d" % (axis, info.name, size, wanted))
                if axis > 0 and (self.symbols[axis] is None or self.symbols[axis] != self.symbols[0]):
                    self.sizes[axis] = wanted

    def at(self, batch):
        return tuple(batch if axis == self.batch else size for axis, size in enumerate(self.sizes))


def places(model, shapes, pins):
    """The inputs of a model; raises Refused where one has an open axis besides the batch, or none for it."""
    constants = {each.name for each in model.graph.initializer}
    read = {name for node in nodes(model.graph) for name in node.input}
    inputs = [each for each in model.graph.input if each.name not in constants and each.name in read]
    names = [each.name for each in inputs]
    for option, given in (("--shape", shapes), ("--pin", pins)):
        for name in given:
            if name not in names:
                raise Refused("it has no input '%s', which %s names; it has: %s" % (name, option, ", ".join(names)))
    found = [Place(each, shapes.get(each.name)) for each in inputs if each.name not in pins]
    if not found:
        raise Refused("it has no inputs beside those that are pinned")
    symbols = {each.symbols[0] for each in found if each.sizes and each.sizes[0] is None and each.symbols[0]}
    free = {each.symbols[axis] for each in found for axis, size in enumerate(each.sizes) if size is None}
    if not symbols and len(free) == 1:
        symbols = free - {None}      # of sequences whose first axis is a number of steps that is fixed
    for each in found:
        marked = [axis for axis, symbol in enumerate(each.symbols) if symbol in symbols and each.sizes[axis] is None]
        if marked:
            each.batch = marked[0]
        elif None in each.sizes:
            open_axes = [axis for axis, size in enumerate(each.sizes) if size is None]
            each.batch = open_axes[0] if open_axes[0] == 0 or len(open_axes) == 1 else None
        free = [axis for axis, size in enumerate(each.sizes) if size is None and axis != each.batch]
        if free:
            raise Refused("input '%s' has open axes %s; give their sizes: --shape %s=%s" % (
                each.name, ", ".join(map(str, free)), each.name,
                ",".join("1" if axis == each.batch else str(size or 224) for axis, size in enumerate(each.sizes))))
    return found


def imported(model, shapes, pins):
    """(plain form, weights, notes, how another engine runs the file on the same samples) of a model."""
    try:
        return _imported(model, shapes, pins)
    except Refused as error:
        try:
            alone = _of_one_sample(model, shapes, pins)
        except Refused:
            alone = None
        if alone is None:
            raise error
        return alone


def _of_one_sample(model, shapes, pins):
    """The same of a file that takes one sample at a time, whose shapes have no axis for samples; None for others."""
    found = places(model, shapes, pins)
    if not any(each.batch is None and 1 in each.sizes for each in found):
        return None
    sizes = {each.name: tuple(shapes.get(each.name) or [size or 1 for size in each.sizes]) for each in found}
    lifted = lifting.lifted(Folded(model, sizes, _all_pinned(model, pins), 1, 1))
    plain, weights, notes, original = _imported(lifted, {}, {})
    output = [each.name for each in model.graph.output].index(lifted.graph.output[original["output"]].name)
    read = {
        name: dict(place, batch=None, shape=list(sizes[name])) for name, place in original["places"].items()
    }
    note = "The file takes one sample at a time, of which the network takes a batch."
    return plain, weights, [note, *notes], {"places": read, "output": output, "axis": 0, "is_alone": True}


def _all_pinned(model, pins):
    return {each.name: _pinned(each, pins[each.name]) for each in model.graph.input if each.name in pins}


def _imported(model, shapes, pins):
    found = places(model, shapes, pins)
    fixed = None
    if all(each.batch is None for each in found):
        fixed = found[0].sizes[0] if found[0].sizes else None
        for each in found:           # the states of recurrent layers have the batch behind another axis
            if fixed not in each.sizes:
                raise Refused("input '%s' has no axis for a batch; export it with an open one" % each.name)
            each.batch = each.sizes.index(fixed)
    for each in found:
        if each.batch is None:
            raise Refused("input '%s' is one for all samples; pin it: --pin %s=VALUE" % (each.name, each.name))
    arrays = _all_pinned(model, pins)
    try:
        first, second = (
            Folded(model, {each.name: each.at(batch) for each in found}, arrays, batch, fixed) for batch in BATCHES
        )
        net = Net(first, second)
    except Refused as error:
        if fixed is not None:
            raise Refused("%s; the file fixes its batch at %d: export it with an open one" % (error, fixed)) from error
        raise
    for each in found:
        _input(net, each)
    for node in patterns.fused(net):
        net.take(node)
    outputs = _outputs(net, model)
    plain = _pruned(net, outputs)
    told = dict(_original(net, model, found, plain), feeds=_feeds(model, found, pins), fixed_batch=fixed)
    for each in told["feeds"]:
        each["key"] = told["places"].get(each["name"], {}).get("key")
    return plain, _used(net, plain), net.notes + _about_training(plain), told


def _pinned(info, value):
    from onnx import helper

    dtype = helper.tensor_dtype_to_np_dtype(info.type.tensor_type.elem_type)
    dims = [each.dim_value if each.dim_value > 0 else 1 for each in info.type.tensor_type.shape.dim]
    return np.full(dims, value, dtype)


def _input(net, place):
    """Makes an input of the graph, whose batch is its first axis, and the value that the file's nodes read."""
    name = net.name(place.name)
    sample = [size for axis, size in enumerate(place.sizes) if axis != place.batch]
    dtype = kind(place.dtype)
    net.inputs.append(Value(name, (1, *sample), 0, dtype))
    net.originals[name] = place.name
    axes = list(range(1, len(place.sizes)))
    axes.insert(place.batch, 0)
    net.bind(place.name, net.permute(net.inputs[-1], axes, name + ".axes"))


def _draw(net, value, original):
    """How synthetic samples of an input are drawn: floats, tokens of the table that they look up, or ones of masks."""
    given = {"shape": list(value.shape[1:]), "name": value.name, "dtype": value.dtype, "vocabulary": None}
    if value.dtype == "float":
        return dict(given, draw="normal")
    if value.dtype == "bool" or "mask" in original.lower():
        return dict(given, draw="ones")
    vocabulary = _vocabulary(net, original)
    if vocabulary is None and "position" in original.lower() and len(value.shape) > 1:
        return dict(given, draw="positions")
    return dict(given, draw="tokens", vocabulary=vocabulary or USUAL_VOCABULARY)


def _vocabulary(net, name):
    """Rows of the smallest table that an input looks up, perhaps in another shape; None if there is none."""
    waiting, met, sizes = [name], set(), []
    while waiting:
        each = waiting.pop()
        for node in net.nodes:
            if each not in node.inputs or id(node) in met:
                continue
            met.add(id(node))
            if node.op == "Gather" and node.inputs[1] == each and net.const(node.inputs[0]) is not None:
                sizes.append(net.const(node.inputs[0]).shape[node.get("axis", 0)])
            elif node.op == "OneHot" and net.const(node.inputs[1]) is not None:
                sizes.append(int(net.const(node.inputs[1]).reshape(-1)[0]))
            elif node.op == "Equal" and len(node.inputs) == 2:       # one-hot by hand: against 0, 1, 2, ...
                other = net.const(node.inputs[1 - node.inputs.index(each)])
                if other is not None and np.array_equal(other.reshape(-1), np.arange(other.size)):
                    sizes.append(other.size)
            elif node.op in ("Cast", "Expand", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Slice", "Transpose"):
                waiting.extend(node.outputs)
    return min(sizes) if sizes else None


def _original(net, model, found, plain):
    """{"places": of each input of the file, "output": index of the first output, "axis": of its batch}."""
    read = [each["name"] for each in plain["inputs"]]
    keys = {name: "x" if len(read) == 1 else "x:" + name for name in read}
    places = {}
    for own, place in zip(net.inputs, found):
        name = "input" if own.name not in keys and len(read) == 1 and net.only == own.name else own.name
        places[place.name] = {"key": keys.get(name), "batch": place.batch, "shape": list(place.at(1))}
    return {
        "places": places, "output": net.compared[0], "axis": net.compared[1],
        "outputs": [list(net.given_out[name]) for name in plain["outputs"]],
    }


def _feeds(model, found, pins):
    """What a run of the file takes, in its order: [{"name", "dtype", "shape" (None: the batch), "value" of a pin}].

    An input that nothing reads gets zeros.
    """
    from onnx import helper

    constants, known = {each.name for each in model.graph.initializer}, {each.name: each for each in found}
    feeds = []
    for info in model.graph.input:
        if info.name in constants:
            continue
        place, dims = known.get(info.name), info.type.tensor_type.shape.dim
        sizes = [each.dim_value if each.dim_value > 0 else 1 for each in dims]
        feeds.append({
            "name": info.name, "dtype": helper.tensor_dtype_to_np_dtype(info.type.tensor_type.elem_type).name,
            "shape": sizes if place is None else [None if axis == place.batch else size
                                                  for axis, size in enumerate(place.sizes)],
            "value": pins.get(info.name, 0),
        })
    return feeds


def _outputs(net, model):
    """The names of the outputs, each with the batch as its first axis; the first of floats is what the loss takes."""
    found, others = [], []
    inputs = {each.name for each in net.inputs}
    for index, each in enumerate(model.graph.output):
        value = net.value(each.name)
        if value is None or value.batch is None or value.name in inputs:
            net.notes.append("Output '%s' is left out: it is no result of a sample." % each.name)
            continue
        rows, batch = value.shape[value.batch], value.batch
        if value.dtype == "float" and net.compared is None:
            net.compared = index, value.batch
        label = "output." + each.name
        axes = [value.batch] + [axis for axis in range(len(value.shape)) if axis != value.batch]
        value = net.permute(value, axes, label)
        if rows > 1 or len(value.shape) == 1:
            value = net.regroup(value, (1, rows, *value.shape[1:]), 0, label + ".rows")
        if value.name not in found + others:
            net.given_out[value.name] = index, batch
            (found if value.dtype == "float" else others).append(value.name)
    if not found:
        raise Refused("none of its outputs is a number of each sample, so that there is nothing to compare")
    return found + others


def _pruned(net, outputs):
    """The plain form with the layers and inputs that outputs need."""
    needed, layers = {each.partition(":")[0] for each in outputs}, []
    for layer in reversed(net.layers):
        if layer["name"] in needed:
            layers.append(layer)
            needed.update(each.partition(":")[0] for each in layer["inputs"])
    inputs = [_draw(net, each, net.originals[each.name]) for each in net.inputs if each.name in needed]
    for each in net.inputs:
        if each.name not in needed:
            net.notes.append("Input '%s' is left out: the output does not depend on it." % net.originals[each.name])
    if not inputs:
        raise Refused("its outputs depend on no input")
    plain = {"name": "network", "inputs": inputs, "layers": layers[::-1], "outputs": outputs, "loss": LOSS,
             "optimizer": OPTIMIZER}
    if len(inputs) == 1 and inputs[0]["draw"] in ("normal", "tokens"):
        _as_only_input(net, plain)
    return plain


def _as_only_input(net, plain):
    """The only input is named as that of a network of ours, so that equal networks have equal fingerprints."""
    old, new = plain["inputs"][0]["name"], "input"
    net.only = old
    if new != old and any(layer["name"] == new for layer in plain["layers"]):
        return
    plain["inputs"][0]["name"] = new
    for layer in plain["layers"]:
        layer["inputs"] = [new if each == old else each for each in layer["inputs"]]


def _used(net, plain):
    names = {layer["name"] for layer in plain["layers"]}
    return {key: array for key, array in net.weights.items() if key.rpartition("/")[0] in names}


def _about_training(plain):
    kinds = [layer["op"] for layer in plain["layers"]]
    if "conv2d" in kinds and "batch_norm" not in kinds and not {"layer_norm", "group_norm"} & set(kinds):
        return ["It has convolutions without batch normalisation, which exporters fold into them: what is trained is "
                "then another network than the one that the file was made from. Measure inference, or bring the module "
                "itself."]
    return []

