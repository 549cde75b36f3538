"""The same elements in another shape or order."""


def _concat(network, layer):
    network.node(layer, "Concat", layer["inputs"], axis=1)


def _flatten(network, layer):
    network.node(layer, "Flatten", layer["inputs"], axis=1)


def _reshape(network, layer):
    # 0 keeps the size of the batch, which -1 would leave to be computed.
    shape = network.constant(layer, "shape", [0, *layer["attributes"]["shape"]])
    network.node(layer, "Reshape", [layer["inputs"][0], shape])


def _transpose(network, layer):
    axes = [0] + [1 + axis for axis in layer["attributes"]["axes"]]
    network.node(layer, "Transpose", layer["inputs"], perm=axes)


def _slice(network, layer):
    a = dict({"step": 1}, **layer["attributes"])
    bounds = [network.constant(layer, name, [a[name]]) for name in ("start", "stop", "axis", "step")]
    network.node(layer, "Slice", [layer["inputs"][0], *bounds])


def _split(network, layer):
    a = layer["attributes"]
    if "sizes" in a:
        network.node(layer, "Split", layer["inputs"] + [network.constant(layer, "sizes", a["sizes"])], axis=a["axis"])
    else:
        network.node(layer, "Split", layer["inputs"], axis=a["axis"], num_outputs=a["parts"])


def _expand(network, layer):
    value, like = layer["inputs"]
    samples = network.node(layer, "Shape", [like], part="samples", start=0, end=1)
    own = network.constant(layer, "own", layer["outputs"][0]["shape"][1:])
    shape = network.node(layer, "Concat", [samples, own], part="shape", axis=0)
    network.node(layer, "Expand", [value, shape])


def _join(network, layer):
    network.node(layer, "Concat", layer["inputs"], axis=layer["attributes"]["axis"])


def _permute(network, layer):
    network.node(layer, "Transpose", layer["inputs"], perm=layer["attributes"]["axes"])


def _regroup(network, layer):
    a = layer["attributes"]
    shape = [-1 if axis == a.get("batch") else size for axis, size in enumerate(a["shape"])]
    network.node(layer, "Reshape", [layer["inputs"][0], network.constant(layer, "shape", shape)])


def _tile(network, layer):
    network.node(layer, "Tile", [layer["inputs"][0], network.constant(layer, "times", layer["attributes"]["times"])])


def _pad(network, layer):
    a = layer["attributes"]
    sides = network.constant(layer, "sides", a["before"] + a["after"])
    value = [network.constant(layer, "value", a["value"], "float32")] if a["mode"] == "constant" else []
    network.node(layer, "Pad", [layer["inputs"][0], sides, *value], mode=a["mode"])


NODES = {
    "concat": _concat,
    "flatten": _flatten,
    "reshape": _reshape,
    "transpose": _transpose,
    "slice": _slice,
    "split": _split,
    "expand": _expand,
    "join": _join,
    "permute": _permute,
    "regroup": _regroup,
    "tile": _tile,
    "pad": _pad,
}
