"""TensorFlow's own trace: written, read from its .xplane.pb files, and which layers the kernels in it work for."""

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
"""The name that each step is to be marked with in a trace."""

LAYER_SCOPE, LOSS_SCOPE, OPTIMIZER_SCOPE = "layer/%s/", "loss/", "optimizer/"
"""The name scopes that operations are to be made in. What no gradient tape made outside of them belongs to no row."""

GRADIENT_SCOPE = "gradient_tape/"
"""What TensorFlow puts before the scope of an operation in the names of those that compute its gradient."""


# Writing and reading the files -----------------------------------------------------------------------------------


@contextlib.contextmanager
def written(tf, folder, is_cuda):
    """Writes a trace of what runs in this context into a folder."""
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
    """An empty XSpace message, for what those files hold; None where this TensorFlow has none."""
    for package in ("tensorflow.tsl", "tensorflow.core"):        # from TensorFlow 2.12, before
        with contextlib.suppress(ImportError):
            return importlib.import_module(package + ".profiler.protobuf.xplane_pb2").XSpace()
    return None


def read(space, folder):
    """Add to an XSpace what was written into a folder."""
    for path in glob.glob(os.path.join(folder, "**", "*.xplane.pb"), recursive=True):
        with open(path, "rb") as file:
            space.MergeFromString(file.read())


class Unusable(Exception):
    """A trace that gives no layer times; the message says what it holds or lacks, "holds no kernel"."""


def lines(space, plane_name, prefix=""):
    """The events, (begin_s, end_s, name, stats), of each line of a plane whose name begins so: a thread or a stream.

    ``space`` is an XSpace message. Times count from one moment for all its planes, near the first event.
    """
    origin_ns = min([line.timestamp_ns for plane in space.planes for line in plane.lines], default=0)
    found = []
    for plane in space.planes:
        if plane.name == plane_name:
            names = {key: each.name for key, each in plane.event_metadata.items()}
            stats = {key: each.name for key, each in plane.stat_metadata.items()}
            wanted = [line for line in plane.lines if line.name.startswith(prefix)]
            found += [_events(line, origin_ns, names, stats) for line in wanted]
    return found


def _events(line, origin_ns, names, stat_names):
    # In whole picoseconds: nanoseconds since 1970 are more digits than a float has.
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
    """Those of (begin, end, ...) that begin in each of the steps, which are (begin, end) too; a list for each."""
    steps = sorted(steps)
    begins = [begin for begin, _ in steps]
    found = [[] for _ in steps]
    for span in spans:
        step = bisect.bisect_right(begins, span[0]) - 1
        if step >= 0 and span[0] <= steps[step][1]:
            found[step].append(span)
    return found


# Kernels of steps ------------------------------------------------------------------------------------------------


def kernels(space, program, steps, device):
    """The kernels of so many steps on a device ("GPU:0"), booked by their program; raises Unusable."""
    host = lines(space, "/host:CPU")
    marks = [(begin, end) for line in host for begin, end, name, _ in line if name == STEP]
    found = host if device.startswith("CPU") else lines(space, "/device:" + device, "Stream")
    of_steps = program.kernels(found, marks)
    complete = sum(map(bool, of_steps))
    if complete < steps:
        raise Unusable("holds kernels of only %d of %d steps" % (complete, steps))
    return itertools.chain.from_iterable(of_steps)


# Kernels of operations -------------------------------------------------------------------------------------------

_SCOPE = re.compile(r"(?:%s|(%s)|(%s))" % (LAYER_SCOPE % "([^/]+)", LOSS_SCOPE, OPTIMIZER_SCOPE))
_UPDATE = re.compile(OPTIMIZER_SCOPE + LAYER_SCOPE % "([^/]+)")
_SUM = re.compile(r"AddN(?:_\d+)?$")             # of a gradient tape; words before it if rewritten
_KERNEL = re.compile(r"([^:]+):(\w+)")
_FUSED = re.compile(
    r"_(?:Mkl)?(?:Native)?(?:PadWith)?Fused(?:(Conv2D|DepthwiseConv2dNative|MatMul|BatchMatMul(?:V2)?)|BatchNormEx)$"
)

# It hands on a tensor that is there; a layer whose work another's kernel does still reads its variables by itself.
_NO_WORK = ("ReadVariableOp",)

Operation = collections.namedtuple("Operation", "kind inputs")
"""``kind`` is the type, "Conv2D"; ``inputs`` the names of the operations whose results it takes."""


