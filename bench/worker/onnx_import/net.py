"""The graph of an ONNX file while it is made: values, layers and weights."""

import collections
import itertools

import numpy as np

from .. import registry
from ..layer_names import fresh
from . import Refused, operators
from .folding import kind, said

Value = collections.namedtuple("Value", "name shape batch dtype")
"""A value of the graph: its shape at a batch of one, the axis of the batch (None: all samples share it), its dtype."""

LEAST = float(np.finfo(np.float32).min)      # stands for minus infinity, which weights cannot be


class Node(object):
    """A node of the file with its attributes as plain values."""

    def __init__(self, proto):
        from onnx import helper

        self.proto, self.op, self.inputs, self.outputs = proto, proto.op_type, list(proto.input), list(proto.output)
        values = {each.name: helper.get_attribute_value(each) for each in proto.attribute}
        self.attributes = {
            name: value.decode("utf-8", "replace") if isinstance(value, bytes) else value
            for name, value in values.items()
        }
        self.said = said(proto)

    def get(self, name, usual=None):
        return self.attributes.get(name, usual)

    def has(self, index):
        return index < len(self.inputs) and self.inputs[index] != ""

    def gives(self, index):
        return index < len(self.outputs) and self.outputs[index] != ""


class Net(object):
    """Makes the layers of a graph, from one file folded at two batch sizes, which tells where the batch lies."""

    def __init__(self, first, second):
        self.first, self.second = first, second
        self.opset = first.opset
        self.layers, self.weights, self.inputs, self.notes = [], {}, [], []
        self.originals = {}              # {name of an input: its name in the file}
        self.only = None                 # the name that the only input had before it became "input"
        self.compared = None             # (index of the output that is compared, axis of its batch)
        self.given_out = {}              # {name of an output of the graph: (its index in the file, axis of its batch)}
        self._values, self._names, self._constants = {}, set(), {}
        self._regrouped, self._permuted = {}, {}         # {name of a value: what it was made of, and by which axes}
        self._transposes = {}                            # {(name of a value, axes): what came of it}
        self.nodes = [Node(each) for each in first.live()]
        others = second.live()
        if [node.op for node in self.nodes] != [each.op_type for each in others]:
            raise Refused("its nodes are others for another batch: control flow or shapes follow the batch")
        self._twins = {}
        for node, other in zip(self.nodes, others):
            for mine, its in zip(list(node.inputs) + node.outputs, list(other.input) + list(other.output)):
                self._twins.setdefault(mine, its)
        self.readers = collections.Counter(name for node in self.nodes for name in node.inputs if name)
        self.readers.update(first.name(each.name) for each in first.model.graph.output)

    # What nodes read ------------------------------------------------------------------------------------------------

    def const(self, name):
        """The array of a constant; None for what is none."""
        return self.first.constants.get(name)

    def need(self, node, index, what):
        """The array of an input that must be a constant."""
        array = self.const(node.inputs[index]) if node.has(index) else None
        if array is None:
            raise Refused("%s takes its %s from data; only one that is part of the file is known" % (node.said, what))
        return array

    def numbers(self, node, index, name):
        """Whole numbers from an attribute, or, in later opsets, from an input; None if there are none."""
        if node.get(name) is not None:
            stated = node.get(name)
            return [int(each) for each in (stated if isinstance(stated, (list, tuple)) else [stated])]
        if not node.has(index):
            return None
        return [int(each) for each in self.need(node, index, name).reshape(-1)]

    def read(self, node, index):
        """The value of an input of a node."""
        name = node.inputs[index]
        if name in self._values:
            return self._values[name]
        if name in self.first.constants:
            return self.constant(name)
        raise Refused("%s reads '%s', which nothing gives" % (node.said, name))

    def constant(self, name):
        """A constant of the file as a value that is not trained."""
        if name not in self._constants:
            array, other = self.const(name), self.second.constants.get(self._twins.get(name, name))
            if other is None:
                raise Refused("constant '%s' is one for some batches only" % name)
            self._constants[name] = self._made_constant(name, array, other)
        return self._constants[name]

    def _made_constant(self, name, array, other):
        shape, batch = self.spread(array.shape, other.shape, "constant '%s'" % name)
        if batch is None:
            if not np.array_equal(array, other, equal_nan=array.dtype.kind == "f"):
                raise Refused("constant '%s' depends on the batch" % name)
            return self.given(name, array)
        first = np.take(array, range(shape[batch]), batch)
        if not np.array_equal(np.concatenate([first] * self.first.batch, batch), array):
            raise Refused("constant '%s' is another for each sample" % name)
        if shape[batch] == 1:
            return self.given(name, first)       # broadcasts
        raise Refused("constant '%s' repeats several rows for each sample" % name)

    def given(self, name, array):
        """Numbers that are part of the network, as a value that all samples share."""
        array = np.asarray(array)
        dtype = kind(array.dtype)
        stored = np.clip(np.nan_to_num(array.astype(np.float64), nan=0.0), LEAST, -LEAST).astype(np.float32)
        if dtype == "int64" and not np.array_equal(stored.astype(np.float64), array.astype(np.float64)):
            raise Refused("constant '%s' has integers that fp32 cannot hold" % name)
        if stored.size == 0:
            raise Refused("constant '%s' is empty" % name)
        shape = array.shape or (1,)
        attributes = {"shape": list(shape), "init": "standard_normal", "is_trainable": False}
        value = self.add(name, "parameter", [], attributes, [Value(None, shape, None, "float")],
                         {"value": stored.reshape(shape)})[0]
        return value if dtype == "float" else self.cast(value, dtype, name)

    # Shapes ---------------------------------------------------------------------------------------------------------

    def spread(self, first, second, what):
        """(shape at a batch of one, axis of the batch or None) of two shapes at the two batches."""
        batch, other = self.first.batch, self.second.batch
        axes = [axis for axis in range(len(first)) if len(first) == len(second) and first[axis] != second[axis]]
        if len(first) != len(second) or len(axes) > 1 or any(
                first[axis] * other != second[axis] * batch or first[axis] % batch for axis in axes):
            raise Refused("%s has a shape that grows with the batch in no simple way: %s and %s" % (
                what, list(first), list(second)))
        if not axes:
            return tuple(first), None
        return tuple(size // batch if axis == axes[0] else size for axis, size in enumerate(first)), axes[0]

    def stated(self, node, index=0):
        """What the file says of an output of a node, as a Value without a name."""
        name = node.outputs[index]
        shape, dtype = self.first.types[name]
        at_one, batch = self.spread(shape, self.second.types[self._twins[name]][0], node.said)
        return Value(None, at_one, batch, kind(dtype))

    # Layers ---------------------------------------------------------------------------------------------------------

    def name(self, wanted):
        """A name for a layer, as traces can carry it, that no other has."""
        return fresh(self._names, wanted, ".")

    def add(self, name, op, inputs, attributes, outputs, parameters=None):
        """The values that a new layer gives; ``outputs`` are as they must come out, ``parameters`` its weights."""
        name = self.name(name)
        self.layers.append({
            "name": name, "op": op, "inputs": [each.name for each in inputs], "attributes": attributes,
            "outputs": [{"shape": list(each.shape), "batch": each.batch, "dtype": each.dtype} for each in outputs],
        })
        for own, array in (parameters or {}).items():
            self.weights["%s/%s" % (name, own)] = np.ascontiguousarray(array, np.float32)
        return [each._replace(name=name if index == 0 else "%s:%d" % (name, index))
                for index, each in enumerate(outputs)]

    def layer(self, node, op, inputs, attributes=None, like=None, parameters=None, also=""):
        """The value of a new layer of a node; ``like`` is what it gives, without a name: that of its first input."""
        like = inputs[0] if like is None else like
        return self.add(self.label(node) + also, op, inputs, attributes or {}, [like], parameters)[0]

    def label(self, node):
        """The name of a node, or of what it gives."""
        return node.proto.name or node.outputs[0]

    def give(self, node, value, index=0):
        """Makes a value that of an output of a node; raises Refused where the file says another shape."""
        stated = self.stated(node, index)
        same = (value.shape, value.batch, value.dtype) == (stated.shape, stated.batch, stated.dtype)
        if not same:
            if value.batch == stated.batch and value.dtype == stated.dtype and _size(value) == _size(stated):
                value = self.regroup(value, stated.shape, stated.batch, self.label(node) + ".shape")
            else:
                raise Refused("%s should give %s with the batch at %s, but gives %s with it at %s" % (
                    node.said, stated.shape, stated.batch, value.shape, value.batch))
        self._values[node.outputs[index]] = value

    def same(self, node, value):
        """Lets a node give what it takes."""
        self._values[node.outputs[0]] = value

    # Arrangement ----------------------------------------------------------------------------------------------------

    def cast(self, value, dtype, label=None):
        if value.dtype == dtype:
            return value
        return self.add((label or value.name) + "." + dtype, "cast", [value], {"to": dtype},
                        [value._replace(dtype=dtype)])[0]

    def regroup(self, value, shape, batch, label):
        """The same elements under another shape, by the simplest operation that makes it."""
        shape = tuple(int(size) for size in shape)
        if (shape, batch) == (value.shape, value.batch):
            return value
        like = Value(None, shape, batch, value.dtype)
        if not self._keeps_samples_apart(value, like):
            raise Refused("'%s' makes %s with the batch at %s from %s with it at %s, which mixes the samples" % (
                label, shape, batch, value.shape, value.batch))
        value = self._regrouped.get(value.name, value)       # in one step where there were two
        if (shape, batch) == (value.shape, value.batch):
            return value
        made = self._regroup(value, like, label)
        self._regrouped[made.name] = value
        return made

    def _regroup(self, value, like, label):
        shape, batch = like.shape, like.batch
        if batch == value.batch == 0 and shape[0] == value.shape[0] == 1 and len(shape) > 1:
            if len(shape) == 2 and len(value.shape) > 2:
                return self.add(label, "flatten", [value], {}, [like])[0]
            return self.add(label, "reshape", [value], {"shape": list(shape[1:])}, [like])[0]
        return self.add(label, "regroup", [value], {"shape": list(shape), "batch": batch}, [like])[0]

    def _keeps_samples_apart(self, value, like):
        """Whether elements before the batch's axis stay before it."""
        if None in (value.batch, like.batch):
            return value.batch is like.batch
        before = [each._replace(shape=each.shape[:each.batch]) for each in (value, like)]
        return _size(before[0]) == _size(before[1])

    def permute(self, value, axes, label):
        """Axes in another order."""
        axes = [int(axis) for axis in axes]
        if value.name in self._permuted:         # in one step where there were two
            value, before = self._permuted[value.name]
            axes = [before[axis] for axis in axes]
        if axes == list(range(len(axes))):
            return value
        known = value.name, tuple(axes)
        if known not in self._transposes:
            made = self._transposes[known] = self._permute(value, axes, label)
            self._permuted[made.name] = value, axes
        return self._transposes[known]

    def _permute(self, value, axes, label):
        batch = None if value.batch is None else axes.index(value.batch)
        like = Value(None, tuple(value.shape[axis] for axis in axes), batch, value.dtype)
        if value.batch == batch == 0:
            return self.add(label, "transpose", [value], {"axes": [axis - 1 for axis in axes[1:]]}, [like])[0]
        return self.add(label, "permute", [value], {"axes": axes}, [like])[0]

    def slice(self, value, axis, start, stop, step, label):
        size = len(range(start, stop, step))
        if (start, stop, step) == (0, value.shape[axis], 1):
            return value
        like = value._replace(shape=(*value.shape[:axis], size, *value.shape[axis + 1:]))
        attributes = {"axis": axis, "start": start, "stop": stop}
        if step > 1:
            attributes["step"] = step
        return self.add(label, "slice", [value], attributes, [like])[0]

    def gather(self, value, axis, indices, label):
        """Entries of an axis by indices that are known."""
        indices = [int(each) for each in indices]
        if indices == list(range(value.shape[axis])):
            return value
        like = value._replace(shape=(*value.shape[:axis], len(indices), *value.shape[axis + 1:]))
        steps = {b - a for a, b in itertools.pairwise(indices)} or {1}
        if len(steps) == 1 and min(steps) > 0:
            return self.slice(value, axis, indices[0], indices[-1] + 1, min(steps), label)
        return self.add(label, "gather", [value], {"axis": axis, "indices": indices}, [like])[0]

    def batch_first(self, value, node):
        """(the value with the batch as its first axis, the function that puts the axes of one like it back)."""
        if value.batch is None:
            raise Refused("%s takes a value that all samples share, which only constants are" % node.said)
        if value.batch == 0:
            return value, lambda other: other
        axes = [value.batch] + [axis for axis in range(len(value.shape)) if axis != value.batch]
        back = [axes.index(axis) for axis in range(len(axes))]
        label = self.label(node)
        return (self.permute(value, axes, label + ".batch_first"),
                lambda other: self.permute(other, back, label + ".batch_back"))

    def broadcast(self, values, dtype=None):
        """What comes of values that broadcast, without a name."""
        rank = max(len(each.shape) for each in values)
        shape = tuple(max(along) for along in zip(*[(1,) * (rank - len(each.shape)) + each.shape for each in values]))
        batches = {rank - len(each.shape) + each.batch for each in values if each.batch is not None}
        return Value(None, shape, min(batches) if batches else None, dtype or values[0].dtype)

    def both(self, node, op, values, also="", dtype=None):
        """A layer of values that broadcast."""
        return self.layer(node, op, values, like=self.broadcast(values, dtype), also=also)

    # The whole ------------------------------------------------------------------------------------------------------

    def take(self, node):
        """Makes the layers of a node; raises Refused for an operator that is not known."""
        function = TABLE.get(node.op)
        if function is None:
            raise Refused("%s is an operator that is not known%s" % (node.said, REMEDIES.get(node.op, "")))
        function(self, node)

    def bind(self, name, value):
        """Makes a value that of a name of the file."""
        self._values[name] = value

    def value(self, name):
        """The value of a name of the file; None where there is none."""
        return self._values.get(self.first.name(name))


def _size(value):
    size = 1
    for each in value.shape:
        size *= each
    return size


FLOAT = "; the file is quantised: export the network in float"
REMEDIES = dict.fromkeys((
    "QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "MatMulInteger", "ConvInteger", "QLinearConv",
    "QLinearMatMul",
), FLOAT)
REMEDIES["NonMaxSuppression"] = "; its result has another size for each input: cut the network before it"
REMEDIES["NonZero"] = "; its result has another size for each input: cut the network before it"

TABLE = registry.tables(operators.__name__, operators.__path__, "OPERATORS")
