"""TensorFlow's own trace: writes it, reads it from .xplane.pb files, and finds the layers of its kernels."""

import bisect
import collections
import contextlib
import glob
import importlib
import itertools
import os
import re

from . import GRADIENT_ADD, LOSS, OPTIMIZER, hlo
from .trace import Kernel, outermost

STEP = "rigmark step"
"""The name with which each step is marked in a trace."""

LAYER_SCOPE, LOSS_SCOPE, OPTIMIZER_SCOPE = "layer/%s/", "loss/", "optimizer/"
"""The name scopes in which operations are created. Operations outside of them belong to no row, except those of a
gradient tape."""

GRADIENT_SCOPE = "gradient_tape/"
"""The prefix of the scope in the names of operations that compute a gradient."""


# Writing and reading the files -----------------------------------------------------------------------------------


@contextlib.contextmanager
def written(tf, folder, is_cuda):
    """A context whose trace is written into a folder."""
    profiler = tf.profiler.experimental
    profiler.start(folder, profiler.ProfilerOptions(
        host_tracer_level=2, python_tracer_level=0, device_tracer_level=int(is_cuda)
    ))
    try:
        yield
    except BaseException:
        profiler.stop(save=False)
        raise
    profiler.stop()


def empty_space():
    """An empty XSpace message, to read these files with; None if this TensorFlow does not have it."""
    for package in ("tensorflow.tsl", "tensorflow.core"):        # since TensorFlow 2.12, and before
        with contextlib.suppress(ImportError):
            return importlib.import_module(package + ".profiler.protobuf.xplane_pb2").XSpace()
    return None


def read(space, folder):
    """Adds the traces in a folder to an XSpace."""
    for path in glob.glob(os.path.join(folder, "**", "*.xplane.pb"), recursive=True):
        with open(path, "rb") as file:
            space.MergeFromString(file.read())


class Unusable(Exception):
    """A trace gives no layer times; the message states what it contains or lacks: "holds no kernel"."""


def lines(space, plane_name, prefix=""):
    """The events (begin_s, end_s, name, stats) of each line, that is, thread or stream, of a plane, by prefix of name.

    ``space`` is an XSpace message. The times of all its planes have the same origin, near the first event.
    """
    origin_ns = min([line.timestamp_ns for plane in space.planes for line in plane.lines], default=0)
    of_lines = []
    for plane in space.planes:
        if plane.name == plane_name:
            names = {key: each.name for key, each in plane.event_metadata.items()}
            stats = {key: each.name for key, each in plane.stat_metadata.items()}
            wanted = [line for line in plane.lines if line.name.startswith(prefix)]
            of_lines += [_events(line, origin_ns, names, stats) for line in wanted]
    return of_lines


def _events(line, origin_ns, names, stat_names):
    # In whole picoseconds, because nanoseconds since 1970 have more digits than a float.
    start_ps = (line.timestamp_ns - origin_ns) * 1000
    events = []
    for event in line.events:
        begin_ps = start_ps + event.offset_ps
        stats = {stat_names.get(stat.metadata_id): _value(stat, stat_names) for stat in event.stats}
        name = names.get(event.metadata_id, "")
        events.append((begin_ps / 1e12, (begin_ps + event.duration_ps) / 1e12, name, stats))
    return events


def _value(stat, names):
    kind = stat.WhichOneof("value")
    if kind is None:
        return None
    value = getattr(stat, kind)
    return names.get(value) if kind == "ref_value" else value


def by_step(spans, steps):
    """The spans (begin, end, ...) that begin in each of the steps (begin, end): one list per step."""
    steps = sorted(steps)
    begins = [begin for begin, _ in steps]
    of_steps = [[] for _ in steps]
    for span in spans:
        step = bisect.bisect_right(begins, span[0]) - 1
        if step >= 0 and span[0] <= steps[step][1]:
            of_steps[step].append(span)
    return of_steps


# Kernels of steps ------------------------------------------------------------------------------------------------


def kernels(space, program, steps, device):
    """The kernels of this many steps on a device ("GPU:0"), assigned to rows by their program; raises Unusable."""
    host = lines(space, "/host:CPU")
    marks = [(begin, end) for line in host for begin, end, name, _ in line if name == STEP]
    events = host if device.startswith("CPU") else lines(space, "/device:" + device, "Stream")
    of_steps = program.kernels(events, marks)
    complete = sum(map(bool, of_steps))
    if complete < steps:
        raise Unusable("holds kernels of only %d of %d steps" % (complete, steps))
    return itertools.chain.from_iterable(of_steps)


# Kernels of operations -------------------------------------------------------------------------------------------

_SCOPE = re.compile(r"(?:%s|(%s)|(%s))" % (LAYER_SCOPE % "([^/]+)", LOSS_SCOPE, OPTIMIZER_SCOPE))
_UPDATE = re.compile(OPTIMIZER_SCOPE + LAYER_SCOPE % "([^/]+)")
_SUM = re.compile(r"AddN(?:_\d+)?$")             # of a gradient tape; rewriting may add a prefix
_KERNEL = re.compile(r"([^:]+):(\w+)")
_FUSED = re.compile(
    r"_(?:Mkl)?(?:Native)?(?:PadWith)?Fused(?:(Conv2D|DepthwiseConv2dNative|MatMul|BatchMatMul(?:V2)?)|BatchNormEx)$"
)

# It only passes a tensor on: a layer whose work is done by the kernel of another still reads its own variables.
_NO_WORK = ("ReadVariableOp",)

