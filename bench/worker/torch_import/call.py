"""One call of ATen as the tables of ``calls`` read it, and the layers that they make of it."""

import math
import operator

from ..user_code import Refused
from .trace import axes_of
from .values import KINDS


def kind_of(number):
    """The kind of a number that a call takes, which gives way to that of a tensor: of floats where it has a part."""
    return "bool" if isinstance(number, bool) else "int64" if isinstance(number, int) else "float"


class Call:
    """One call of ATen, as the tables of ``calls`` read it."""

    def __init__(self, program, node):
        self._program, self.node = program, node
        self._arguments = {}
        schema = getattr(node.target, "_schema", None)
        for index, each in enumerate(schema.arguments if schema is not None else ()):
            given = node.args[index] if index < len(node.args) else node.kwargs.get(each.name, each.default_value)
            self._arguments[each.name] = given

    def __getitem__(self, name):
        return self._arguments[name]

    def get(self, name, default=None):
        return self._arguments.get(name, default)

    @property
    def subject(self):
        """What the call is of, whatever its schema calls it."""
        return self.value("input" if "input" in self._arguments else "self")

    def value(self, name):
        return self.value_of(self._arguments[name])

    def value_of(self, argument):
        value = self._program.value(self.node, argument)
        return value if value.folded == 1 else self._unfolded(value)

    def _unfolded(self, value):
        """Its folded axes as one, as the module has them."""
        if value.batch != 0:
            raise Refused("it takes rows of which the batch is not the first part; transpose before the view")
        rows = math.prod(value.shape[:value.folded])
        return self.regrouped(value._replace(folded=1), [rows, *value.shape[value.folded:]], 0)

    @property
    def rows(self):
        """The subject of a call that works row by row; its first axes may be folded."""
        return self.rows_of("input" if "input" in self._arguments else "self")

    def rows_of(self, name):
        return self._program.value(self.node, self._arguments[name])

    def known(self, name):
        """The array of an argument whose numbers are known; None where they are not."""
        return None if self._arguments.get(name) is None else self._program.known(self._arguments[name])

    def known_of(self, argument):
        return self._program.known(argument)

    def weight(self, name):
        return self._program.weight(self._arguments[name])

    def weight_of(self, argument):
        return self._program.weight(argument)

    def known_pair(self, argument):
        return self._program.known_pair(argument)

    def is_weight(self, name):
        return self._program.is_weight(self._arguments[name])

    def counts_samples(self, argument):
        """Whether these numbers are 0, 1, 2 and so on, one for each sample."""
        pair = self._program.known_pair(argument)
        return pair is not None and all(
            sum(size > 1 for size in each.shape) == 1 and each.reshape(-1).tolist() == list(range(samples))
            for each, samples in zip(pair, (2, 3)))

    def traced(self, name):
        """(shape, batch, dtype) of a tensor that the call takes."""
        return axes_of(self._arguments[name].meta["val"])

    @property
    def result(self):
        """(shape, batch, dtype) of the result, or of the first."""
        return self.results[0]

    @property
    def results(self):
        traced = self.node.meta["val"]
        return [axes_of(each) for each in (traced if isinstance(traced, (tuple, list)) else (traced,))]

    @property
    def has_several(self):
        """Whether the call gives several results."""
        return isinstance(self.node.meta["val"], (tuple, list))

    def is_used(self, index):
        """Whether anything reads this of several results."""
        return any(user.target is operator.getitem and user.args[1] == index and user.users
                   for user in self.node.users)

    def note(self, sentence):
        self._program.notes.append(sentence)

    def path(self):
        return self._program.path(self.node)

    # Layers.

    def add(self, op, *inputs, weights=None, like=None, **attributes):
        """A layer whose result is the call's, or ``like`` (shape, batch, dtype); its value."""
        return self.add_many(op, *inputs, weights=weights, outputs=[self.result if like is None else like],
                             **attributes)[0]

    def changed(self, like, op, *inputs, **attributes):
        """A layer whose result is as a value is, folded axes among it."""
        return self.add(op, *inputs, like=like[1:4], **attributes)._replace(folded=like.folded)

    def dropped(self, value, rate, batch=0):
        """Dropout of a value with the batch as its first axis, which is this axis in the module."""
        rows, *others = value.shape
        whole = value if rows == 1 else self.regrouped(value, [1, rows, *others], 0)
        found = self.add("dropout", whole, like=whole[1:4], rate=rate)
        self._program.dropouts.append([found.name, batch])
        return self.regrouped(found, value.shape, 0)._replace(folded=value.folded)

    def add_many(self, op, *inputs, outputs, weights=None, **attributes):
        arrays = {}
        for name, weight in (weights or {}).items():
            if weight is not None:
                array = weight.tensor
                arrays[name] = (weight, array.detach().float().cpu().numpy() if hasattr(array, "detach") else array)
        return self._program.add(self.node, op, inputs, attributes, outputs, arrays)

    def constant(self, number):
        return self.value_of(number)

    def as_kind(self, argument, dtype):
        """The value of an argument as another kind of numbers."""
        if not hasattr(argument, "meta") and isinstance(argument, (bool, int, float)):
            return self.constant(KINDS[dtype](argument))
        value = self.value_of(argument)
        return value if value.dtype == dtype else self.add(
            "cast", value, like=(value.shape, value.batch, dtype), to=dtype)

    def alike(self, *names):
        """The values of these arguments as one kind of numbers: as floats where one of them is, else as integers."""
        found = [self._arguments[name] for name in names]
        kinds = {self.value_of(each).dtype if hasattr(each, "meta") else kind_of(each) for each in found}
        dtype = next(iter(kinds)) if len(kinds) == 1 else "float" if "float" in kinds else "int64"
        return [self.as_kind(each, dtype) for each in found]

    def permuted(self, value, axes):
        """The value with its axes in another order."""
        if list(axes) == list(range(len(value.shape))):
            return value
        batch = None if value.batch is None else list(axes).index(value.batch)
        like = ([value.shape[axis] for axis in axes], batch, value.dtype)
        if value.batch == 0 and axes[0] == 0 and value.shape[0] == 1:
            return self.add("transpose", value, like=like, axes=[axis - 1 for axis in axes[1:]])
        return self.add("permute", value, like=like, axes=list(axes))

    def regrouped(self, value, shape, batch):
        """The same elements in the same order under another shape."""
        if (list(shape), batch) == (list(value.shape), value.batch):
            return value._replace(folded=1)
        like = (list(shape), batch, value.dtype)
        if value.batch == 0 and batch == 0 and value.shape[0] == shape[0] == 1 and len(shape) > 1:
            if len(shape) == 2:
                return self.add("flatten", value, like=like)
            return self.add("reshape", value, like=like, shape=list(shape[1:]))
        before = None if batch is None else math.prod(shape[:batch])
        if value.batch is not None and before != math.prod(value.shape[:value.batch]):
            raise Refused("a view tears the numbers of a sample apart")
        return self.add("regroup", value, like=like, shape=list(shape), batch=batch)

    def batch_first(self, value):
        """The value with the batch as its first axis; raises Refused where all samples share it."""
        if value.batch is None:
            raise Refused("it takes a value that all samples share, %s" % (tuple(value.shape),))
        return self.permuted(value, [value.batch, *(a for a in range(len(value.shape)) if a != value.batch)])

    def batch_back(self, value, like):
        """The value, whose batch is its first axis, with batch and folded axes as in another value."""
        axes = list(range(1, len(value.shape)))
        axes.insert(like.batch, 0)
        return self.permuted(value, axes)._replace(folded=like.folded)

    def expanded(self, value):
        """A value that all samples share, once for each sample, along a first axis of size 1."""
        shared = self.regrouped(value, value.shape[1:], None)
        return self.add("expand", shared, self._program.any_input(), like=(list(value.shape), 0, value.dtype))
