"""From a Keras model to the plain form of a graph, with its weights: each call of a layer becomes a layer or more."""

import inspect

import numpy as np

from ..layer_names import fresh
from ..user_code import Refused, first_line
from . import layers as tables
from .values import Value, kind_of, shape_in_keras

INPUT = "input"
USUAL_OPTIMIZER = {"kind": "sgd", "learning_rate": 0.01, "momentum": 0.9}


def imported(job, model, example):
    """(plain form, {key: float32 array}, what is told of the original, notes) of the model that a job names.

    Raises Refused where it cannot become a graph.
    """
    import keras

    if int(keras.__version__.split(".")[0]) < 3:
        raise Refused("a model is imported by Keras 3, this is %s; name a build that has it" % keras.__version__)
    asked = job.get("inputs") or []
    reader = Reader(keras)
    reader.read(model, example, asked)
    if reader.ran_code:
        refuse_hidden_variables(reader, model, example, asked)
    graph = reader.plain(job["name"])
    graph["loss"] = job.get("loss") or reader.usual_loss()
    graph["optimizer"] = job.get("optimizer") or USUAL_OPTIMIZER
    original = {name: job.get(name) for name in ("source", "factory", "folder")}
    return graph, reader.weights, {**original, **reader.original}, reader.notes


def refuse_hidden_variables(reader, model, example, asked):
    """Raises Refused where the user's code computes with a variable before a symbolic tensor meets it.

    What comes of that looks like known numbers, so it would not be trained. It is found by reading the model again
    with other variables.
    """
    before = [(each, reader.array(each)) for each in model.trainable_variables]
    again = Reader(reader.keras)
    try:
        for variable, array in before:
            variable.assign(array + 1)
        again.read(model, example, asked)
    finally:
        for variable, array in before:
            variable.assign(array)
    for name, array in reader.known_numbers.items():
        other = again.known_numbers.get(name)
        if other is None or other.shape != array.shape or not np.array_equal(other, array, equal_nan=True):
            raise Refused("'%s' holds numbers that follow from a variable of the model, which would not be trained; "
                          "let keras.ops combine the variable itself with what the call takes" % name)


