"""From an exported program to the plain form of a graph, with its weights: each ATen call becomes a layer or more."""

import operator
import re

import numpy as np

from ..layer_names import fresh
from ..user_code import Refused
from . import calls
from .call import Call
from .patterns import simplify
from .trace import axes_of, exported, refuse_old, size_of
from .values import Value, Weight

INPUT = "input"
USUAL_OPTIMIZER = {"kind": "sgd", "learning_rate": 0.01, "momentum": 0.9}


def imported(job, module, example):
    """(plain form, {key: float32 array}, what is told of the original, notes) of the module that a job names.

    Raises Refused where it cannot become a graph.
    """
    refuse_old()
    program = Program(module, exported(module, example, job.get("inputs"), job["folder"]), job["folder"])
    program.walk()
    graph = program.plain(job["name"])
    graph["loss"] = job.get("loss") or program.usual_loss()
    graph["optimizer"] = job.get("optimizer") or USUAL_OPTIMIZER
    original = {name: job.get(name) for name in ("source", "factory", "folder", "inputs")}
    return graph, program.weights, {**original, **program.original()}, list(dict.fromkeys(program.notes))


def _kind(name):
    """The call's name without package, overload and the mark of writing in place: "aten.add_.Tensor" is "add"."""
    kind = name.split(".")[1] if "." in name else name
    return kind if kind.startswith("__") else kind.rstrip("_")


