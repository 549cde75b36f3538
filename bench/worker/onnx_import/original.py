"""The user's own ONNX file: what a run of it takes and gives, and how other weights come into it."""

import contextlib
import hashlib
import itertools
import os
import tempfile

import numpy as np

from ..graphs import output_values
from ..onnx.writing import save, sizes
from ..samples import count, joined, keys, packed, part_of, unpacked
from . import Refused, importing, loading

KIND = "an ONNX file"
FORMAT = "float32"
ROUNDS = 3               # of attempts to find which arrays of a file are parameters of its graph
MOST_AXES = 4


def told_of(path, shapes, pins):
    """(plain form, weights, notes, what runs of the file must know)."""
    model = loading.load(path)
    plain, weights, notes, told = importing.imported(model, shapes, pins)
    numbers = replaceable(model, shapes, pins, plain, weights)
    return plain, weights, notes, dict(
        told, kind=KIND, digest=digest(path), numbers=numbers, moved=sorted(numbers), formats=formats(model))


def digest(path):
    """The hash of a file and of the files with its data."""
    found = hashlib.sha256()
    for each in [path] + [os.path.join(os.path.dirname(path), name) for name in loading.files_of(path)]:
        with open(each, "rb") as file:
            for part in iter(lambda file=file: file.read(2 ** 24), b""):
                found.update(part)
    return found.hexdigest()[:16]


def tensors(model):
    """{name: TensorProto} of the arrays that a model holds, as initialisers or as nodes."""
    found = {each.name: each for each in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            found[node.output[0]] = node.attribute[0].t
    return found


def formats(model):
    """The formats of floats in which the arrays of a model are, beside single numbers."""
    from onnx import helper

    sized = (each for each in tensors(model).values() if np.prod(each.dims) > 1)
    dtypes = {helper.tensor_dtype_to_np_dtype(each.data_type) for each in sized}
    return sorted(each.name for each in dtypes if each.kind == "f" or "float" in each.name)


def replaceable(model, shapes, pins, plain, weights):
    """{key of a parameter: [name of the array of the file that it is, its axes]}; without what the file computes.

    It is found by importing the file with other numbers: it must give the same graph, with these numbers and no others
    changed.
    """
    from onnx import numpy_helper

    arrays = {name: numpy_helper.to_array(each) for name, each in tensors(model).items()
              if _name_of(each) == FORMAT and np.prod(each.dims) > 1}
    candidates = {name for name, array in arrays.items() if array.ndim <= MOST_AXES and any(
        array.size == own.size and np.array_equal(np.sort(array, None), np.sort(own, None))
        for own in weights.values())}
    rng = np.random.RandomState(0)
    for _ in range(ROUNDS):
        if not candidates:
            return {}
        moved = {name: rng.standard_normal(arrays[name].shape).astype(np.float32) for name in sorted(candidates)}
        try:
            again, other, _, _ = importing.imported(with_arrays(model, moved), shapes, pins)
        except Refused:
            return {}
        if again != plain:
            return {}
        found = {key: place for key, place in ((key, _place(array, moved)) for key, array in other.items()) if place}
        names = [name for name, _ in found.values()]
        alone = {name for name in names if names.count(name) == 1}
        if alone == candidates:
            is_same = all(np.array_equal(other[key], weights[key]) for key in weights if key not in found)
            return found if is_same else {}
        candidates = alone
    return {}


def _name_of(tensor):
    from onnx import helper

    return helper.tensor_dtype_to_np_dtype(tensor.data_type).name


def _place(array, arrays):
    """[name of the array with the same numbers, its axes in their order]; None if there is none."""
    for name, other in arrays.items():
        if other.size == array.size and other.min() == array.min():
            for axes in itertools.permutations(range(other.ndim)):
                if np.array_equal(other.transpose(axes).reshape(-1), array.reshape(-1)):
                    return [name, list(axes)]
    return None


def with_arrays(model, arrays):
    """A copy of a model with other arrays by their names."""
    from onnx import ModelProto, numpy_helper

    changed = ModelProto()
    changed.CopyFrom(model)
    known = tensors(changed)
    for name, array in arrays.items():
        known[name].CopyFrom(numpy_helper.from_array(np.ascontiguousarray(array), known[name].name))
    return changed


class File(object):
    """The file that was imported, on this machine; raises Refused if it is another now, or in another format."""

    def __init__(self, told, graph):
        self._told, self._graph = told, graph
        self.path = os.path.join(told["folder"], told["reference"])
        name = os.path.basename(self.path)
        if not os.path.isfile(self.path):
            raise Refused("there is no file %s any more" % self.path)
        if digest(self.path) != told["digest"]:
            raise Refused("%s has changed since it was imported; run the command again" % name)
        if told["formats"] not in ([], [FORMAT]):
            raise Refused("%s holds numbers in %s, so that as written it does not compute in fp32" % (
                name, " and ".join(told["formats"])))

    @contextlib.contextmanager
    def with_weights(self, weights):
        """The path of the file itself where it holds these weights; else that of a copy with them."""
        model = loading.load(self.path)
        own, changed = tensors(model), {}
        for key, (name, axes) in self._told["numbers"].items():
            from onnx import numpy_helper

            array = numpy_helper.to_array(own[name])
            inverse = np.argsort(axes)
            asked = weights[key].reshape([array.shape[axis] for axis in axes]).transpose(inverse)
            if not np.array_equal(asked, array):
                changed[name] = asked
        if not changed:
            yield self.path
            return
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "changed.onnx")
            save(with_arrays(model, changed), path)
            yield path

    def refuse_batch(self, samples):
        """Raises Refused where the file takes no batch of this size."""
        fixed = self._told["fixed_batch"]
        if fixed is not None and samples != fixed:
            raise Refused("the file as written takes batches of %d alone; choose --batch %d, or export it with an open "
                          "batch" % (fixed, fixed))

    def batches(self, x):
        """The samples in batches that the file takes, the last filled up with earlier samples."""
        samples, size = count(x), self._told["fixed_batch"] or count(x)
        for start in range(0, samples, size):
            yield part_of(x, np.arange(start, start + size) % samples)

    def feeds(self, x):
        """[(name of an input of the file, its array)] in the file's order."""
        samples, given = count(x), dict(zip(keys(self._graph, "x"), unpacked(x)))
        found = []
        for each in self._told["feeds"]:
            dtype = np.dtype(each["dtype"])
            if each["key"] is None:
                shape = [samples if size is None else size for size in each["shape"]]
                array = np.full(shape, each["value"], dtype)
            else:
                array = np.moveaxis(given[each["key"]], 0, each["shape"].index(None)).astype(dtype)
            found.append((each["name"], np.array(array, order="C")))     # ascontiguousarray gives an axis to a number
        return found

    def shapes(self, samples):
        """{name of an input of the file: its shape for so many samples}."""
        return {each["name"]: [samples if size is None else size for size in each["shape"]]
                for each in self._told["feeds"]}

    def answer(self, outputs, samples):
        """All outputs of the file, as the graph gives them."""
        return packed([
            np.array(np.moveaxis(outputs[index], batch, 0).reshape(sizes(value, samples)))
            for (index, batch), value in zip(self._told["outputs"], output_values(self._graph))
        ])

    def answers(self, run, x):
        """What ``run(feeds, samples)`` gives for all samples."""
        parts = [self.answer(run(self.feeds(part), count(part)), count(part)) for part in self.batches(x)]
        return part_of(joined(parts), slice(0, count(x)))