class Reader:
    """The layers so far, and what each symbolic tensor of the model is in them."""

    def __init__(self, keras):
        self.keras = keras
        self.layers, self.weights, self.notes, self.inputs = [], {}, [], []
        self.original = {"own_names": {}}
        self.ran_code = False    # whether any call of the user's was run
        self.known_numbers = {}  # name of a layer: the constant that it is
        self._trained = set()    # keys of parameters that the model trains
        self._untrained = set()  # keys of parameters that the model does not train, or does not have
        self._names = {INPUT}
        self._values = {}        # id of a symbolic tensor: Value
        self._held = []          # what these ids are of, so that none is used again
        self._keys = {}          # id of a variable: {its name in a layer: key}
        self._parameters = {}    # id of a variable: Value
        self._constants = {}     # content: Value
        self._turned = {}        # (name of a value, its rank): the same with axes in the other order
        self._scopes = []        # names of the layers that are being opened
        self._modes = [(True, False)]    # (is_training, is_traced) of what is being opened, see ``is_inference``

    def read(self, model, example, asked):
        """Reads the whole model. ``asked`` are inputs that the user described: [{"name", "shape", "dtype"}]."""
        starts, ends = self._ends(model, example, asked)
        for tensor in starts:
            self._start(tensor, starts, ends)
        outputs = self.lowered(ends)
        floats = [index for index, value in enumerate(outputs) if value.dtype == "float"]
        if not floats:
            raise Refused("the model gives no tensor of floats")
        if len(outputs) > 1:
            self.notes.append("the model gives %d tensors; the first of floats is the output" % len(outputs))
        self._end(outputs[floats[0]], floats[0])

    def plain(self, name):
        """The graph as plain data, shapes left out."""
        found = {"name": name, "layers": self.layers}
        if len(self.inputs) == 1 and self.inputs[0]["draw"] in ("normal", "tokens"):
            found["input"] = {key: self.inputs[0][key] for key in ("shape", "vocabulary")}
        else:
            found["inputs"] = self.inputs
        if self._untrained & set(self.weights):
            found["trains"] = [key for key in self.weights if key in self._trained]
        return found

    def usual_loss(self):
        """For scores of samples or of their steps the cross entropy, else the mean squared error."""
        ends_in = self.layers[-1]["op"]
        is_scores = len(self._output.shape) <= 3 and ends_in not in ("softmax", "sigmoid")
        return "softmax_cross_entropy" if is_scores else "mean_squared_error"

    # What the model starts from and ends with.

    def _ends(self, model, example, asked):
        """(symbolic inputs, symbolic outputs), with fixed sizes beside the batch."""
        known = list(getattr(model, "inputs", None) or [])
        fresh = self._described(known, example, asked)
        if fresh is None:
            return known, self.keras.tree.flatten(model.outputs)
        from .original import structure

        self.ran_code = True
        with self._saying("the model's call"):
            given = self.keras.tree.pack_sequence_as(structure(model, fresh), fresh)
            if not model.built:
                model(given)                 # makes its variables
            self._modes[0] = (True, True)
            found = self._traced(model, (given,), {})
        return fresh, self.keras.tree.flatten(found)

    def _described(self, known, example, asked):
        """Symbolic tensors as the user describes them; None where the model's own say enough."""
        if asked:
            if known and len(asked) != len(known):
                raise Refused("the model has %d inputs, and --shape describes %d" % (len(known), len(asked)))
            by_name = {each["name"]: each for each in asked}
            names = [input_name(each) for each in known]
            if known and len(known) > 1 and set(names) != set(by_name):
                raise Refused("the model has the inputs %s, and --shape describes %s" % (
                    ", ".join(names), ", ".join(by_name)))
            ordered = [by_name[name] for name in names] if len(known) > 1 else asked
            return [self.keras.Input(tuple(each["shape"][1:]), dtype=each["dtype"], name=each["name"])
                    for each in ordered]
        if known and all(size is not None for each in known for size in each.shape[1:]):
            return None
        if example is not None:
            arrays = self.keras.tree.flatten(example)
            return [self.keras.Input(tuple(each.shape[1:]), dtype=self.keras.backend.standardize_dtype(each.dtype))
                    for each in arrays]
        if known:
            open_ones = next(each for each in known if None in each.shape[1:])
            raise Refused("input '%s' has open axes, %s, and a graph has fixed sizes besides the batch; describe it: "
                          "--shape %s=1,%s" % (input_name(open_ones), tuple(open_ones.shape), input_name(open_ones),
                                               ",".join(str(size or 64) for size in open_ones.shape[1:])))
        raise Refused("a model of your own class says nothing of its inputs; let the factory return the model and its "
                      "example inputs, or describe them: --shape x=1,224,224,3")

    def _start(self, tensor, starts, ends):
        """An input of the graph; one of images has its channels first there."""
        if tensor.shape[0] is not None:
            raise Refused("input '%s' fixes its batch at %s, and networks here take any; leave batch_size out" % (
                input_name(tensor), tensor.shape[0]))
        name = INPUT if len(starts) == 1 else fresh(self._names, input_name(tensor))
        shape, dtype = list(tensor.shape[1:]), kind_of(tensor.dtype)
        draw, vocabulary = self._drawn_as(tensor, name, dtype, ends)
        is_image = len(shape) == 3 and draw == "normal" and self.keras.config.image_data_format() == "channels_last"
        if is_image:
            shape = [shape[2], *shape[:2]]
        dtype = "int64" if draw == "tokens" else dtype
        self.inputs.append({"name": name, "shape": shape, "dtype": dtype, "draw": draw, "vocabulary": vocabulary})
        self.original.setdefault("images", []).append(is_image)
        self.hold(tensor, Value(name, [1, *shape], dtype, 4 if is_image else None))

    def _drawn_as(self, tensor, name, dtype, ends):
        """(how synthetic samples of an input are drawn, the vocabulary of tokens or None)."""
        tables_of_it = [node.operation.input_dim for node in nodes_before(ends, set())
                        if type(node.operation).__name__ == "Embedding" and tensor is node.input_tensors[0]]
        if tables_of_it:
            return "tokens", int(min(tables_of_it))
        if dtype == "float":
            return "normal", None
        if "mask" in name or dtype == "bool":
            return "ones", None
        if "position" in name:
            return "positions", None
        raise Refused("input '%s' has integers that no Embedding reads at once, so nobody knows which are valid; bind "
                      "it inside of the model" % name)

    def _end(self, output, index):
        if output.name.partition(":")[0] in {each["name"] for each in self.inputs} or ":" in output.name:
            raise Refused("the output is an input, or one part of a split; let the model compute it")
        self._output = output
        self.original["output"] = {"index": index, "image": output.rank == 4}
        needed = {output.name}
        for layer in reversed(self.layers):
            if layer["name"] in needed:
                needed.update(name.partition(":")[0] for name in layer["inputs"])
                needed.update(p["key"].rpartition("/")[0] for p in layer["parameters"])
        self.layers = [layer for layer in self.layers if layer["name"] in needed]
        self.layers.sort(key=lambda layer: layer["name"] == output.name)         # the output is the last; it is stable
        for key in [key for key in self.weights if key.rpartition("/")[0] not in needed]:
            del self.weights[key]

    # Calls.

    def lowered(self, tensors):
        """The values of symbolic tensors; calls that they need and that were not read are read."""
        for node in nodes_before(tensors, self._values):
            self._visit(node)
        return [self._values[id(each)] for each in tensors]

    def hold(self, tensor, value):
        self._held.append(tensor)
        self._values[id(tensor)] = value

    def known(self, tensor):
        return self._values.get(id(tensor))

    def _visit(self, node):
        call = Call(self, node.operation, node)
        found = tables.lowering(self.keras, node.operation)
        try:
            values = found(call) if found is not None else self._opened(call)
        except Refused as reason:
            if getattr(reason, "is_placed", False):
                raise
            placed = Refused("%s: %s" % (call.where(), reason))
            placed.is_placed = True
            raise placed from None
        values = values if isinstance(values, list) else [values]
        for tensor, value in zip(node.outputs, values):
            if value is not None:
                self._refuse_other_shape(tensor, value)
                self.hold(tensor, value)

    @staticmethod
    def _refuse_other_shape(tensor, value):
        """A rule that gives another shape than Keras's own is wrong."""
        shape = shape_in_keras(value)
        stated = list(tensor.shape)
        if len(shape) != len(stated) or any(
                size is not None and size != own for size, own in zip(stated[1:], shape[1:])):
            raise Refused("it was read as %s, but Keras gives %s; this is a fault of the import, please report it" % (
                tuple(shape), tuple(stated)))

    def _opened(self, call):
        """What a layer that no table knows is made of."""
        op = call.op
        inside = getattr(op, "outputs", None) is not None and getattr(op, "inputs", None)
        if not isinstance(op, self.keras.layers.Layer):
            raise Refused("it has no operation in a graph; write it with others")
        self._scopes.append(op.name)
        is_own = inside and not call.changes_shapes()
        self._modes.append((not call.is_inference, not is_own))
        try:
            if is_own:
                return self._read_inside(call)
            self.ran_code = True
            with self._saying("its call, which was run on symbolic tensors"):
                found = self._traced(op, call.node.arguments.args, call.node.arguments.kwargs)
            return self.lowered(self.keras.tree.flatten(found))
        finally:
            self._scopes.pop()
            self._modes.pop()

    def _traced(self, op, args, kwargs):
        """What the layer's call gives in the mode of its surroundings; layers that it calls are told that mode."""
        kwargs = {name: each for name, each in kwargs.items() if name != "training"}
        if "training" in inspect.signature(op.call).parameters:
            kwargs["training"] = self._modes[-1][0]
        context = op._get_call_context()
        context.set_value("training", self._modes[-1][0])
        try:
            return op.call(*args, **kwargs)
        finally:
            op._maybe_reset_call_context()

    def _read_inside(self, call):
        """A nested model by its own tensors, which stand for those that it is called with."""
        op = call.op
        outer, self._values = self._values, {}
        try:
            for inner, tensor in zip(op.inputs, call.node.input_tensors):
                self._values[id(inner)] = outer[id(tensor)]
            return self.lowered(self.keras.tree.flatten(op.outputs))
        finally:
            self._values = outer

    def applied(self, function, *values):
        """A function of the user, or of keras.activations, of values."""
        tensors = []
        for value in values:
            tensor = self.keras.KerasTensor((None, *shape_in_keras(value)[1:]), dtype="float32")
            self.hold(tensor, value)
            tensors.append(tensor)
        self.ran_code = True
        with self._saying("%s, which was run on symbolic tensors" % getattr(function, "__name__", function)):
            found = function(*tensors)
        return self.lowered([found])[0]

    def is_inference(self, training):
        """Whether a layer infers whatever the mode, where its call recorded this ``training``.

        While a model of Keras's own trains, it tells all its layers so, whatever their calls recorded; code of a user
        was run as in training, so that what its calls recorded is what it asked for.
        """
        is_training, is_traced = self._modes[-1]
        return not is_training or (is_traced and training is False)

    def _saying(self, what):
        return Saying(what)

    # What calls ask for.

    def path(self, name):
        return ".".join([*self._scopes, name])

    def add(self, name, op, inputs, attributes, outputs, weights):
        """Appends a layer and returns its values; ``weights`` are {its parameter: (variable or None, array)}."""
        name = fresh(self._names, name)
        parameters = [{"name": own, "key": self._key(name, own, variable, array)}
                      for own, (variable, array) in weights.items()]
        self.layers.append({
            "name": name, "op": op, "inputs": [each.name for each in inputs], "attributes": attributes,
            "parameters": parameters,
        })
        return [Value(name if i == 0 else "%s:%d" % (name, i), list(shape), dtype, rank)
                for i, (shape, dtype, rank) in enumerate(outputs)]

    def _key(self, layer, own, variable, array):
        """The key of a parameter: that of the layer which had the same variable before, where there is one."""
        before = {} if variable is None else self._keys.setdefault(id(variable), {})
        if own in before and self.weights[before[own]].shape == array.shape:
            return before[own]
        if any(own in before or key.rpartition("/")[0] != layer for key in before.values()):
            raise Refused("variable '%s' is used in two ways, and a graph would make two of it" % variable.path)
        key = "%s/%s" % (layer, own)
        self.weights[key] = np.array(array, np.float32)
        if variable is not None and variable.trainable:
            self._trained.add(key)
        elif own not in ("mean", "variance", "value"):
            self._untrained.add(key)
        if variable is not None:
            self._held.append(variable)
            before[own] = key
            self.original["own_names"][key] = variable.path
        return key

    def parameter(self, variable):
        """A variable of the model as a value that all samples share."""
        if id(variable) not in self._parameters:
            array = self.array(variable)
            array = array if array.ndim else array.reshape(1)
            attributes = {"shape": list(array.shape), "init": "zeros", "is_trainable": bool(variable.trainable)}
            self._parameters[id(variable)] = self.add(
                self.path(variable.name), "parameter", (), attributes, [(array.shape, "float", None)],
                {"value": (variable, array)})[0]
        return self._parameters[id(variable)]

    def constant(self, array, name="constant"):
        """Known numbers as a value that all samples share."""
        array = np.asarray(array)
        array = array if array.ndim else array.reshape(1)
        shown = (array.shape, array.dtype.kind, array.tobytes())
        if shown not in self._constants:
            attributes = {"shape": list(array.shape), "init": "zeros", "is_trainable": False}
            value = self.add(self.path(name), "parameter", (), attributes, [(array.shape, "float", None)],
                             {"value": (None, array.astype(np.float32))})[0]
            if array.dtype.kind != "f":
                kind = "bool" if array.dtype.kind == "b" else "int64"
                value = self.add(value.name + ".cast", "cast", [value], {"to": kind}, [(array.shape, kind, None)],
                                 {})[0]
            self._constants[shown] = value
            self.known_numbers[value.name] = array
        return self._constants[shown]

    def array(self, variable):
        """The numbers of a variable or tensor."""
        if isinstance(variable, (np.ndarray, np.generic, int, float, bool, list, tuple)):
            return np.asarray(variable)
        return np.asarray(self.keras.ops.convert_to_numpy(variable))

    def turned(self, value, rank, make):
        """The value in the other order of axes; one that was turned before is not turned again."""
        key = (value.name, rank)
        if key not in self._turned:
            found = make()
            self._turned[key] = found
            self._turned[found.name, value.rank] = value
        return self._turned[key]


