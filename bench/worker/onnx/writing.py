"""Networks as ONNX models for inference: the plain form of a graph, and its weights.

A node has the name of its layer; where a layer needs several, the last one has it, and the others "layer/part". An
initialiser has the key of its parameter, "conv1/weight", and a shared parameter is written once. The batch is an open
axis, "batch".
"""

import contextlib
import os
import tempfile

import numpy as np

from .. import frameworks
from ..graphs import for_inference, inputs_of, output_names, output_values, outputs_of, shared_keys
from . import nodes

OPSET = 20           # the first with Gelu; ONNX Runtime has it from 1.17, OpenVINO from 2024.0
IR_VERSION = 9       # the format of files that came with opset 20
BATCH = "batch"      # the name of the open axis

LARGEST_FILE = 2 ** 31 - 2 ** 20
"""Bytes of arrays that one file may hold. A message of protobuf ends at 2 GiB; a MiB is left for the nodes."""


def model(graph, weights):
    """The onnx.ModelProto of a graph in its plain form, with these weights; it ends with the outputs, without the loss.

    Raises Unsupported for an operation that is not written.
    """
    import onnx

    graph = for_inference(graph)
    network = Network(graph, weights)
    for layer in graph["layers"]:
        if layer["op"] not in nodes.NODES:
            raise frameworks.Unsupported("layer '%s' cannot be written as ONNX: there is no rule for the operation "
                                         "'%s'" % (layer["name"], layer["op"]))
        nodes.NODES[layer["op"]](network, layer)
    body = onnx.helper.make_graph(
        network.nodes, graph["name"],
        [_value(each["name"], [BATCH, *each["shape"]], each["dtype"]) for each in inputs_of(graph)],
        [_value(name, _open(value), value["dtype"])
         for name, value in zip(network.results(output_names(graph)), output_values(graph))],
        network.initialisers,
    )
    return onnx.helper.make_model(
        body, opset_imports=[onnx.helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="rigmark",
    )


def save(made, path):
    """Writes a model to a file, and its arrays to "PATH.data" beside it where they are too large for one file.

    The onnx package checks what was written, and raises where it is no valid model.
    """
    import onnx

    is_large = sum(len(each.raw_data) for each in made.graph.initializer) > LARGEST_FILE
    onnx.save_model(
        made, str(path), save_as_external_data=is_large, location=os.path.basename(str(path)) + ".data",
    )
    onnx.checker.check_model(str(path))


def description():
    """Which file this writes, in words, for the facts of a trial."""
    import onnx

    return "written by Rigmark and onnx %s, opset %d, open batch" % (onnx.__version__, OPSET)


@contextlib.contextmanager
def as_file(graph, weights):
    """The path of the network as a file, which exists as long as this context."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "network.onnx")
        save(model(graph, weights), path)
        yield path


class Network(object):
    """The nodes and initialisers of a model while they are written; ``weights`` are by key, in canonical layout."""

    def __init__(self, graph, weights):
        self.nodes, self.initialisers = [], []
        self._weights, self._shared = weights, shared_keys(graph)
        self._written, self._aliases = set(), {}
        self._dtypes = {each["name"]: each["dtype"] for each in inputs_of(graph)}
        self._dtypes.update(
            (name, value["dtype"])
            for layer in graph["layers"] for name, value in zip(outputs_of(layer), layer["outputs"])
        )

    def node(self, layer, op, inputs, part=None, outputs=None, **attributes):
        """Adds a node, by default the layer's own, and returns the name of its first output.

        ``part`` names one of several nodes of a layer, which gives a value within the layer. ``inputs`` are names of
        values, as the graph's or as this function has returned them; "" is one that is left out.
        """
        import onnx

        name = layer["name"] if part is None else "%s/%s" % (layer["name"], part)
        outputs = outputs or (outputs_of(layer) if part is None else [name])
        inputs = [self.name_of(value) for value in inputs]
        self.nodes.append(onnx.helper.make_node(op, inputs, outputs, name=name, **attributes))
        return outputs[0]

    def constant(self, layer, part, values, dtype="int64"):
        """Adds numbers that belong to a layer, which may be made of its parameters, and returns their name."""
        return self._initialiser("%s/%s" % (layer["name"], part), np.asarray(values, dtype))

    def parameter(self, layer, name, arranged=None):
        """The name of a layer's parameter, which is written when it is asked for first.

        ``arranged`` takes and returns an array, and is for operators that want it otherwise. A shared parameter has
        one form, so another one of it is another initialiser.
        """
        key = next(p["key"] for p in layer["parameters"] if p["name"] == name)
        if key in self._shared and arranged is not None:
            return self._initialiser("%s/%s/arranged" % (layer["name"], name), arranged(self._weights[key]))
        if key not in self._written:
            self._written.add(key)
            array = self._weights[key]
            self._initialiser(key, array if arranged is None else arranged(array))
        return key

    def array(self, layer, name):
        """A layer's parameter in canonical layout."""
        return self._weights[next(p["key"] for p in layer["parameters"] if p["name"] == name)]

    def is_shared(self, layer, name):
        """Whether another layer has this parameter too."""
        return any(p["key"] in self._shared for p in layer["parameters"] if p["name"] == name)

    def dtype_of(self, value):
        """"float", "int64" or "bool", of the value that a layer gives."""
        return self._dtypes[value]

    def kind_of(self, dtype):
        """ONNX's number for "float", "int64" or "bool"."""
        return _kinds()[dtype]

    def alias(self, layer, name):
        """Lets readers of a layer read the value of this name."""
        self._aliases[layer["name"]] = name

    def name_of(self, value):
        """The name under which the model has a value of the graph."""
        return self._aliases.get(value, value)

    def results(self, names):
        """The names under which the model gives its outputs; several are told apart, also where one is an alias."""
        import onnx

        if len(names) == 1:
            return [self.name_of(names[0])]
        for name in names:
            if name in self._aliases:
                self.nodes.append(onnx.helper.make_node("Identity", [self.name_of(name)], [name], name=name))
        return names

    def _initialiser(self, name, array):
        import onnx

        self.initialisers.append(onnx.numpy_helper.from_array(np.ascontiguousarray(array).reshape(array.shape), name))
        return name


def sizes(value, samples):
    """The shape of a value of the graph for so many samples."""
    return [size * (samples if axis == value["batch"] else 1) for axis, size in enumerate(value["shape"])]


def _open(value):
    """The sizes of a value whose batch is open; an axis with several entries for each sample has no name."""
    sizes = list(value["shape"])
    if value["batch"] is not None:
        sizes[value["batch"]] = BATCH if sizes[value["batch"]] == 1 else None
    return sizes


def _value(name, sizes, dtype):
    import onnx

    return onnx.helper.make_tensor_value_info(name, _kinds()[dtype], sizes)


def _kinds():
    from onnx import TensorProto

    return {"float": TensorProto.FLOAT, "int64": TensorProto.INT64, "bool": TensorProto.BOOL}
