"""Functions of each element, and of elements that broadcasting brings together."""

from ._base import named


def _dropout(network, layer):
    """In inference it passes its input on; a reader of the file still finds the rate."""
    network.node(layer, "Dropout", [layer["inputs"][0], network.constant(
        layer, "rate", layer["attributes"]["rate"], "float32")])


def _add(network, layer):
    """Sums of two, which engines fuse with what is before them, and not Sum."""
    total = layer["inputs"][0]
    for index, other in enumerate(layer["inputs"][1:], start=1):
        part = None if index == len(layer["inputs"]) - 1 else "sum%d" % index
        total = network.node(layer, "Add", [total, other], part=part)


def _clip(network, layer):
    bounds = [network.constant(layer, name, layer["attributes"][name], "float32") for name in ("low", "high")]
    network.node(layer, "Clip", [layer["inputs"][0], *bounds])


def _gelu(network, layer):
    network.node(layer, "Gelu", layer["inputs"], approximate="tanh" if layer["attributes"]["tanh"] else "none")


def _silu(network, layer):
    sigmoid = network.node(layer, "Sigmoid", layer["inputs"], part="sigmoid")
    network.node(layer, "Mul", [layer["inputs"][0], sigmoid])


NODES = {
    "relu": named("Relu"),
    "tanh": named("Tanh"),
    "sigmoid": named("Sigmoid"),
    "dropout": _dropout,
    "add": _add,
    "clip": _clip,
    "gelu": _gelu,
    "silu": _silu,
    "exp": named("Exp"),
    "log": named("Log"),
    "sqrt": named("Sqrt"),
    "abs": named("Abs"),
    "negative": named("Neg"),
    "sin": named("Sin"),
    "cos": named("Cos"),
    "subtract": named("Sub"),
    "multiply": named("Mul"),
    "divide": named("Div"),
    "maximum": named("Max"),
    "minimum": named("Min"),
}