class Call:
    """One call of a layer or of a function of keras.ops, as the tables read it."""

    def __init__(self, reader, op, node):
        self.reader, self.op, self.node = reader, op, node
        given = node.arguments
        try:
            bound = inspect.signature(op.call).bind(*given.args, **given.kwargs)
            self._arguments = dict(bound.arguments)
        except TypeError:
            self._arguments = {}
        self.is_layer = isinstance(op, reader.keras.layers.Layer)
        self._is_named = False       # whether a layer of the graph has the layer's own name

    def __getitem__(self, name):
        return self._arguments[name]

    def get(self, name, default=None):
        return self._arguments.get(name, default)

    def where(self):
        kind = type(self.op).__name__
        return "%s '%s'" % (kind, self.reader.path(self.op.name)) if self.is_layer else "%s%s" % (
            kind, " in '%s'" % self.reader.path("")[:-1] if self.reader.path("") else "")

    def changes_shapes(self):
        """Whether a nested model is called with other shapes than it was made with."""
        return any(tuple(inner.shape[1:]) != tuple(shape_in_keras(self.reader.known(tensor))[1:])
                   for inner, tensor in zip(self.op.inputs, self.node.input_tensors))

    @property
    def is_inference(self):
        """Whether the layer was called for inference whatever the mode."""
        return self.reader.is_inference(self.get("training"))

    # Values.

    def first(self):
        """The first argument."""
        return self.value_of(next(iter(self._arguments.values())))

    def values(self):
        """Of the first argument, which is a list."""
        return [self.value_of(each) for each in next(iter(self._arguments.values()))]

    def value(self, name):
        return self.value_of(self._arguments[name])

    def value_of(self, argument):
        """The value of an argument: a symbolic tensor, a variable, or numbers."""
        found = self.reader.known(argument)
        if found is not None:
            return found
        if isinstance(argument, self.reader.keras.Variable):
            return self.reader.parameter(argument)
        if isinstance(argument, self.reader.keras.KerasTensor):
            raise Refused("it takes a tensor that is no input of the model")
        return self.reader.constant(self.known(argument))

    def known(self, argument):
        """The numbers of an argument; raises Refused where they are computed."""
        if isinstance(argument, self.reader.keras.KerasTensor):
            raise Refused("it takes numbers that are computed, where a graph needs known ones")
        return self.reader.array(argument)

    def is_shared(self, argument):
        """Whether all samples share it."""
        return not isinstance(argument, self.reader.keras.KerasTensor)

    def weight(self, variable, change=None):
        """A variable of the layer for ``add``, its array as ``change`` makes it."""
        if variable is None:
            return None
        array = self.reader.array(variable)
        return variable, array if change is None else change(array)

    def plain(self, value):
        """The value with its axes in Keras's order."""
        if value.rank is None:
            return value
        shape = shape_in_keras(value)

        def made():
            if value.rank == 4:
                return self.add("transpose", value, shape=shape, axes=[1, 2, 0])
            flat = self.add("reshape", value, shape=[1, shape[2], shape[1]], to=[shape[2], shape[1]])
            return self.add("transpose", flat, shape=shape, axes=[1, 0])

        return self.reader.turned(value, None, made)

    def image(self, value):
        """The value, which Keras keeps with its channels last, as an image with these first."""
        rank = len(value.shape)
        if value.rank is not None:
            return value
        if rank not in (3, 4):
            raise Refused("it takes an image or a sequence, not %s" % (tuple(value.shape[1:]),))

        def made():
            if rank == 4:
                _, height, width, channels = value.shape
                return self.add("transpose", value, shape=[1, channels, height, width], rank=4, axes=[2, 0, 1])
            _, steps, channels = value.shape
            turned = self.add("transpose", value, shape=[1, channels, steps], axes=[1, 0])
            return self.add("reshape", turned, shape=[1, channels, 1, steps], rank=3, to=[channels, 1, steps])

        return self.reader.turned(value, rank, made)

    # Layers.

    def add(self, op, *inputs, shape, rank=None, dtype="float", weights=None, name=None, to=None, **attributes):
        """A layer that gives one value of this shape; ``to`` is the shape of a reshape."""
        return self.add_many(op, *inputs, outputs=[(shape, dtype, rank)], weights=weights, name=name,
                             **({"shape": to} if to is not None else {}), **attributes)[0]

    def add_many(self, op, *inputs, outputs, weights=None, name=None, **attributes):
        own = self.op.name if self.is_layer else op
        if name is not None:
            own = "%s.%s" % (own, name)
        elif self.is_layer:
            is_beside = op in TABLE_OF_NAMES.values() and TABLE_OF_NAMES.get(type(self.op).__name__) != op
            if is_beside or self._is_named:
                own = "%s.%s" % (own, op)
            else:
                self._is_named = True
        full = self.reader.path(own)
        return self.reader.add(full, op, inputs, attributes, outputs,
                               {key: each for key, each in (weights or {}).items() if each is not None})

    def like(self, op, value, *others, **more):
        """A layer whose result has the shape of ``value``, which it takes first."""
        return self.add(op, value, *others, shape=value.shape, rank=value.rank, dtype=value.dtype, **more)

    def constant(self, array, value=None):
        """Known numbers; with ``value`` they broadcast against it as Keras's order of axes says."""
        return self.aligned(self.reader.constant(np.asarray(array)), value)

    def aligned(self, shared, value):
        """A value that all samples share in the order of axes of another one."""
        if value is None or value.rank is None or (len(shared.shape) == 1 and shared.shape[0] == 1):
            return shared
        rank = value.rank
        if len(shared.shape) > rank:
            raise Refused("it has more axes than what it meets")
        shape = [1] * (rank - len(shared.shape)) + list(shared.shape)
        moved = [shape[0], shape[-1], *shape[1:-1]]
        target = moved if rank == 4 else [moved[0], moved[1], 1, moved[2]]
        if sum(size > 1 for size in shape[1:-1]) and shape[-1] > 1:              # else no number changes its place
            shared = self.add("regroup", shared, shape=shape, to=shape)
            return self._moved(shared, target)
        return self.add("regroup", shared, shape=target[1:], to=target[1:])

    def _moved(self, shared, target):
        axes = [0, len(shared.shape) - 1, *range(1, len(shared.shape) - 1)]
        turned = self.add("permute", shared, shape=[shared.shape[axis] for axis in axes], axes=axes)
        return self.add("regroup", turned, shape=target[1:], to=target[1:])

    def activated(self, value, activation):
        """The value after a function of keras.activations, or of the user."""
        if activation is None:
            return value
        found = tables.activation(activation)
        return self.reader.applied(activation, value) if found is None else found(self, value)


