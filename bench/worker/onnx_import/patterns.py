"""Nodes that together are one operation, which a framework has as a whole: they are made one node."""

import numpy as np


def fused(net):
    """The nodes of a net, with those that belong together as one; the last of them stands for all."""
    matcher = Matcher(net)
    for match in (_bias, _rows, _layer_norm, _gelu, _silu, _hard_swish, _attention):
        for node in net.nodes:
            if id(node) not in matcher.gone:
                match(matcher, node)
    return [node for node in net.nodes if id(node) not in matcher.gone]


class Matcher(object):
    """The nodes of a net by what they give."""

    def __init__(self, net):
        self.net, self.gone = net, set()
        self._makers = {name: node for node in net.nodes for name in node.outputs if name}

    def maker(self, name, op=None):
        """The node that gives a value, if it is of this operator and not a part of another."""
        node = self._makers.get(name)
        return None if node is None or id(node) in self.gone or op not in (None, node.op) else node

    def single(self, name, op):
        """As ``maker``, of a value that one node reads."""
        return self.maker(name, op) if self.net.readers[name] == 1 else None

    def number(self, name):
        """The only number of a constant; None for all else."""
        array = self.net.const(name)
        return float(array.reshape(-1)[0]) if array is not None and array.size == 1 else None

    def is_number(self, name, wanted):
        number = self.number(name)
        return number is not None and abs(number - wanted) <= 1e-4 * max(1.0, abs(wanted))

    def other(self, node, name):
        """The input of a node with two that is not this one."""
        return node.inputs[1] if node.inputs[0] == name else node.inputs[0]

    def sides(self, node):
        """(input, the other one) of a node with two, in both orders."""
        return ((node.inputs[0], node.inputs[1]), (node.inputs[1], node.inputs[0])) if len(node.inputs) == 2 else ()

    def drop(self, *nodes):
        self.gone.update(map(id, nodes))

    def become(self, node, op, inputs, **attributes):
        """Makes the last node of a pattern the whole."""
        node.op, node.inputs, node.attributes = op, list(inputs), attributes


def _bias(matcher, node):
    """MatMul by a weight, then Add of a vector."""
    if node.op != "Add":
        return
    for product_name, bias_name in matcher.sides(node):
        product, bias = matcher.single(product_name, "MatMul"), matcher.net.const(bias_name)
        if product is None or bias is None or bias.dtype.kind != "f":
            continue
        weight = matcher.net.const(product.inputs[1])
        if weight is None or weight.ndim != 2 or bias.size != weight.shape[1] or bias.shape[-1:] != weight.shape[1:]:
            continue
        if len(matcher.net.first.shape(product_name)) < bias.ndim:
            continue
        matcher.drop(product)
        matcher.become(node, "MatMul", product.inputs, bias=bias.reshape(-1))
        return


def _rows(matcher, node):
    """Reshape of all axes but the last to one of rows, a product of each row with a weight, and Reshape back.

    Where the batch is not the first of the axes, as behind recurrent layers, the rows mix the samples.
    """
    if node.op != "Reshape":
        return
    product = matcher.single(node.inputs[0], None)
    merged = product and product.op in ("Gemm", "MatMul") and matcher.single(product.inputs[0], "Reshape")
    if not merged or product.get("transA", 0) or matcher.net.const(product.inputs[1]) is None:
        return
    shape = matcher.net.first.shape
    before, rows, after = shape(merged.inputs[0]), shape(merged.outputs[0]), shape(node.outputs[0])
    if len(rows) == 2 and before[:-1] == after[:-1] and before[-1] == rows[-1]:
        matcher.drop(merged, product)
        matcher.become(node, product.op, [merged.inputs[0], *product.inputs[1:]], **product.attributes)


def _layer_norm(matcher, node):
    """(x - mean) / sqrt(mean of (x - mean) ** 2 + epsilon), times a scale, and a shift."""
    if node.op != "Add":
        return
    for product_name, beta_name in matcher.sides(node):
        product = matcher.single(product_name, "Mul")
        beta = matcher.net.const(beta_name)
        if product is None or beta is None:
            continue
        for normal_name, gamma_name in matcher.sides(product):
            gamma = matcher.net.const(gamma_name)
            normal = matcher.single(normal_name, "Div")
            if gamma is None or normal is None or gamma.shape != beta.shape or gamma.ndim != 1:
                continue
            parts = _standardised(matcher, normal)
            if parts is not None and gamma.shape[0] == matcher.net.first.shape(parts[0])[-1]:
                matcher.drop(product, normal, *parts[2])
                matcher.become(node, "LayerNormalization", [parts[0], gamma_name, beta_name], axis=-1, epsilon=parts[1])
                return


def _standardised(matcher, normal):
    """(name of x, epsilon, nodes) of a division that standardises the last axis; None for another."""
    root = matcher.single(normal.inputs[1], "Sqrt")
    centred = matcher.maker(normal.inputs[0], "Sub")
    total = root and matcher.single(root.inputs[0], "Add")
    if centred is None or not total:
        return None
    for variance_name, epsilon_name in matcher.sides(total):
        variance, epsilon = matcher.single(variance_name, "ReduceMean"), matcher.number(epsilon_name)
        square = variance and epsilon is not None and matcher.maker(variance.inputs[0])
        mean = matcher.single(centred.inputs[1], "ReduceMean")
        if not square or mean is None or mean.inputs[0] != centred.inputs[0]:
            continue
        # Some exporters compute the difference twice.
        again = matcher.maker(square.inputs[0], "Sub")
        is_square = (square.op == "Pow" and matcher.is_number(square.inputs[1], 2)) or (
            square.op == "Mul" and square.inputs[0] == square.inputs[1])
        if is_square and again is not None and list(again.inputs) == list(centred.inputs) and all(
                _is_of_last(matcher, each) for each in (variance, mean)):
            return centred.inputs[0], epsilon, [root, centred, total, variance, square, mean, again]
    return None


