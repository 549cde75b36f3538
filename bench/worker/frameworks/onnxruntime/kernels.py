"""Which layers a kernel of ONNX Runtime does the work of, by the names in its own profile.

A node of the file has the name of its layer. The optimiser joins a product with what follows it, and then names the
kernel after one of the layers that it joined: "relu1_nchwc" for a convolution, its normalisation and its ReLU. Others
lose their names; then it is not known whose time it is, and nothing is told.
"""

import collections

from ...graphs import inputs_of, layer_of
from .. import Unsupported

Kernel = collections.namedtuple("Kernel", "name op time_s")

NAME, MARK = "_kernel_time", "_nchwc"        # the latter: of images whose channels lie in blocks
PRODUCTS = {
    "Conv": ("conv2d", "conv_transpose2d"), "ConvTranspose": ("conv_transpose2d",),
    "Gemm": ("dense",), "FusedGemm": ("dense",), "MatMul": ("dense", "matmul"), "FusedMatMul": ("dense", "matmul"),
}
JOINED = ("batch_norm", "add", "relu", "clip", "sigmoid", "tanh", "leaky_relu", "hard_sigmoid")
"""Operations that the optimiser joins with the product before them."""
WITHOUT_WORK = ("dropout", "parameter", "flatten", "reshape", "regroup")
BETWEEN = ("ReorderInput", "ReorderOutput")  # copies of images into blocks and back, which belong to no layer


def of_profile(events, steps):
    """The kernels of the last ``steps`` runs of a session, in the order of execution, each with its mean time."""
    runs = sorted((each["ts"], each["ts"] + each["dur"]) for each in events if each["name"] == "model_run")[-steps:]
    times_us = collections.OrderedDict()
    for each in sorted((each for each in events if each.get("cat") == "Node"), key=lambda each: each["ts"]):
        if each["name"].endswith(NAME) and any(begin <= each["ts"] <= end for begin, end in runs):
            key = each["name"][:-len(NAME)], each["args"]["op_name"]
            times_us[key] = times_us.get(key, 0) + each["dur"]
    return [Kernel(name, op, time_us / 1e6 / steps) for (name, op), time_us in times_us.items()]


def rows(graph, kernels):
    """The rows of a profile, in the form of bench.worker.tracing; raises Unsupported where a name tells no layer."""
    layers = collections.OrderedDict((layer["name"], layer) for layer in graph["layers"])
    named = [(_layer(kernel, layers), kernel) for kernel in kernels if kernel.op not in BETWEEN]
    places = {}                                      # layer -> the place of the last kernel that works for it
    for place, (name, _) in enumerate(named):
        places[name] = place
    own = set(places)
    for place, (name, kernel) in enumerate(named):
        for joined in _before(name, kernel, layers, own):
            places[joined] = place
    for name, layer in layers.items():
        if name not in places:
            places[name] = _behind(layer, places, named, {each["name"] for each in inputs_of(graph)})
    by_layer = collections.OrderedDict()
    for place, (name, kernel) in enumerate(named):
        members = [each for each in layers if places[each] == place and layers[each]["op"] not in WITHOUT_WORK]
        owner = next((each for each in members if layers[each]["op"] in PRODUCTS.get(kernel.op, ())), name)
        row = by_layer.setdefault(owner, {"layer": owner, "direction": "forward", "time_s": 0.0})
        row["time_s"] += kernel.time_s
        if len(members) > 1:
            row["members"] = members
    return list(by_layer.values())


def _layer(kernel, layers):
    name = kernel.name[:-len(MARK)] if kernel.name.endswith(MARK) else kernel.name
    name = name[len("fused "):] if name.startswith("fused ") else name
    name = name.split("/")[0]
    if name not in layers:
        raise Unsupported("ONNX Runtime ran a kernel '%s' (%s), whose name does not tell for which layer" % (
            kernel.name, kernel.op))
    return name


def _before(name, kernel, layers, own):
    """The layers between the joined one that a kernel has its name from, and its product, the product included."""
    products, before = PRODUCTS.get(kernel.op, ()) if layers[name]["op"] in JOINED else (), []
    while products and layers[name]["op"] not in products:
        name = layer_of(layers[name]["inputs"][0])
        if name in own or name not in layers:
            raise Unsupported("ONNX Runtime ran a kernel '%s' (%s), and its profile does not tell of which product" % (
                kernel.name, kernel.op))
        before.append(name)
    return before


def _behind(layer, places, named, inputs):
    """The place of the kernel that does the work of a layer which has none of its own; None where there is no work."""
    before = [places[layer_of(value)] for value in layer["inputs"] if value not in inputs]
    last = max((place for place in before if place is not None), default=None)
    if layer["op"] in WITHOUT_WORK:
        return last
    if layer["op"] not in JOINED or last is None or named[last][1].op not in PRODUCTS:
        raise Unsupported("ONNX Runtime ran no kernel with the name of layer '%s', and its profile does not tell in "
                          "which one its work is" % layer["name"])
    return last