TABLE_OF_NAMES = {"Reshape": "reshape", "Permute": "transpose", "Flatten": "flatten", "ZeroPadding2D": "pad",
                  "ZeroPadding1D": "pad", "Cropping2D": "slice", "Cropping1D": "slice"}
"""Layers that are named after themselves, not after what they add beside."""


class Saying:
    """A context in which what fails is told as a Refused."""

    def __init__(self, what):
        self._what = what

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if error is not None and isinstance(error, Exception) and not isinstance(error, Refused):
            raise Refused("%s failed: %s" % (self._what, first_line(error))) from error


def nodes_before(tensors, known):
    """The calls that these symbolic tensors need, each after those that it needs; none behind ``known`` ids."""
    found, seen = [], set()
    rest = [(tensor, False) for tensor in reversed(tensors)]
    while rest:
        each, is_done = rest.pop()
        if is_done:
            found.append(each)
            continue
        if id(each) in known:
            continue
        history = getattr(each, "_keras_history", None)
        if history is None or history.operation is None:
            raise Refused("it reads a tensor that no input of the model leads to")
        node = history.operation._inbound_nodes[history.node_index]
        if id(node) in seen or node.is_input:
            continue
        seen.add(id(node))
        rest.append((node, True))
        rest.extend((tensor, False) for tensor in reversed(node.input_tensors))
    return found


def input_name(tensor):
    return tensor._keras_history.operation.name
