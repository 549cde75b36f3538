"""Functions of each element, and of elements that broadcasting brings together."""

from .. import Refused


def _unary(op):
    def take(net, node):
        net.give(node, net.layer(node, op, [net.cast(net.read(node, 0), "float")]))
    return take


def _with(op, **names):
    """An operation with attributes: {its name: (name in the file, usual value)}."""
    def take(net, node):
        attributes = {ours: float(node.get(theirs, usual)) for ours, (theirs, usual) in names.items()}
        net.give(node, net.layer(node, op, [net.read(node, 0)], attributes))
    return take


def _binary(op):
    """Of floats; whole numbers go through floats, which hold them exactly up to 2 ** 24."""
    def take(net, node):
        values = [net.read(node, index) for index in range(len(node.inputs))]
        dtype = net.stated(node).dtype
        values = [net.cast(each, "float") for each in values]
        total = values[0]
        if op == "add" and len(values) > 2:
            total = net.both(node, op, values)
        else:
            for index, each in enumerate(values[1:]):
                total = net.both(node, op, [total, each], also=".%d" % index if len(values) > 2 else "")
        net.give(node, net.cast(total, dtype))
    return take


def _comparison(op):
    def take(net, node):
        values = [net.read(node, index) for index in range(2)]
        if any(each.dtype != "int64" for each in values):
            values = [net.cast(each, "float") for each in values]
        net.give(node, net.both(node, op, values, dtype="bool"))
    return take


def _logic(op):
    def take(net, node):
        net.give(node, net.both(node, op, [net.cast(net.read(node, index), "bool")
                                           for index in range(len(node.inputs))], dtype="bool"))
    return take


def _where(net, node):
    condition, first, second = (net.read(node, index) for index in range(3))
    if first.dtype == "bool":
        first, second = net.cast(first, "float"), net.cast(second, "float")
    like = net.broadcast([condition, first, second], first.dtype)
    net.give(node, net.cast(net.layer(node, "where", [condition, first, second], like=like), net.stated(node).dtype))


def _cast(net, node):
    value, dtype = net.read(node, 0), net.stated(node).dtype
    net.give(node, net.cast(value, dtype, net.label(node)))


def _power(net, node):
    value, exponent = net.cast(net.read(node, 0), "float"), net.need(node, 1, "exponent").reshape(-1)
    if exponent.size != 1:
        raise Refused("%s has several exponents; one is known" % node.said)
    exponent = float(exponent[0])
    if exponent == 2:
        net.give(node, net.layer(node, "multiply", [value, value]))
    elif exponent == 0.5:
        net.give(node, net.layer(node, "sqrt", [value]))
    elif exponent == 1:
        net.give(node, value)
    else:
        net.give(node, net.layer(node, "power", [value], {"exponent": exponent}))


def _clip(net, node):
    bounds = {}
    for ours, name, index in (("low", "min", 1), ("high", "max", 2)):
        bound = node.get(name)
        if bound is None and node.has(index):
            bound = net.need(node, index, "bound").reshape(-1)[0]
        bounds[ours] = None if bound is None or abs(float(bound)) > 3e38 else float(bound)
    value = net.read(node, 0)
    floats = net.cast(value, "float")
    if bounds == {"low": 0.0, "high": None}:
        net.give(node, net.cast(net.layer(node, "relu", [floats]), value.dtype))
    elif bounds == {"low": None, "high": None}:
        net.give(node, value)
    else:
        net.give(node, net.cast(net.layer(node, "clip", [floats], bounds), value.dtype))


def _gelu(net, node):
    net.give(node, net.layer(node, "gelu", [net.read(node, 0)], {"tanh": node.get("approximate", "none") == "tanh"}))


def _prelu(net, node):
    value, slope = net.read(node, 0), net.need(node, 1, "slope")
    if value.batch != 0 or len(value.shape) < 2:
        raise Refused("%s takes values with the batch as their first axis" % node.said)
    size = value.shape[1]
    if slope.size not in (1, size) or (slope.size == size and slope.size > 1 and slope.ndim > 1
                                       and slope.shape[-len(value.shape) + 1] != size):
        raise Refused("%s has a slope of %s; one per channel, or one for all is known" % (node.said, slope.shape))
    net.give(node, net.layer(node, "prelu", [value], {"is_shared": slope.size == 1},
                             parameters={"slope": slope.reshape(-1)}))


def _mish(net, node):
    value = net.read(node, 0)
    soft = net.layer(node, "softplus", [value], also=".softplus")
    net.give(node, net.layer(node, "multiply", [value, net.layer(node, "tanh", [soft], also=".tanh")]))


def _not_a_number(net, node):
    value = net.read(node, 0)
    same = net.both(node, "equal", [value, value], also=".equal", dtype="bool")
    net.give(node, net.layer(node, "not", [same], like=same._replace(name=None)))


OPERATORS = {
    "Relu": _unary("relu"), "Sigmoid": _unary("sigmoid"), "Tanh": _unary("tanh"), "Exp": _unary("exp"),
    "Log": _unary("log"), "Sqrt": _unary("sqrt"), "Erf": _unary("erf"), "Abs": _unary("abs"), "Sin": _unary("sin"),
    "Cos": _unary("cos"), "Neg": _unary("negative"), "Reciprocal": _unary("reciprocal"),
    "Softplus": _unary("softplus"), "HardSwish": _unary("hard_swish"), "Silu": _unary("silu"), "Swish": _unary("silu"),
    "LeakyRelu": _with("leaky_relu", slope=("alpha", 0.01)), "Elu": _with("elu", alpha=("alpha", 1.0)),
    "HardSigmoid": _with("hard_sigmoid", alpha=("alpha", 0.2), beta=("beta", 0.5)),
    "Add": _binary("add"), "Sum": _binary("add"), "Sub": _binary("subtract"), "Mul": _binary("multiply"),
    "Div": _binary("divide"), "Max": _binary("maximum"), "Min": _binary("minimum"),
    "Equal": _comparison("equal"), "Greater": _comparison("greater"), "Less": _comparison("less"),
    "GreaterOrEqual": _comparison("greater_equal"), "LessOrEqual": _comparison("less_equal"),
    "And": _logic("and"), "Or": _logic("or"), "Not": _logic("not"), "IsNaN": _not_a_number,
    "Where": _where, "Cast": _cast, "Pow": _power, "Clip": _clip, "Gelu": _gelu, "PRelu": _prelu, "Mish": _mish,
}