def _is_of_last(matcher, node):
    axes = matcher.net.numbers(node, 1, "axes")
    rank = len(matcher.net.first.shape(node.inputs[0]))
    return axes is not None and [axis % rank for axis in axes] == [rank - 1] and node.get("keepdims", 1)


def _factors(matcher, node, most=4):
    """(names of what a tree of Mul multiplies, the nodes of the tree below this one)."""
    names, nodes, waiting = [], [], list(node.inputs)
    while waiting:
        name = waiting.pop()
        below = matcher.single(name, "Mul")
        if below is not None and len(names) + len(waiting) < most:
            nodes.append(below)
            waiting.extend(below.inputs)
        else:
            names.append(name)
    return names, nodes


def _gelu(matcher, node):
    """x * 0.5 * (1 + erf(x / sqrt(2)))."""
    if node.op != "Mul":
        return
    names, nodes = _factors(matcher, node)
    for name in names:
        total = matcher.single(name, "Add")
        if total is None:
            continue
        for erf_name, one in matcher.sides(total):
            erf = matcher.single(erf_name, "Erf")
            scaled = erf and matcher.single(erf.inputs[0], None)
            if not scaled or not matcher.is_number(one, 1) or scaled.op not in ("Div", "Mul"):
                continue
            x, root = scaled.inputs if scaled.op == "Div" or matcher.number(scaled.inputs[1]) is not None else (
                scaled.inputs[1], scaled.inputs[0])
            rest = [each for each in names if each not in (name, x)]
            fits = matcher.is_number(root, np.sqrt(2) if scaled.op == "Div" else np.sqrt(0.5))
            if fits and names.count(x) == 1 and len(rest) == 1 and matcher.is_number(rest[0], 0.5):
                matcher.drop(total, erf, scaled, *nodes)
                matcher.become(node, "Gelu", [x])
                return


def _silu(matcher, node):
    """x * sigmoid(x)."""
    if node.op != "Mul":
        return
    for x, name in matcher.sides(node):
        gate = matcher.single(name, "Sigmoid")
        if gate is not None and gate.inputs[0] == x:
            matcher.drop(gate)
            matcher.become(node, "Silu", [x])
            return


def _hard_swish(matcher, node):
    """x * hard_sigmoid(x) with the constants of MobileNet v3."""
    if node.op != "Mul":
        return
    for x, name in matcher.sides(node):
        gate = matcher.single(name, "HardSigmoid")
        if gate is not None and gate.inputs[0] == x and abs(gate.get("alpha", 0.2) - 1 / 6.0) < 1e-6 and abs(
                gate.get("beta", 0.5) - 0.5) < 1e-6:
            matcher.drop(gate)
            matcher.become(node, "HardSwish", [x])
            return


def _attention(matcher, node):
    """softmax(query key^T * scale + mask) value, of (batch, heads, steps, features)."""
    if node.op != "MatMul" or node.get("bias") is not None:
        return
    soft = matcher.single(node.inputs[0], "Softmax")
    if soft is None or soft.get("axis", 1 if matcher.net.opset < 13 else -1) not in (-1, 3):
        return
    scores, masks, nodes = soft.inputs[0], [], [soft]
    total = matcher.single(scores, "Add")
    if total is not None:
        for name, mask in matcher.sides(total):
            if matcher.single(name, None) is not None and matcher.maker(name).op in ("MatMul", "Mul", "Div"):
                scores, masks, nodes = name, [mask], [*nodes, total]
                break
    scale, scaled = 1.0, matcher.single(scores, None)
    if scaled is not None and scaled.op in ("Mul", "Div"):
        sides = matcher.sides(scaled) if scaled.op == "Mul" else matcher.sides(scaled)[:1]
        for name, factor in sides:
            number = matcher.number(factor)
            if number:
                scale, scores = number if scaled.op == "Mul" else 1 / number, name
                nodes.append(scaled)
                break
    product = matcher.single(scores, "MatMul")
    if product is None or product.get("bias") is not None or any(each.op == "Attention" for each in nodes):
        return
    query, key, value = product.inputs[0], product.inputs[1], node.inputs[1]
    if _is_of_heads(matcher, query, key, value):
        matcher.drop(product, *nodes)
        matcher.become(node, "AttentionOfHeads", [query, key, value, *masks], scale=scale)


def _is_of_heads(matcher, query, transposed, value):
    """Whether three values are data of samples, with as many heads, and sizes that fit."""
    batch, names = matcher.net.first.batch, (query, transposed, value)
    if any(matcher.net.const(name) is not None for name in names):
        return False
    first, second, third = (matcher.net.first.shape(name) for name in names)
    return (len(first) == len(second) == len(third) == 4 and first[0] == second[0] == third[0] == batch
            and first[1] == second[1] == third[1] and first[3] == second[2] and second[3] == third[2])
