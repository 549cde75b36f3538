"""An ONNX model at fixed sizes: constants and shapes are computed node by node, and known branches taken.

What is left are the nodes that a graph must carry.
"""

import warnings

import numpy as np

from . import Refused
from .loading import first_line

RANDOM = {
    "RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Bernoulli", "Multinomial",
}
SMALL = tuple(map(np.dtype, ("int8", "uint8", "int16", "uint16")))      # operators of quantised files know them
MOST_INFERRED = 10000        # numbers of a constant that the rules of shapes may look at
MOST_FOLDED = 2 ** 28        # numbers of a constant that is computed


class Folded(object):
    """``constants``: arrays by name; ``types``: shapes and dtypes of the other values; ``nodes`` that are left.

    ``sizes`` has the shape of each input at a batch of ``batch``; ``fixed``: the batch that the file itself has.
    """

    def __init__(self, model, sizes, pins, batch, fixed):
        import onnx
        from onnx import numpy_helper

        self.model = model
        self.opset = {each.domain or "": each.version for each in model.opset_import}.get("", 1)
        self.batch, self._fixed = batch, fixed
        self.constants, self.types, self.nodes, self._alias = {}, {}, [], {}
        for each in model.graph.initializer:
            self.constants[each.name] = numpy_helper.to_array(each)
        for name, array in pins.items():
            self.constants[name] = array
        for each in model.graph.input:
            if each.name in sizes:       # what no node reads has none
                dtype = onnx.helper.tensor_dtype_to_np_dtype(each.type.tensor_type.elem_type)
                self.types[each.name] = (tuple(sizes[each.name]), dtype)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for node in model.graph.node:
                self._visit(node)

    def name(self, value):
        """The name of a value behind nodes that change nothing."""
        while value in self._alias:
            value = self._alias[value]
        return value

    def shape(self, value):
        value = self.name(value)
        if value in self.constants:
            return self.constants[value].shape
        return self.types[value][0]

    def _visit(self, node):
        import onnx

        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        for index, name in enumerate(copy.input):
            copy.input[index] = self.name(name)
        inputs = [name for name in copy.input if name]
        if copy.op_type == "Identity" or (copy.op_type == "Dropout" and self._is_idle(copy)):
            self._same(copy.output[0], inputs[0])
        elif copy.op_type == "If" and copy.input[0] in self.constants:
            self._take_branch(copy)
        elif copy.op_type in ("Shape", "Size"):
            self._shape_of(copy)
        elif self._is_cast_to_same(copy):
            self._same(copy.output[0], inputs[0])
        elif not self._is_folded(copy, inputs):
            self._infer(copy, inputs)
            self.nodes.append(copy)

    def _same(self, new, old):
        if old in self.constants:
            self.constants[new] = self.constants[old]
        else:
            self._alias[new] = old

    def _is_idle(self, node):
        training = self.constants.get(node.input[2]) if len(node.input) > 2 and node.input[2] else None
        return len(node.input) < 3 or not node.input[2] or (training is not None and not training.any())

    def _is_cast_to_same(self, node):
        import onnx

        if node.op_type != "Cast" or node.input[0] not in self.types:
            return False
        to = onnx.helper.tensor_dtype_to_np_dtype(next(each.i for each in node.attribute if each.name == "to"))
        old = self.types[node.input[0]][1]
        return kind(old) == kind(to) and not (kind(old) == "int64" and np.dtype(to).itemsize < np.dtype(old).itemsize)

    def _take_branch(self, node):
        from onnx import numpy_helper

        is_true = bool(self.constants[node.input[0]].reshape(-1)[0])
        name = "then_branch" if is_true else "else_branch"
        branch = next(each.g for each in node.attribute if each.name == name)
        for each in branch.initializer:
            self.constants[each.name] = numpy_helper.to_array(each)
        for each in branch.node:
            self._visit(each)
        for outer, inner in zip(node.output, branch.output):
            self._same(outer, self.name(inner.name))

    def _shape_of(self, node):
        if node.input[0] not in self.constants and node.input[0] not in self.types:
            raise Refused("%s: the shape of '%s' follows from data" % (said(node), node.input[0]))
        shape = self.shape(node.input[0])
        facts = {each.name: each.i for each in node.attribute}
        if node.op_type == "Size":
            self.constants[node.output[0]] = np.array(int(np.prod(shape)), np.int64)
        else:
            self.constants[node.output[0]] = np.array(shape, np.int64)[facts.get("start", 0):facts.get("end")]

    def _is_folded(self, node, inputs):
        has_graph = any(each.HasField("g") or each.graphs for each in node.attribute)
        if has_graph or node.op_type in RANDOM or not all(name in self.constants for name in inputs):
            return False
        try:
            self._refuse_huge(node)
            values = self._evaluated(node, inputs)
        except Refused:
            raise
        except Exception as error:
            raise Refused("%s of constants cannot be computed (%s)" % (said(node), first_line(error))) from error
        for name, value in zip(node.output, values):
            self.constants[name] = np.asarray(value)
        return True

    def _refuse_huge(self, node):
        """Before an array is made whose size the file states in a few bytes."""
        sizes = 1
        if node.op_type in ("ConstantOfShape", "Expand", "Tile"):
            for each in self.constants[node.input[-1]].reshape(-1).tolist():
                sizes *= max(int(each), 1)
            if node.op_type == "Tile":
                sizes *= self.constants[node.input[0]].size
        if node.op_type == "Range":
            start, limit, delta = (float(self.constants[name].reshape(-1)[0]) for name in node.input)
            sizes = abs((limit - start) / delta) if delta else MOST_FOLDED + 1
        if sizes > MOST_FOLDED:
            raise Refused("%s makes a constant of %.3g numbers; at most %d are computed" % (
                said(node), sizes, MOST_FOLDED))

    def _evaluated(self, node, inputs):
        from onnx import helper
        from onnx.reference import ReferenceEvaluator

        names = list(dict.fromkeys(inputs))
        graph = helper.make_graph(
            [node], "constant", [helper.make_value_info(name, self._type(name)) for name in names],
            [helper.make_empty_tensor_value_info(name) for name in node.output if name],
        )
        model = helper.make_model(
            graph, opset_imports=list(self.model.opset_import), ir_version=self.model.ir_version)
        return ReferenceEvaluator(model).run(None, {name: self.constants[name] for name in names})

    def _type(self, name):
        from onnx import helper

        if name in self.constants:
            shape, dtype = self.constants[name].shape, self.constants[name].dtype
        else:
            shape, dtype = self.types[name]
        return helper.make_tensor_type_proto(helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), shape)

    def _widest(self, name):
        """The type of a value whose numbers are of the one width that a graph has for floats, and for integers.

        Otherwise operators would refuse what casts between widths gave, since these change nothing here.
        """
        from onnx import helper

        shape, dtype = (self.constants[name].shape, self.constants[name].dtype) if name in self.constants else (
            self.types[name])
        if np.dtype(dtype) not in SMALL:
            dtype = {"float": np.dtype(np.float32), "int64": np.dtype(np.int64)}.get(kind(dtype), dtype)
        return helper.make_tensor_type_proto(helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), shape)

    def _infer(self, node, inputs):
        """Shapes and dtypes of what a node gives; raises Refused where they follow from data."""
        from onnx import helper, numpy_helper

        if node.domain not in ("", "ai.onnx"):
            is_quantised = any(word in node.op_type for word in ("Quant", "QLinear", "Integer"))
            raise Refused("%s is an extension of one runtime and no operator of ONNX; export the %s" % (
                said(node), "float network" if is_quantised else "network without it"))
        if any(each.HasField("g") or each.graphs for each in node.attribute):
            raise Refused(self._about_control_flow(node))
        self._open_the_batch(node)
        inputs = [name for name in node.input if name]
        small = {
            name: numpy_helper.from_array(self.constants[name], name) for name in inputs
            if name in self.constants and self.constants[name].size < MOST_INFERRED
        }
        try:
            inferred = self._inferred(node, inputs, small)
        except Exception as error:
            raise Refused("%s does not fit its inputs (%s)" % (said(node), first_line(error))) from error
        for name, each in inferred.items():
            dims = [d.dim_value if d.HasField("dim_value") else None for d in each.tensor_type.shape.dim]
            if not each.tensor_type.HasField("shape") or None in dims:
                raise Refused("%s gives a value whose shape follows from data, as no graph of fixed shapes can hold it"
                              % said(node))
            self.types[name] = (tuple(dims), helper.tensor_dtype_to_np_dtype(each.tensor_type.elem_type))
        missing = [name for name in node.output if name and name not in self.types]
        if missing:
            raise Refused("%s gives '%s', whose shape is not known" % (said(node), missing[0]))

    def _inferred(self, node, inputs, known):
        """{name of what a node gives: its type}, by ONNX's own rules."""
        from onnx import defs, shape_inference

        return shape_inference.infer_node_outputs(
            defs.get_schema(node.op_type, self.opset, node.domain), node, {name: self._widest(name) for name in inputs},
            known, opset_imports=list(self.model.opset_import), ir_version=self.model.ir_version,
        )

    def _about_control_flow(self, node):
        if node.op_type == "If":
            free = sorted(name for name in self.types if name in {each.name for each in self.model.graph.input})
            return "%s follows '%s', which is data; if an input decides it, pin that: --pin NAME=VALUE (inputs: %s)" % (
                said(node), node.input[0], ", ".join(free))
        return "%s is control flow that follows data; export the network without it" % said(node)

    def _open_the_batch(self, node):
        """A shape with a batch built in is made one of any batch, if the file fixes its batch."""
        if node.op_type != "Reshape" or node.input[1] not in self.constants or node.input[0] not in self.types:
            return
        target, shape = self.constants[node.input[1]].reshape(-1), self.types[node.input[0]][0]
        if self._fixed is not None and target[:1].tolist() == [self._fixed] and shape[:1] == (self.batch,):
            name = node.input[1] + ":opened"
            self.constants[name] = np.concatenate([[self.batch], target[1:]]).astype(np.int64)
            node.input[1] = name

    def live(self):
        """The nodes that an output needs, in order."""
        needed = {self.name(each.name) for each in self.model.graph.output}
        kept = []
        for node in reversed(self.nodes):
            if any(name in needed for name in node.output):
                kept.append(node)
                needed.update(name for name in node.input if name)
        return kept[::-1]


def kind(dtype):
    """Of a value in a graph: "float", "int64" or "bool"; raises Refused for others."""
    dtype = np.dtype(dtype)
    if dtype == np.bool_:
        return "bool"
    if dtype.kind in "iu":
        return "int64"
    if dtype.kind == "f" or dtype.name == "bfloat16":
        return "float"
    raise Refused("values of %s are not known; numbers and truth values are" % dtype.name)


def said(node):
    """The operator and the node, as sentences name them."""
    operator = "%s.%s" % (node.domain, node.op_type) if node.domain not in ("", "ai.onnx") else node.op_type
    return "%s '%s'" % (operator, node.name or (node.output[0] if node.output else ""))
