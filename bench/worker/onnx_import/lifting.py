"""A file that takes one sample at a time, as a model that takes a batch of them along a first axis of its own.

Such files reshape to fixed sizes, drop the axis of the batch, or have none, so that no axis tells samples apart.
"""

import numpy as np

from . import Refused
from .net import Node

UNARY = {
    "Abs", "Cast", "Ceil", "Clip", "Cos", "Elu", "Erf", "Exp", "Floor", "Gelu", "HardSigmoid", "HardSwish", "IsNaN",
    "LeakyRelu", "Log", "Mish", "Neg", "Not", "Reciprocal", "Relu", "Round", "Selu", "Sigmoid", "Silu", "Sin",
    "Softplus", "Sqrt", "Swish", "Tanh",
}
BROADCAST = {
    "Add", "And", "Div", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "MatMul", "Max", "Min", "Mul",
    "Or", "Pow", "Sub", "Sum", "Where",
}
RESHAPED = {"Flatten", "Reshape", "Squeeze", "Unsqueeze"}
ROWS = {
    "AveragePool", "BatchNormalization", "Conv", "ConvTranspose", "DepthToSpace", "Gemm", "GlobalAveragePool",
    "GlobalMaxPool", "GroupNormalization", "InstanceNormalization", "LRN", "MaxPool", "PRelu", "Resize", "SpaceToDepth",
    "Upsample",
}
"""Operators whose first axis counts rows, of which each sample has some."""
RECURRENT = {"GRU", "LSTM", "RNN"}
AXIS = {"ArgMax": 0, "Concat": 1, "LayerNormalization": -1, "LogSoftmax": -1, "Softmax": -1, "Split": 0, "TopK": -1}
"""Operators with an attribute "axis", and what it is unless stated; before opset 13 it is 1 of a softmax."""
INPUT_SINCE = {"Pad": 18, "ReduceSum": 13, "Slice": 10}      # the opset in which axes became an input; of others 18
AXES = {"ReduceL2": 1, "ReduceMax": 1, "ReduceMean": 1, "ReduceMin": 1, "ReduceSum": 1, "ReduceSumSquare": 1}
"""Operators that reduce, and the input that holds their axes in later opsets."""


def lifted(folded):
    """The model of samples along a first axis, of a file that was folded at the sizes of one sample."""
    return _Lifting(folded).model()