class Operations(object):
    """Which layers the kernels of a traced function work for.

    ``operations`` is {name: Operation} of the function as it was written, before TensorFlow optimises it, made in the
    scopes above; ``layers`` the graph's. A kernel runs under the name of an operation. A fused one does the work of
    several, and has the name of the last (of the first, where a ReLU is fused into a batch normalisation), so it alone
    would book a convolution to the ReLU behind it. The others are found in the function: those between the kernel's
    name and the operation that its type speaks of, none of which runs by itself.
    """

    def __init__(self, operations, layers):
        self._operations = operations
        self._single_input = {layer["name"] for layer in layers if len(layer["inputs"]) == 1}
        self._readers = collections.defaultdict(list)
        for name, operation in operations.items():
            for source in operation.inputs:
                self._readers[source].append(name)

    def row_of(self, name):
        """The (layer, direction) that an operation was made for, None if for none."""
        found = _SCOPE.search(name)
        if not found:
            found = _SUM.search(name)
            return self._row_of_sum(found.group()) if found else None
        layer, _, is_update = found.groups()
        if is_update:
            return OPTIMIZER, "update"
        return layer or LOSS, "backward" if GRADIENT_SCOPE in name[:found.start()] else "forward"

    def gradient_of(self, name):
        """The row in which the gradient is computed that an operation of the optimizer takes, None for others."""
        found = _UPDATE.search(name)
        return (found.group(1), "backward") if found else None

    def _row_of_sum(self, name):
        """Of what a gradient tape adds up: within a layer that reads a value of its own twice, or between layers."""
        summands = self._operations[name].inputs if name in self._operations else ()
        rows = {self.row_of(each) for each in summands}
        row = rows.pop() if len(rows) == 1 else None
        is_within = row and row[0] in self._single_input and len(set(summands)) > 1
        return row if is_within else (GRADIENT_ADD, "backward")

    def kernels(self, lines, steps):
        """The Kernels of each step, (begin_s, end_s), from the lines of a trace; raises Unusable."""
        lines = [self._of_operations(line) for line in lines]
        seen = {event for line in lines for _, _, event in line}
        ran = {_KERNEL.match(event).group(1) for event in seen}
        booked = {event: self._booked(event, ran) for event in seen}
        found = [[] for _ in steps]
        for line in lines:
            spans = outermost(span for span in line if booked[span[2]][0])
            for kernels, of_step in zip(found, by_step(spans, steps)):
                kernels += [Kernel(begin, end, *booked[event]) for begin, end, event in of_step]
        return found

    def _of_operations(self, line):
        """(begin, end, "name:Type") of the kernels among the events of a thread or stream."""
        named = ((begin, end, stats.get("tf_op") or name) for begin, end, name, stats in line)
        found = ((begin, end, _KERNEL.match(name)) for begin, end, name in named)
        return [(begin, end, match.group()) for begin, end, match in found if match and match.group(2) not in _NO_WORK]

    def _booked(self, event, ran):
        """(row, members) of a kernel, where these operations ran as kernels by themselves."""
        name, kind = _KERNEL.match(event).groups()
        row, fused = self.row_of(name), _FUSED.match(kind)
        if row is None or fused is None or name not in self._operations:
            return row, ()         # what is not in the function is in a loop, so in one layer
        if fused.group(1):
            paths = list(self._paths(name, lambda each: self._operations[each].inputs, fused.group(1), ran))
        else:
            paths = list(self._paths(name, lambda each: self._readers[each], "Relu", ran))
        # There may be several to the same one: bfloat16 has an IdentityN between, which takes all that it hands on.
        ends = {path[-1] for path in paths}
        if len(ends) != 1:
            raise Unusable("holds '%s', a fused kernel whose other operations cannot be told" % event)
        row = self.row_of(ends.pop() if fused.group(1) else name)
        layers = {found[0] for path in paths for found in map(self.row_of, path) if found}
        return row, tuple(layers) if len(layers) > 1 else ()

    def _paths(self, name, neighbours, kind, ran):
        """The ways from an operation to the nearest ones of a kind, over those that do not run by themselves."""
        if self._operations[name].kind == kind:
            yield [name]
            return
        for each in collections.OrderedDict.fromkeys(neighbours(name)):
            if each not in ran:
                for path in self._paths(each, neighbours, kind, ran):
                    yield [name, *path]


# Kernels of XLA --------------------------------------------------------------------------------------------------


class XlaProgram(object):
    """Which layers the instructions of a program work for that XLA made of a function, from its optimized HLO text.

    ``operations`` are the Operations of that function.
    """

    def __init__(self, text, operations):
        self._owners = hlo.layers_of(text, operations.row_of, operations.gradient_of)
        self._kernels = hlo.kernels(text)

    def kernels(self, lines, steps):
        """As those of Operations."""
        # A module's name in the trace is longer than in the text; a step runs one.
        modules = {stats["hlo_module"] for line in lines for _, _, _, stats in line if "hlo_op" in stats}
        lack = hlo.lack(lines, modules, len(steps), self._owners, self._kernels)
        if lack:
            raise Unusable(lack)
        spans = [span for module in modules for span in hlo.spans(lines, module)]
        return [
            [Kernel(begin, end, *self._owners[name]) for begin, end, name in of_step]
            for of_step in by_step(spans, steps)
        ]
