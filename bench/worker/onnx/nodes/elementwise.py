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
    a = layer["attributes"]
    bounds = [network.constant(layer, name, a[name], "float32") if name in a else "" for name in ("low", "high")]
    network.node(layer, "Clip", [layer["inputs"][0], *bounds])


def _leaky_relu(network, layer):
    network.node(layer, "LeakyRelu", layer["inputs"], alpha=layer["attributes"]["slope"])


def _prelu(network, layer):
    spread = [-1] + [1] * (len(layer["input_shapes"][0]) - 1)        # one slope for each channel
    slope = network.parameter(layer, "slope", lambda array: array.reshape(spread))
    network.node(layer, "PRelu", [layer["inputs"][0], slope])


def _elu(network, layer):
    network.node(layer, "Elu", layer["inputs"], alpha=layer["attributes"]["alpha"])


def _hard_sigmoid(network, layer):
    a = layer["attributes"]
    network.node(layer, "HardSigmoid", layer["inputs"], alpha=a["alpha"], beta=a["beta"])


def _power(network, layer):
    exponent = network.constant(layer, "exponent", layer["attributes"]["exponent"], "float32")
    network.node(layer, "Pow", [layer["inputs"][0], exponent])


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
    "leaky_relu": _leaky_relu,
    "prelu": _prelu,
    "elu": _elu,
    "selu": named("Selu"),
    "softplus": named("Softplus"),
    "hard_sigmoid": _hard_sigmoid,
    "hard_swish": named("HardSwish"),
    "power": _power,
    "reciprocal": named("Reciprocal"),
    "erf": named("Erf"),
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
