"""Functions of each element, and of elements that broadcasting brings together."""


def _relu(run, layer, weights, x):
    return run.nn.relu(x)                # not maximum, whose gradient at 0 is 1/2


def _tanh(run, layer, weights, x):
    return run.np.tanh(x)


def _sigmoid(run, layer, weights, x):
    return run.nn.sigmoid(x)


def _dropout(run, layer, weights, x):
    if not run.is_training:
        return x
    if run.masks is not None:
        return x * run.masks[layer["name"]].astype(x.dtype)
    kept = 1 - layer["attributes"]["rate"]
    return run.np.where(run.draw(x.shape, kept), x / kept, 0)


def _add(run, layer, weights, *inputs):
    return sum(inputs[1:], inputs[0])


def _clip(run, layer, weights, x):
    a = layer["attributes"]
    inside = (x > a["low"]) & (x < a["high"])                    # clip's own gradient at the bounds is 1/2
    return run.np.where(inside, x, run.np.where(x > a["low"], a["high"], a["low"]).astype(x.dtype))


def _gelu(run, layer, weights, x):
    return run.nn.gelu(x, approximate=layer["attributes"]["tanh"])


def _silu(run, layer, weights, x):
    return run.nn.silu(x)


def named(function):
    """The lowering that is jax.numpy's function of this name."""
    return lambda run, layer, weights, *inputs: getattr(run.np, function)(*inputs)


LOWERINGS = {
    "relu": _relu,
    "tanh": _tanh,
    "sigmoid": _sigmoid,
    "dropout": _dropout,
    "add": _add,
    "clip": _clip,
    "gelu": _gelu,
    "silu": _silu,
    "exp": named("exp"),
    "log": named("log"),
    "sqrt": named("sqrt"),
    "abs": named("abs"),
    "negative": named("negative"),
    "sin": named("sin"),
    "cos": named("cos"),
    "subtract": named("subtract"),
    "multiply": named("multiply"),
    "divide": named("divide"),
    "maximum": named("maximum"),
    "minimum": named("minimum"),
}