class _Lifting(object):
    def __init__(self, folded):
        self._folded = folded
        self._nodes, self._constants = [], {}

    def model(self):
        from onnx import helper, numpy_helper

        for proto in self._folded.live():
            self._take(Node(proto), proto)
        inputs = [
            self._info(each.name) for each in self._folded.model.graph.input if each.name not in self._folded.constants
        ]
        names = [each.name for each in self._folded.model.graph.output]
        outputs = [name for name in names if self._folded.name(name) not in self._folded.constants]
        for name in outputs:
            if self._folded.name(name) != name:
                self._add("Identity", [self._folded.name(name)], [name])
        read = {name for node in self._nodes for name in node.input}
        constants = {name: array for name, array in self._folded.constants.items() if name in read}
        graph = helper.make_graph(
            self._nodes, "lifted", inputs, [self._info(name) for name in outputs],
            [numpy_helper.from_array(array, name) for name, array in {**constants, **self._constants}.items()],
        )
        return helper.make_model(
            graph, opset_imports=list(self._folded.model.opset_import), ir_version=self._folded.model.ir_version)

    def _info(self, name):
        from onnx import helper

        shape, dtype = self._folded.types[self._folded.name(name)]
        return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), ("batch", *shape))

    # Parts of the new model -----------------------------------------------------------------------------------------

    def _add(self, op, inputs, outputs, name="", **attributes):
        from onnx import helper

        self._nodes.append(helper.make_node(op, inputs, outputs, name=name, **attributes))
        return outputs[0]

    def _constant(self, array):
        name = "lifted:%d" % len(self._constants)
        self._constants[name] = np.asarray(array)
        return name

    def _whole(self, numbers):
        return self._constant(np.array([int(each) for each in numbers], np.int64))

    def _reshaped(self, value, shape, name=None):
        """The value with samples of this shape."""
        name = name or "%s:%d" % (value, len(self._nodes))
        return self._add("Reshape", [value, self._whole((-1, *shape))], [name])

    def _transposed(self, value, axes, name=None):
        name = name or "%s:%d" % (value, len(self._nodes))
        return self._add("Transpose", [value], [name], perm=list(axes))

    def _is_data(self, name):
        return name != "" and name not in self._folded.constants

    # Operators ------------------------------------------------------------------------------------------------------

    def _take(self, node, proto):
        op = node.op
        shapes = [self._folded.shape(name) for name in node.outputs if name in self._folded.types]
        if op in UNARY:
            self._nodes.append(proto)
        elif op in BROADCAST:
            self._add(op, [self._aligned(name, len(shapes[0])) for name in node.inputs], node.outputs, proto.name,
                      **node.attributes)
        elif op in RESHAPED:
            self._reshaped(node.inputs[0], shapes[0], node.outputs[0])
        elif op in ROWS:
            self._take_rows(node, proto, shapes[0])
        elif op in RECURRENT:
            self._take_recurrent(node, proto)
        elif op == "Transpose":
            rank = len(shapes[0])
            perm = node.get("perm", list(range(rank))[::-1])
            self._transposed(node.inputs[0], [0, *(axis + 1 for axis in perm)], node.outputs[0])
        elif op in AXIS:
            usual = 1 if "Softmax" in op and self._folded.opset < 13 else AXIS[op]
            axis = node.get("axis", usual) % len(self._folded.shape(node.inputs[0])) + 1
            like = next(name for name in node.inputs if self._is_data(name))
            inputs = [self._of_each(name, like) for name in node.inputs] if op == "Concat" else node.inputs
            self._add(op, inputs, node.outputs, proto.name, **dict(node.attributes, axis=axis))
        elif op in AXES:
            rank = len(self._folded.shape(node.inputs[0]))
            self._with_axes(node, proto, AXES[op], range(rank))
        elif op == "Slice":
            count = len(node.get("starts") or self._folded.constants[node.inputs[1]].reshape(-1))
            self._with_axes(node, proto, 3, range(count))
        elif op == "Pad":
            self._take_pad(node, proto)
        elif op in ("Gather", "GatherElements"):
            self._take_gather(node, proto)
        else:
            raise Refused("%s takes one sample at a time" % node.said)

    def _aligned(self, name, rank):
        """A value whose samples have so many axes."""
        if not self._is_data(name):
            return name
        shape = self._folded.shape(name)
        return name if len(shape) == rank else self._reshaped(name, (1,) * (rank - len(shape)) + shape)

    def _of_each(self, name, like):
        """A constant once for each of the samples of another value."""
        if self._is_data(name):
            return name
        array = self._folded.constants[name]
        label = "%s:%d" % (name, len(self._nodes))
        sizes = self._add("Shape", [like], [label + "s"])
        count = self._add("Gather", [sizes, self._whole([0])], [label + "n"], axis=0)
        target = self._add("Concat", [count, self._whole(array.shape)], [label + "t"], axis=0)
        return self._add("Expand", [self._constant(array[None]), target], [label])

    def _take_rows(self, node, proto, shape):
        first = node.inputs[0]
        rows = self._reshaped(first, self._folded.shape(first)[1:])
        raw = node.outputs[0] + ":rows"
        self._add(node.op, [rows, *node.inputs[1:]], [raw, *node.outputs[1:]], proto.name, **node.attributes)
        self._reshaped(raw, shape, node.outputs[0])

    def _take_recurrent(self, node, proto):
        steps, samples, features = self._folded.shape(node.inputs[0])
        if samples != 1 or node.get("layout", 0):
            raise Refused("%s takes several samples, in a file that else takes one" % node.said)
        inputs = list(node.inputs)
        inputs[0] = self._transposed(self._reshaped(inputs[0], (steps, features)), (1, 0, 2))
        for index in range(5, min(7, len(inputs))):
            if self._is_data(inputs[index]):
                directions, _, hidden = self._folded.shape(inputs[index])
                inputs[index] = self._transposed(self._reshaped(inputs[index], (directions, hidden)), (1, 0, 2))
        raw = [name and name + ":steps" for name in node.outputs]
        self._add(node.op, inputs, raw, proto.name, **node.attributes)
        for index, (made, name) in enumerate(zip(raw, node.outputs)):
            if name:
                axes = (1, 0, 2) if index else (2, 0, 1, 3)
                self._reshaped(self._transposed(made, axes), self._folded.shape(name), name)

    def _with_axes(self, node, proto, index, usual):
        """A node whose axes, an attribute or an input, count from behind that of the samples."""
        rank, attributes, inputs = len(self._folded.shape(node.inputs[0])), dict(node.attributes), list(node.inputs)
        if node.has(index):
            stated = self._folded.constants[inputs[index]].reshape(-1)
        else:
            stated = attributes.get("axes") or usual
        axes = [int(axis) % rank + 1 for axis in stated]
        if self._folded.opset >= INPUT_SINCE.get(node.op, 18):
            inputs = [*inputs[:index], *[""] * (index - len(inputs)), self._whole(axes), *inputs[index + 1:]]
        else:
            attributes["axes"] = axes
        self._add(node.op, inputs, node.outputs, proto.name, **attributes)

    def _take_pad(self, node, proto):
        attributes, inputs = dict(node.attributes), list(node.inputs)
        if node.has(3):
            self._with_axes(node, proto, 3, ())
            return
        pads = attributes.get("pads") or self._folded.constants[inputs[1]].reshape(-1).tolist()
        half = len(pads) // 2
        pads = [0, *pads[:half], 0, *pads[half:]]
        if "pads" in attributes:
            attributes["pads"] = pads
        else:
            inputs[1] = self._whole(pads)
        self._add(node.op, inputs, node.outputs, proto.name, **attributes)

    def _take_gather(self, node, proto):
        axis = node.get("axis", 0) % len(self._folded.shape(node.inputs[0]))
        values, indices = map(self._is_data, node.inputs)
        if values and indices and node.op == "Gather":
            raise Refused("%s chooses entries of data by data" % node.said)
        if values and not indices and node.op == "GatherElements":
            raise Refused("%s chooses entries of each sample by constants" % node.said)
        self._add(node.op, node.inputs, node.outputs, proto.name, **dict(node.attributes, axis=axis + int(values)))
