"""The same elements in another shape or order, and parts of them."""

import numpy as np

from .. import Refused


def _reshaped(net, node):
    stated = net.stated(node)
    net.give(node, net.regroup(net.read(node, 0), stated.shape, stated.batch, net.label(node)))


def _transposed(net, node):
    value = net.read(node, 0)
    axes = node.get("perm", list(range(len(value.shape)))[::-1])
    net.give(node, net.permute(value, axes, net.label(node)))


def _concat(net, node):
    values = [net.read(node, index) for index in range(len(node.inputs))]
    like = net.stated(node)
    axis = node.get("axis", 0) % len(like.shape)
    if len(values) == 1:
        net.give(node, values[0])
        return
    if axis == like.batch:
        raise Refused("%s joins along the batch" % node.said)
    rows = [each for each in values if each.batch is not None]
    if len(rows) < len(values):
        values = [each if each.batch is not None else _for_each_sample(net, node, each, like, index)
                  for index, each in enumerate(values)]
    is_plain = axis == 1 and like.batch == 0 and like.shape[0] == 1 and len(like.shape) in (2, 3, 4)
    if is_plain and like.dtype == "float":
        net.give(node, net.layer(node, "concat", values, like=like))
    else:
        net.give(node, net.layer(node, "join", values, {"axis": axis}, like=like))


def _for_each_sample(net, node, value, like, index):
    """A value that all samples share, once for each of them."""
    if like.batch != 0 or value.shape[0] != 1 or like.shape[0] != 1:
        raise Refused("%s joins a constant to values whose batch is not their first axis" % node.said)
    label = "%s.shared%d" % (net.label(node), index)
    bare = net.regroup(value, value.shape[1:] or (1,), None, label)
    whole = net.add(label + ".each", "expand", [bare, net.inputs[0]], {}, [value._replace(
        shape=(1, *bare.shape), batch=0, name=None)])[0]
    return net.regroup(whole, value.shape, 0, label + ".shape")


def _slice(net, node):
    value = net.read(node, 0)
    starts, ends = net.numbers(node, 1, "starts"), net.numbers(node, 2, "ends")
    axes = net.numbers(node, 3, "axes") or list(range(len(starts)))
    steps = net.numbers(node, 4, "steps") or [1] * len(starts)
    for start, end, given, step in zip(starts, ends, axes, steps):
        axis = given % len(value.shape)
        places = range(value.shape[axis])[slice(start, end if abs(end) < 2 ** 62 else None if end > 0 else -2 ** 40,
                                                step)]
        if axis == value.batch:
            if any(whole[start:end:step] != whole for whole in (
                    range(value.shape[axis] * each.batch) for each in (net.first, net.second))):
                raise Refused("%s takes some samples of the batch" % node.said)
            continue
        value = net.gather(value, axis, places, "%s.axis%d" % (net.label(node), axis))
    net.give(node, value)


def _split(net, node):
    value = net.read(node, 0)
    stated = [net.stated(node, index) for index in range(len(node.outputs))]
    axis = node.get("axis", 0) % len(value.shape)
    if axis == value.batch:
        raise Refused("%s splits the batch" % node.said)
    sizes = [each.shape[axis] for each in stated]
    attributes = {"axis": axis, "parts": len(sizes)}
    if len(set(sizes)) > 1:
        attributes["sizes"] = sizes
    for index, each in enumerate(net.add(net.label(node), "split", [value], attributes, stated)):
        net.give(node, each, index)