class Program:
    """The layers so far, and what each node of the exported program is in them."""

    def __init__(self, module, program, folder):
        self._module, self._program, self._folder = module, program, folder
        self.layers, self.weights, self.own_names, self.notes = [], {}, {}, []
        self.inputs = []
        self.dropouts = []       # (layer, axis that is the batch in the module), in the order of their calls
        self._output = None      # {"index", "batch", "shape"} of what forward gives
        self._names = {INPUT}
        self._values = {}        # node: Value
        self._parts = {}         # node: [Value or None] of a call with several results
        self._held = {}          # node: Weight
        self._known = {}         # node: (what it is for a batch of 2, of 3), where no input or parameter reaches it
        self._keys = {}          # memory of a tensor: the key of the parameter that it is
        self._constants = {}     # content: Value
        self._trained = set()    # names of the parameters that some layer trains
        self._base = {}          # node: the node whose memory it shows
        self._stale = set()      # nodes whose memory was overwritten under another name

    def walk(self):
        """Visits all nodes."""
        simplify(self._program.graph)
        for node in self._program.graph.nodes:
            if node.op == "placeholder":
                self._hold(node)
            elif node.op == "call_function":
                self._visit(node)
            elif node.op == "output":
                self._end(node)

    def plain(self, name):
        """The graph as plain data, shapes left out."""
        found = {"name": name, "layers": self.layers}
        if len(self.inputs) == 1 and self.inputs[0]["draw"] in ("normal", "tokens"):
            found["input"] = {key: self.inputs[0][key] for key in ("shape", "vocabulary")}
        else:
            found["inputs"] = self.inputs
        return found

    def original(self):
        """What runs of the module itself must know."""
        return {
            "own_names": self.own_names, "moved": sorted(key for key, names in self.own_names.items() if names),
            "dropouts": self.dropouts, "output": self._output, "names": self._input_names,
        }

    # What the program starts from and ends with.

    def _hold(self, node):
        """A placeholder is an input, or a parameter or buffer."""
        signature, name = self._program.graph_signature, node.name
        parameters = signature.inputs_to_parameters      # a new one at each look
        for table in (parameters, signature.inputs_to_buffers, signature.inputs_to_lifted_tensor_constants):
            if name in table:
                key = table[name]
                tensor = self._program.state_dict.get(key)
                tensor = self._program.constants[key] if tensor is None else tensor
                is_parameter = table is parameters
                self._held[node] = Weight(key, tensor.detach(), is_parameter and tensor.requires_grad)
                if is_parameter and not tensor.requires_grad:
                    self.notes.append("parameter %s is frozen in the module" % key)
                if not is_parameter:     # copies, since the module may write into it while it is folded
                    self._known[node] = (tensor.detach().clone(), tensor.detach().clone())
                return
        traced = node.meta.get("val")
        if traced is None or not hasattr(traced, "shape"):
            self._known[node] = (traced, traced)
            return
        shape, batch, dtype = axes_of(traced)
        if batch != 0:
            raise Refused("input '%s' has its batch as axis %s; the first axis must be the batch" % (name, batch))
        draw, vocabulary = self._drawn_as(node, dtype)
        self.inputs.append({"name": name, "shape": shape[1:], "dtype": dtype, "draw": draw, "vocabulary": vocabulary})
        self._names.add(name)
        self._values[node] = Value(name, shape, batch, dtype)

    def _drawn_as(self, node, dtype):
        """(how synthetic samples of an input are drawn, the vocabulary of tokens or None)."""
        if dtype == "float":
            return "normal", None
        tables = self._tables(node)
        if tables:
            return "tokens", min(tables)
        if "mask" in node.name or dtype == "bool":
            return "lengths", None
        if "position" in node.name:
            return "positions", None
        raise Refused("input '%s' has integers that no embedding reads at once, so nobody knows which are valid; bind "
                      "it inside of the factory" % node.name)

    def _tables(self, node):
        """The numbers of rows of the tables that are read by these integers, as they are or in another order."""
        found = []
        for user in node.users:
            kind = _kind(str(user.target))
            rows = user.args[1] if len(user.args) > 1 else None
            if kind in calls.TABLES and node in (rows if isinstance(rows, (list, tuple)) else [rows]):
                found.append(int(user.args[0].meta["val"].shape[0]))
            elif kind == "one_hot":
                found.append(user.args[1])
            elif kind in calls.MOVES or user.target is operator.getitem:
                found += self._tables(user)
        return found

    def _end(self, node):
        """The first result of floats is the output; layers that it does not need are left out."""
        self._input_names = [each["name"] for each in self.inputs]
        if len(self.inputs) == 1:
            self._rename_only_input()
        results = [each for each in node.args[0] if hasattr(each, "meta")]
        self._refuse_stale(node, results)
        floats = [each for each in results if each in self._values and self._values[each].dtype == "float"]
        if not floats:
            raise Refused("forward gives no tensor of floats that depends on its input")
        if len(results) > 1:
            self.notes.append("forward gives %d tensors; the first of floats, '%s', is the output" % (
                len(results), floats[0].name))
        output = self._values[floats[0]]
        call = Call(self, node)
        if output.batch is None:
            raise Refused("the output is one for all samples")
        index, batch = list(node.args[0]).index(floats[0]), output.batch
        output = call.batch_first(output)
        if output.shape[0] != 1:
            output = call.regrouped(output, [1, output.shape[0], *output.shape[1:]], 0)
        self._output = {"index": index, "batch": batch, "shape": output.shape[1:]}
        if not self.layers or output.name != self.layers[-1]["name"]:
            self._make_last(output)
        self._refuse_lost()
        self._leave_out_unused(output)

    def _rename_only_input(self):
        name = self.inputs[0]["name"]
        for layer in self.layers:
            layer["inputs"] = [INPUT if each == name else each for each in layer["inputs"]]
        self.inputs[0]["name"] = INPUT

    def _make_last(self, output):
        """Moves the layer of the output behind all others, which it does not need."""
        places = [i for i, layer in enumerate(self.layers) if layer["name"] == output.name.partition(":")[0]]
        if not places or ":" in output.name:
            raise Refused("the output is an input, or one part of a split; let forward compute it")
        needed = self._needed(output)
        self.layers = [layer for layer in self.layers if layer["name"] in needed]

    def _needed(self, output):
        needed = {output.name.partition(":")[0]}
        for layer in reversed(self.layers):
            if layer["name"] in needed:
                needed.update(name.partition(":")[0] for name in layer["inputs"])
                needed.update(p["key"].rpartition("/")[0] for p in layer["parameters"])
        return needed

    def _refuse_lost(self):
        """Raises Refused for a parameter that the module reads and trains, and no layer: no output shows that."""
        own = dict(self._module.named_parameters(remove_duplicate=False))
        for node, weight in self._held.items():
            users = [str(user.target) for user in node.users if "assert" not in str(user.target)]
            is_read = any(_kind(each) not in (*calls.FILLED, "sym_size") for each in users)
            if is_read and weight.name in own and own[weight.name].requires_grad and weight.name not in self._trained:
                raise Refused("parameter '%s' would not be trained as it was read; this is a fault of the import, "
                              "please report it" % weight.name)

    def _leave_out_unused(self, output):
        needed = self._needed(output)
        self.layers = [layer for layer in self.layers if layer["name"] in needed]
        unused = sorted(key for key in self.weights if key.rpartition("/")[0] not in needed)
        for key in unused:
            del self.weights[key]
        named = sorted({name for key in unused for name in self.own_names.pop(key, ())})
        if named:
            self.notes.append("the output does not depend on: %s" % ", ".join(named))

    def usual_loss(self):
        """For scores of samples or of their steps the cross entropy, for images the mean squared error."""
        return "softmax_cross_entropy" if len(self._output["shape"]) <= 2 else "mean_squared_error"

    # Calls.

    def _visit(self, node):
        name = str(node.target)
        if name == "aten.sym_size.int" or isinstance(node.meta.get("val"), (int, float, bool)) or (
                hasattr(node.meta.get("val"), "node")):
            self._known[node] = tuple(size_of(node.meta["val"], batch) for batch in (2, 3))
        elif node.target is operator.getitem:
            self._take(node)
        elif "assert" in name or name.startswith(("aten._set_grad", "aten.sym_constrain")):
            return
        else:
            self._call(node, name)

    def _take(self, node):
        source, index = node.args
        self._base[node] = self._base.get(source, source)
        if source in self._parts:
            self._values[node] = self._parts[source][index]
            if self._values[node] is None and node.users:
                raise Refused("%s needs result %d of %s, which no operation gives%s" % (
                    self.where(node), index, source.target, self.line_of(node)))
        else:
            self._known[node] = tuple(each[index] for each in self._known[source])

    def _call(self, node, name):
        schema = getattr(node.target, "_schema", None)
        if "set_grad_enabled" in name:
            raise Refused("a part of the module is under torch.no_grad()%s, which keeps gradients from passing, and no "
                          "operation of a graph does; leave it out" % self.line_of(node))
        if schema is None:
            raise Refused("%s, which is no ATen call%s; write it with torch's own operations" % (
                self.where(node), self.line_of(node)))
        arguments = self._arguments(node)
        if schema.returns and schema.returns[0].alias_info is not None and arguments:
            self._base[node] = self._base.get(arguments[0], arguments[0])
        if self._is_constant(node, name, arguments):
            self._known[node] = self._evaluated(node, name)
            return
        self._refuse_stale(node, arguments)
        self._lower(node, name)
        if schema.is_mutable and arguments:
            self._overwrite(node, arguments[0])

    def _refuse_stale(self, node, arguments):
        for each in arguments:
            if each in self._stale:
                raise Refused("%s reads memory that was overwritten under another name%s; write without '_' and '+='"
                              % (self.where(node), self.line_of(each)))

    def _overwrite(self, node, target):
        """The call wrote its result into its first argument, and so into what that is a part of.

        Other names of this memory are of no use from now on.
        """
        base = self._base.get(target, target)
        shown = {each for each, of in self._base.items() if of is base} | {base}
        written, current = {node, target}, node
        while target is not None:
            self._values[target] = self._values[current]
            self._known.pop(target, None)
            lower = calls.PARTS.get(_kind(str(target.target))) if target.op == "call_function" else None
            if target is base or lower is None:
                break
            whole = target.args[0]
            self._values[whole] = self._told(node, lower, Call(self, target), self._values[target])
            written, current, target = written | {whole}, whole, whole
        self._stale = (self._stale | shown) - written

    def _arguments(self, node):
        found = []

        def note(argument):
            found.append(argument)
            return argument

        import torch

        torch.fx.node.map_arg((node.args, node.kwargs), note)
        return found

    def _is_constant(self, node, name, arguments):
        if not all(each in self._known for each in arguments):
            return _kind(name) in calls.FILLED
        if _kind(name) in calls.CALLS_OF_CHANCE:
            return False
        import torch

        if torch.Tag.nondeterministic_seeded in node.target.tags:
            raise Refused("%s draws random numbers%s; a graph has dropout only" % (
                self.where(node), self.line_of(node)))
        return True

    def _evaluated(self, node, name):
        """What a call gives for batches of 2 and of 3."""
        import torch

        kind = _kind(name)
        if not all(each in self._known for each in self._arguments(node)):      # it takes no more than the shape
            traced, fill = node.meta["val"], calls.FILLED[kind](Call(self, node))
            return tuple(torch.full([size_of(size, batch) for size in traced.shape], fill, dtype=traced.dtype)
                         for batch in (2, 3))
        results = []
        for which in (0, 1):
            def known(argument, which=which):
                return self._known[argument][which]

            args, kwargs = torch.fx.node.map_arg((node.args, node.kwargs), known)
            try:
                results.append(node.target(*args, **kwargs))
            except Exception as error:
                raise Refused("%s failed%s: %s" % (self.where(node), self.line_of(node), error)) from error
        return tuple(results)

    def _lower(self, node, name):
        kind = _kind(name)
        if kind not in calls.CALLS:
            raise Refused("%s has no operation in a graph%s; write it with others, or measure the module in torch only"
                          % (self.where(node), self.line_of(node)))
        found = self._told(node, calls.CALLS[kind], Call(self, node))
        if isinstance(found, list):
            self._parts[node] = found
        else:
            self._values[node] = found

    def _told(self, node, lower, *arguments):
        """What ``lower`` gives; its refusal says at which node."""
        try:
            return lower(*arguments)
        except Refused as reason:
            raise Refused("%s: %s%s" % (self.where(node), reason, self.line_of(node))) from None

    # How a sentence names things.

    def where(self, node):
        path = self.path(node)
        return "%s%s" % (node.target, " in module '%s'" % path if path else "")

    def line_of(self, node):
        """The user's own innermost line of a call, as " (net.py, line 12)"."""
        lines = re.findall(r'File "([^"]+)", line (\d+)', node.meta.get("stack_trace") or "")
        own = [(path, line) for path, line in lines if path.startswith(self._folder)] or lines
        if not own:
            return ""
        path, line = own[-1]
        return " (%s, line %s)" % (path[len(self._folder):].lstrip("/") if path.startswith(self._folder) else path,
                                   line)

    def path(self, node):
        """Of the module in which a call was made: "layer1.0.conv1"; "" for the outermost."""
        stack = [path for key, (path, _) in (node.meta.get("nn_module_stack") or {}).items() if key.startswith("L_")]
        return re.sub(r"\._?module$", "", stack[-1]) if stack else ""

    # What calls ask for.

    def is_leaf(self, path):
        try:
            return not list(self._module.get_submodule(path).children())
        except AttributeError:
            return False

    def add(self, node, op, inputs, attributes, outputs, weights, name=None):
        """Appends a layer and returns its values; ``weights`` are {its parameter: (Weight, array)}."""
        path = self.path(node) if node.op != "output" else ""
        if name is None:
            is_own = path and path not in self._names and self.is_leaf(path) and op not in ("permute", "regroup",
                                                                                           "reshape", "transpose")
            name = path if is_own else "%s.%s" % (path, op) if path else op
        name = fresh(self._names, name)
        parameters = []
        for own, (weight, array) in weights.items():
            key = self._key(name, own, weight, array)
            parameters.append({"name": own, "key": key})
        self.layers.append({
            "name": name, "op": op, "inputs": [each.name for each in inputs], "attributes": attributes,
            "parameters": parameters,
        })
        return [Value(name if i == 0 else "%s:%d" % (name, i), *each) for i, each in enumerate(outputs)]

    def _key(self, layer, own, weight, array):
        """The key of a parameter: that of the layer which had the same memory before, where there is one."""
        key = "%s/%s" % (layer, own)
        memory = None
        if weight.is_trainable:
            self._trained.update(self._names_of(weight))
        if hasattr(weight.tensor, "data_ptr"):
            memory = (weight.tensor.data_ptr(), tuple(weight.tensor.shape), array.shape)
            if memory in self._keys and self._keys[memory].rpartition("/")[2] == own:
                return self._keys[memory]
        self.weights[key] = np.array(array, np.float32)
        self.own_names[key] = self._names_of(weight)
        if memory is not None:
            self._keys[memory] = key
        return key

    @staticmethod
    def _names_of(weight):
        return [weight.name] if isinstance(weight.name, str) else list(weight.name)

    def value(self, node, argument):
        """The value of an argument: a node, or a number."""
        if hasattr(argument, "meta"):
            if argument in self._values:
                return self._values[argument]
            if argument in self._known:
                self._values[argument] = self._constant(node, self._known[argument], argument.name)
            elif argument in self._held:
                self._values[argument] = self._of_weight(node, self._held[argument])
            else:
                raise Refused("'%s' has several results, of which one must be taken" % argument.name)
            return self._values[argument]
        return self._constant(node, (argument, argument), "constant")

    def _of_weight(self, node, weight):
        shape = list(weight.tensor.shape) or [1]
        return self._parameter(node, weight, weight.tensor.float().reshape(shape).numpy(), weight.is_trainable)

    def _parameter(self, node, weight, array, is_trainable):
        attributes = {"shape": list(array.shape), "init": "zeros", "is_trainable": is_trainable}
        return self.add(node, "parameter", (), attributes, [(list(array.shape), None, "float")],
                        {"value": (weight, array)}, name=weight.name)[0]

    def _constant(self, node, pair, name):
        """A value whose numbers are known; rows that are equal for all samples become one for all."""
        array = self.same_for_all(pair)
        if array is None:
            raise Refused("'%s' holds numbers that differ from sample to sample and follow the batch" % name)
        if array.dtype.kind == "f":              # a mask's -inf, since weights must be finite
            array = np.clip(array, np.finfo(np.float32).min, np.finfo(np.float32).max)
        shown = (array.shape, array.dtype.kind, array.tobytes())
        if shown not in self._constants:
            weight = Weight("constant_" + name, None, False)
            value = self._parameter(node, weight, array.astype(np.float32), is_trainable=False)
            self.own_names.pop(value.name + "/value")
            if array.dtype.kind != "f":
                kind = "bool" if array.dtype.kind == "b" else "int64"
                value = self.add(node, "cast", [value], {"to": kind}, [(value.shape, None, kind)], {},
                                 name=value.name + ".cast")[0]
            self._constants[shown] = value
        return self._constants[shown]

    @staticmethod
    def same_for_all(pair):
        """A known value as an array with a size of 1 where it repeats with the batch; None where it differs there."""
        two, three = (np.asarray(each.detach().cpu().numpy() if hasattr(each, "detach") else each) for each in pair)
        if two.dtype.kind == "f":
            two, three = two.astype(np.float32), three.astype(np.float32)
        for axis in range(two.ndim):
            if two.shape[axis] != three.shape[axis]:
                first = np.take(two, [0], axis)
                if not np.array_equal(np.broadcast_to(first, two.shape), two):
                    return None
                two, three = first, np.take(three, [0], axis)
        if two.shape != three.shape or not np.array_equal(two, three, equal_nan=two.dtype.kind == "f"):
            return None
        return two if two.ndim else two.reshape(1)

    def known(self, argument):
        """The array of an argument, as ``same_for_all``; None if it is none."""
        if argument in self._known:
            return self.same_for_all(self._known[argument])
        return None if hasattr(argument, "meta") else self.same_for_all((argument, argument))

    def known_pair(self, argument):
        """What a tensor is for batches of 2 and of 3; None where that is not known."""
        pair = self._known.get(argument)
        return pair if pair is not None and all(hasattr(each, "shape") for each in pair) else None

    def weight(self, argument):
        """The Weight that a node is; None for None. Raises Refused where it is computed."""
        if argument is None:
            return None
        if argument not in self._held:
            raise Refused("its weight is computed, and this operation takes only parameters")
        return self._held[argument]

    def is_weight(self, argument):
        return argument in self._held

    def any_input(self):
        """A value with the batch as its first axis."""
        return Value(self.inputs[0]["name"], [1, *self.inputs[0]["shape"]], 0, self.inputs[0]["dtype"])