Operation = collections.namedtuple("Operation", "kind inputs")
"""``kind`` is the type, "Conv2D"; ``inputs`` are the names of the operations whose results it reads."""


class Operations(object):
    """Finds the layers of the kernels of a traced function.

    ``operations`` is {name: Operation} of the function before TensorFlow optimises it, created in the scopes above;
    ``layers`` are those of the graph. A kernel has the name of an operation. A fused kernel does the work of several
    operations and has the name of the last one (of the first, if a ReLU is fused into a batch normalisation); by that
    name alone a convolution would be assigned to the ReLU after it. The other operations are found in the function:
    they are between the kernel's name and the operation in its type, and none of them runs by itself.
    """

    def __init__(self, operations, layers):
        self._operations = operations
        self._single_input = {layer["name"] for layer in layers if len(layer["inputs"]) == 1}
        self._readers = collections.defaultdict(list)
        for name, operation in operations.items():
            for source in operation.inputs:
                self._readers[source].append(name)

    def row_of(self, name):
        """The (layer, direction) of an operation; None if it belongs to no row."""
        match = _SCOPE.search(name)
        if not match:
            match = _SUM.search(name)
            return self._row_of_sum(match.group()) if match else None
        layer, _, is_update = match.groups()
        if is_update:
            return OPTIMIZER, "update"
        return layer or LOSS, "backward" if GRADIENT_SCOPE in name[:match.start()] else "forward"

    def gradient_of(self, name):
        """The row in which the gradient of an operation of the optimizer is computed; None for other operations."""
        match = _UPDATE.search(name)
        return (match.group(1), "backward") if match else None

    def _row_of_sum(self, name):
        """The row of a sum of a gradient tape: in a layer that reads one of its values twice, or between layers."""
        summands = self._operations[name].inputs if name in self._operations else ()
        rows = {self.row_of(each) for each in summands}
        row = rows.pop() if len(rows) == 1 else None
        is_within = row and row[0] in self._single_input and len(set(summands)) > 1
        return row if is_within else (GRADIENT_ADD, "backward")

    def kernels(self, lines, steps):
        """The Kernels in each of the steps (begin_s, end_s), from the lines of a trace; raises Unusable."""
        lines = [self._of_operations(line) for line in lines]
        seen = {event for line in lines for _, _, event in line}
        ran = {_KERNEL.match(event).group(1) for event in seen}
        booked = {event: self._booked(event, ran) for event in seen}
        by_steps = [[] for _ in steps]
        for line in lines:
            spans = outermost(span for span in line if booked[span[2]][0])
            for kernels, of_step in zip(by_steps, by_step(spans, steps)):
                kernels += [Kernel(begin, end, *booked[event]) for begin, end, event in of_step]
        return by_steps

    def _of_operations(self, line):
        """(begin, end, "name:Type") of those events of a thread or stream that are kernels."""
        named = ((begin, end, stats.get("tf_op") or name) for begin, end, name, stats in line)
        events = ((begin, end, _KERNEL.match(name)) for begin, end, name in named)
        return [(begin, end, match.group()) for begin, end, match in events if match and match.group(2) not in _NO_WORK]

    def _booked(self, event, ran):
        """(row, members) of a kernel; ``ran`` are the operations that ran as kernels of their own."""
        name, kind = _KERNEL.match(event).groups()
        row, fused = self.row_of(name), _FUSED.match(kind)
        if row is None or fused is None or name not in self._operations:
            return row, ()         # not in the function means in a loop, and so in one layer
        if fused.group(1):
            paths = list(self._paths(name, lambda each: self._operations[each].inputs, fused.group(1), ran))
        else:
            paths = list(self._paths(name, lambda each: self._readers[each], "Relu", ran))
        # Several paths may lead to the same operation: bfloat16 has an IdentityN, which reads everything it passes on.
        ends = {path[-1] for path in paths}
        if len(ends) != 1:
            raise Unusable("holds '%s', a fused kernel whose other operations are not known" % event)
        row = self.row_of(ends.pop() if fused.group(1) else name)
        layers = {own_row[0] for path in paths for own_row in map(self.row_of, path) if own_row}
        return row, tuple(layers) if len(layers) > 1 else ()

    def _paths(self, name, neighbours, kind, ran):
        """The paths from an operation to the nearest ones of a kind, through operations that do not run separately."""
        if self._operations[name].kind == kind:
            yield [name]
            return
        for each in collections.OrderedDict.fromkeys(neighbours(name)):
            if each not in ran:
                for path in self._paths(each, neighbours, kind, ran):
                    yield [name, *path]


# Kernels of XLA --------------------------------------------------------------------------------------------------


class XlaProgram(object):
    """Finds the layers of the instructions of a program that XLA compiled from a function, in its optimized HLO text.

    ``operations`` are the Operations of that function.
    """

    def __init__(self, text, operations):
        self._owners = hlo.layers_of(text, operations.row_of, operations.gradient_of)
        self._kernels = hlo.kernels(text)

    def kernels(self, lines, steps):
        """As Operations.kernels."""
        # The name of a module in the trace is longer than in the text; each step runs one module.
        modules = {stats["hlo_module"] for line in lines for _, _, _, stats in line if "hlo_op" in stats}
        lack = hlo.lack(lines, modules, len(steps), self._owners, self._kernels)
        if lack:
            raise Unusable(lack)
        spans = [span for module in modules for span in hlo.spans(lines, module)]
        return [
            [Kernel(begin, end, *self._owners[name]) for begin, end, name in of_step]
            for of_step in by_step(spans, steps)
        ]