def _expand(net, node):
    value, stated = net.read(node, 0), net.stated(node)
    if value.batch is None and stated.batch is not None:
        if stated.batch != 0 or stated.shape[0] != 1:
            raise Refused("%s repeats a constant along a batch that is not the first axis" % node.said)
        aligned = (1,) * (len(stated.shape) - len(value.shape)) + value.shape
        bare = net.regroup(value, aligned[1:] or (1,), None, net.label(node) + ".shared")
        like = value._replace(name=None, shape=(1, *bare.shape), batch=0)
        value = net.add(net.label(node) + ".each", "expand", [bare, net.inputs[0]], {}, [like])[0]
    offset = len(stated.shape) - len(value.shape)
    batch = None if value.batch is None else value.batch + offset
    value = net.regroup(value, (1,) * offset + value.shape, batch, net.label(node) + ".rank")
    times = [1 if axis == batch else to // size for axis, (size, to) in enumerate(zip(value.shape, stated.shape))]
    net.give(node, _tiled(net, node, value, times))


def _tiled(net, node, value, times):
    if all(each == 1 for each in times):
        return value
    like = value._replace(name=None, shape=tuple(size * each for size, each in zip(value.shape, times)))
    return net.layer(node, "tile", [value], {"times": [int(each) for each in times]}, like=like)


def _tile(net, node):
    value, times = net.read(node, 0), [int(each) for each in net.need(node, 1, "repeats").reshape(-1)]
    if value.batch is not None and times[value.batch] != 1:
        raise Refused("%s repeats the batch" % node.said)
    net.give(node, _tiled(net, node, value, times))


def _pad(net, node):
    value = net.read(node, 0)
    rank, pads = len(value.shape), net.numbers(node, 1, "pads")
    axes = [axis % rank for axis in (net.numbers(node, 3, "axes") or range(rank))]
    before, after = [0] * rank, [0] * rank
    for index, axis in enumerate(axes):
        before[axis], after[axis] = pads[index], pads[index + len(axes)]
    for axis in range(rank):
        if min(before[axis], after[axis]) < 0:
            start, stop = max(0, -before[axis]), value.shape[axis] - max(0, -after[axis])
            value = net.slice(value, axis, start, stop, 1, "%s.cut%d" % (net.label(node), axis))
            before[axis], after[axis] = max(0, before[axis]), max(0, after[axis])
    fill = node.get("value")
    if fill is None:
        fill = net.need(node, 2, "value").reshape(-1)[0] if node.has(2) else 0.0
    net.give(node, padded(net, net.label(node), value, before, after, node.get("mode", "constant"), float(fill)))


def padded(net, label, value, before, after, mode="constant", fill=0.0):
    """The value with entries before and behind those of each axis."""
    if not any(before) and not any(after):
        return value
    like = value._replace(name=None, shape=tuple(
        size + one + other for size, one, other in zip(value.shape, before, after)))
    attributes = {"before": list(before), "after": list(after), "mode": mode, "value": fill}
    return net.add(label, "pad", [value], attributes, [like])[0]


def _depth_to_space(net, node):
    value, block = net.read(node, 0), node.get("blocksize")
    _, channels, height, width = value.shape
    rest = channels // block ** 2
    label = net.label(node)
    if node.get("mode", "DCR") == "DCR":
        parts = net.regroup(value, (1, block, block, rest, height, width), 0, label + ".parts")
        moved = net.permute(parts, (0, 3, 4, 1, 5, 2), label + ".moved")
    else:
        parts = net.regroup(value, (1, rest, block, block, height, width), 0, label + ".parts")
        moved = net.permute(parts, (0, 1, 4, 2, 5, 3), label + ".moved")
    net.give(node, net.regroup(moved, (1, rest, height * block, width * block), 0, label))


def _space_to_depth(net, node):
    value, block = net.read(node, 0), node.get("blocksize")
    _, channels, height, width = value.shape
    label = net.label(node)
    parts = net.regroup(
        value, (1, channels, height // block, block, width // block, block), 0, label + ".parts")
    moved = net.permute(parts, (0, 3, 5, 1, 2, 4), label + ".moved")
    net.give(node, net.regroup(moved, (1, channels * block ** 2, height // block, width // block), 0, label))


def _resize(net, node):
    """By the rows that each place takes, or by a mean of two, weighted by where it lies: exact for both modes."""
    value, stated = net.read(node, 0), net.stated(node)
    mode, coordinates = node.get("mode", "nearest"), node.get("coordinate_transformation_mode", "half_pixel")
    nearest = node.get("nearest_mode", "round_prefer_floor")
    scales = net.const(node.inputs[2]) if node.has(2) else None
    if node.op == "Upsample" or net.opset < 11:
        coordinates, nearest = "asymmetric", "floor"
        scales = net.const(node.inputs[1]) if node.has(1) else np.array(node.get("scales", []))
    if mode not in ("nearest", "linear") or node.get("antialias", 0):
        raise Refused("%s in mode %s; nearest and linear are known" % (node.said, mode))
    if coordinates not in COORDINATES:
        raise Refused("%s with coordinates %s; known: %s" % (node.said, coordinates, ", ".join(sorted(COORDINATES))))
    if value.batch is None or stated.shape[value.batch] != value.shape[value.batch]:
        raise Refused("%s changes the size of the batch" % node.said)
    usual = _usual(value, stated, mode, coordinates, nearest, scales)
    if usual is not None:
        attributes = {"size": list(stated.shape[2:]), "mode": BY_FRAMEWORKS[mode], "coordinates": usual}
        net.give(node, net.layer(node, "resize", [value], attributes, like=stated))
        return
    for axis, (size, wanted) in enumerate(zip(value.shape, stated.shape)):
        if size != wanted:
            has_scale = scales is not None and scales.size == len(value.shape)
            scale = float(scales[axis]) if has_scale else wanted / float(size)
            places = COORDINATES[coordinates](np.arange(wanted), size, wanted, scale)
            label = "%s.axis%d" % (net.label(node), axis)
            value = _at(net, node, value, axis, places, mode, nearest, label)
    net.give(node, value)


COORDINATES = {
    "asymmetric": lambda at, size, wanted, scale: at / scale,
    "half_pixel": lambda at, size, wanted, scale: (at + 0.5) / scale - 0.5,
    "align_corners": lambda at, size, wanted, scale: at * (size - 1) / float(max(wanted - 1, 1)),
    "pytorch_half_pixel": lambda at, size, wanted, scale: (at + 0.5) / scale - 0.5 if wanted > 1 else at * 0.0,
}
NEAREST = {
    "floor": np.floor, "ceil": np.ceil, "round_prefer_floor": lambda at: np.ceil(at - 0.5),
    "round_prefer_ceil": lambda at: np.floor(at + 0.5),
}


BY_FRAMEWORKS = {"nearest": "nearest", "linear": "bilinear"}


def _usual(value, stated, mode, coordinates, nearest, scales):
    """The coordinates by which frameworks resize this image to the same; None if they do not."""
    sizes, wanted = value.shape[2:], stated.shape[2:]
    is_image = value.batch == 0 and len(value.shape) == 4 and value.shape[:2] == stated.shape[:2]
    given = [] if scales is None or scales.size != 4 else zip(sizes, wanted, scales[2:])
    if not is_image or any(abs(to / float(size) - scale) > 1e-6 * scale for size, to, scale in given):
        return None
    if coordinates == "pytorch_half_pixel" and min(wanted) > 1:
        coordinates = "half_pixel"
    if mode == "linear":
        return coordinates if coordinates in ("half_pixel", "align_corners", "asymmetric") else None
    if coordinates not in ("half_pixel", "asymmetric"):
        return None
    for size, to in zip(sizes, wanted):
        at = np.arange(to)
        ours = np.floor((at + 0.5) * size / to if coordinates == "half_pixel" else at * size / float(to))
        its = NEAREST[nearest](COORDINATES[coordinates](at, size, to, to / float(size)))
        if not np.array_equal(np.clip(its, 0, size - 1), ours):
            return None
    return coordinates


def _at(net, node, value, axis, places, mode, nearest, label):
    last = value.shape[axis] - 1
    if mode == "nearest":
        return net.gather(value, axis, np.clip(NEAREST[nearest](places), 0, last).astype(int), label)
    places = np.clip(places, 0, last)
    low = np.floor(places).astype(int)
    share = (places - low).reshape([-1 if each == axis else 1 for each in range(len(value.shape))])
    below = net.gather(value, axis, low, label + ".low")
    above = net.gather(value, axis, np.minimum(low + 1, last), label + ".high")
    way = net.add(label + ".way", "subtract", [above, below], {}, [below._replace(name=None)])[0]
    part = net.add(label + ".part", "multiply", [way, net.given(label + ".share", share)], {},
                   [below._replace(name=None)])[0]
    return net.add(label, "add", [below, part], {}, [below._replace(name=None)])[0]


OPERATORS = {
    "Reshape": _reshaped, "Flatten": _reshaped, "Squeeze": _reshaped, "Unsqueeze": _reshaped, "Transpose": _transposed,
    "Concat": _concat, "Slice": _slice, "Split": _split, "Expand": _expand, "Tile": _tile, "Pad": _pad,
    "DepthToSpace": _depth_to_space, "SpaceToDepth": _space_to_depth, "Resize": _resize, "Upsample": _resize,
}
