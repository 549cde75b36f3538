"""The adapters: one folder or file per framework, found by its name. They run in the measured process.

It is lent to the interpreter of a build, so it uses the standard library, NumPy and the framework, relative imports,
and Python 3.6 syntax here (an adapter may use what its framework's oldest Python has). Importing an adapter must not
import the framework: the parent reads the constants below from it.

An adapter module has

``DISTRIBUTIONS``   names on the package index whose versions identify the build, the main one first
``IMPORTS``         the top-level package that must be importable, "torch"
``PRELOADS``        optional: further modules that a fork server imports, being slow and imported by every case
``COMPILE_MODES``   compile modes it has, what a new user gets first
``LAYOUTS``         memory layouts it has, what a new user gets first
``PRECISIONS``      numeric policies it has on at least one device
``DEVICES``         device types it has: "cpu", "cuda"
``BEST``            {"inference": (compile mode, layout), "training": ...}: its best documented setting on a CPU
``LAYER_VARIABLES`` optional: {(device type, compile mode, mode): environment variables that only layer trials have};
                    they make another program of it
``LOWERINGS``       {operation: function}; the conformance test compares it with bench.ir.ops.OPS
``prepare(graph, weights, settings, kind)``  -> Prepared; optional: ``kind``, a subclass of its own that is made instead
``facts()``         what the running library says of itself, for the record: threads, capabilities

``graph`` is Graph.plain(). ``weights`` maps "layer/parameter" to float32 arrays in canonical layout: convolution
OIHW, dense (out, in). ``settings`` is a dict:

``mode``          "inference" or "training"
``precision``     "fp32", ...
``compile_mode``  "eager", "compiled" or "xla"
``layout``        "nchw" or "channels_last"
``device``        "cpu" or "cuda:0"
``threads``       number of host threads
``seed``          of the framework's own dropout
"""

import contextlib
import os
import re

import numpy as np

from .. import registry


class Unsupported(Exception):
    """The framework cannot do this; the message is its own sentence."""


def _policy(weights, activations, products, sums, is_loss_scaled=False):
    return {
        "weights": weights, "activations": activations, "products": products, "sums": sums,
        "is_loss_scaled": is_loss_scaled,
    }


POLICIES = {
    "fp32": _policy("fp32", "fp32", "fp32", "fp32"),
    "tf32": _policy("fp32", "fp32", "tf32", "fp32"),
    "fp64": _policy("fp64", "fp64", "fp64", "fp64"),
    "bf16": _policy("fp32", "bf16", "bf16", "fp32"),
    "fp16": _policy("fp32", "fp16", "fp16", "fp32", is_loss_scaled=True),
    "bf16_pure": _policy("bf16", "bf16", "bf16", "fp32"),
    "fp16_pure": _policy("fp16", "fp16", "fp16", "fp32"),
    "int8": _policy("int8", "fp32", "int8", "int32"),
}
"""The formats of each precision: of stored weights and activations, and of what products take and sum in.

Batch normalisation and the loss are computed in fp32 where activations are narrower; in training, gradients of weights
are fp32 when they reach the optimizer. In int8, dense and recurrent layers quantise their input as they meet it, and
all other layers stay in fp32. Sums are those that the hardware's products are specified to have; that kernels which
emulate a format keep to them is not proven.
"""

WITHOUT_TRAINING = {
    "bf16_pure": "an update smaller than 2**-9 of a weight would round away, so that it would learn another thing; "
                 "train in bf16, which keeps fp32 weights",
    "fp16_pure": "an update smaller than 2**-12 of a weight would round away, so that it would learn another thing; "
                 "train in fp16, which keeps fp32 weights",
    "int8": "rounded weights have no gradient; it is for inference",
}
"""Precisions for inference alone, and why."""


NAMES = registry.names(__path__)


def load(name):
    """The adapter module of a framework; the framework itself is not imported yet."""
    in_folder = part(name, "adapter")
    return registry.load(__name__, name) if in_folder is None else in_folder


def part(name, file):
    """A module of a framework's folder; None where it has no such file, or there is no such framework."""
    return registry.load_if_there(__name__, name + "." + file) if name in NAMES else None


def refuse_unknown(name, graph, settings):
    """Raises Unsupported with a sentence for a setting or an operation that an adapter's own constants do not have."""
    adapter = load(name)
    for key, known in (
        ("precision", adapter.PRECISIONS), ("compile_mode", adapter.COMPILE_MODES), ("layout", adapter.LAYOUTS),
    ):
        if settings[key] not in known:
            raise Unsupported("the %s adapter has no %s '%s'; it has %s" % (
                name, key.replace("_", " "), settings[key], ", ".join(known)))
    precision = settings["precision"]
    if settings["mode"] == "training" and precision in WITHOUT_TRAINING:
        raise Unsupported("no training in %s: %s" % (precision, WITHOUT_TRAINING[precision]))
    if precision == "tf32" and settings["device"] == "cpu":
        raise Unsupported("tf32 is a mode of CUDA devices from compute capability 8.0 (Ampere); a CPU has no such unit")
    override = os.environ.get("NVIDIA_TF32_OVERRIDE")
    if settings["device"] != "cpu" and override == ("0" if precision == "tf32" else "1"):
        raise Unsupported("NVIDIA_TF32_OVERRIDE=%s makes NVIDIA's libraries compute %s in another format; unset it" % (
            override, precision))
    for layer in graph["layers"]:
        if layer["op"] not in adapter.LOWERINGS:
            raise Unsupported("the %s adapter has no operation '%s'" % (name, layer["op"]))


@contextlib.contextmanager
def refusals(missing_kernel):
    """Turns an error by which a framework says that it has no kernel for a format into Unsupported, in its words.

    ``missing_kernel`` is the regular expression that finds such a message.
    """
    try:
        yield
    except Exception as error:
        found = re.search(missing_kernel, str(error))
        if found is None:
            raise
        raise Unsupported("%s: %s" % (type(error).__name__, found.group(0))) from error


def widened(array):
    """The array as NumPy's own float32 where it is of a narrower type, which may be none of NumPy's."""
    return array.astype(np.float32) if array.dtype.itemsize < 4 else array


class Prepared(object):
    """A network lowered into one framework, on its device, ready to step. Adapters subclass it.

    Arrays that go in are NumPy: x float32 (batch, *input shape) in NCHW order or int64 tokens, y int64 classes or
    float32 targets. Arrays that come out are NumPy, float32 or wider, in canonical layout.

    Two ways lead through the same lowering. The *timed* way: ``load`` batches, then ``step`` and ``synchronize``.
    The *proof* way: ``forward``, ``gradients``, ``train``, which take dropout masks instead of drawing them. Both
    share the weights.
    """

    can_train = True             # False: of this precision there are output and timed steps only

    def load(self, batches):
        """Put a list of (x, y) on the device; later steps take them in turn. Not timed."""
        raise NotImplementedError

    def step(self):
        """Start one step on the next batch: forward, or forward, backward and update. May return early."""
        raise NotImplementedError

    def synchronize(self):
        """Return when all that was started has finished."""
        raise NotImplementedError

    def result(self):
        """Of the last step: the network's output (inference), or its loss as a float (training)."""
        raise NotImplementedError

    def forward(self, x):
        """The network's output for x in inference mode: no dropout, running statistics."""
        raise NotImplementedError

    def gradients(self, x, y, masks):
        """(loss, {key: gradient}) of a training-mode forward and backward pass; changes no weight and no statistic.

        ``masks`` maps each dropout layer to an array that its input is multiplied with.
        """
        raise NotImplementedError

    def train(self, x, y, masks):
        """One training step with given dropout masks; the loss before its update."""
        raise NotImplementedError

    def weights(self):
        """{key: array}: all parameters and running statistics as they are now."""
        raise NotImplementedError

    peak_memory_method = "device_allocator"      # "..._since_start" where it cannot forget

    def peak_memory_bytes(self):
        """Largest device memory the framework's allocator held, None where the device is the host."""
        return None

    def forget_peak_memory(self):
        """From now on only: what libraries tried out in the first steps, to find the fastest way, no step needs."""

    def overflow_steps(self):
        """Training steps so far whose update was left out since gradients overflowed; None: the loss is not scaled."""
        return None

    def device_timer(self):
        """An object with start(), stop() and elapsed_s() on the device's own clock; None where the host's serves.

        elapsed_s is called after synchronize and gives the time between the last start and stop.
        """
        return None

    def layer_times(self, steps):
        """Where the time of a step goes, by so many instrumented steps on the loaded batches; after warm-up.

        ``{"step_times_s": [...], "layers": [...]}``: seconds of each instrumented step, and the rows of their mean as
        bench.worker.tracing has them. Every layer of the graph for which a kernel ran is in a row, or among the
        members of one. Time that belongs to no row is left out. Beside them may stand ``"resolution_s"``, the shortest
        time that the clock can tell from none, and ``"problem"``, a sentence about what the trace lacks. The steps
        compute what ``step`` does, and ``result`` is that of the last one.

        Raises Unsupported where the framework cannot tell in this compile mode.
        """
        name = type(self).__module__.partition(".frameworks.")[2].split(".")[0]
        raise Unsupported("%s times no layers in this compile mode yet" % name)

    def replicas(self):
        """What ``weights`` returns, of each device that this process trains the network on; see strategies."""
        return [self.weights()]

    def communication(self, steps):
        """How long devices communicate, by so many instrumented steps that all ranks of a world take together.

        ``{"time_s", "exposed_s", "buckets", "reduced_bytes", "step_times_s"}``: seconds of a step in which gradients
        were on their way, waiting for slower ranks included; those of them after the backward pass had computed all; in
        how many parts gradients were summed, and their bytes together; seconds of each instrumented step.

        Raises Unsupported where that cannot be told.
        """
        raise Unsupported("nothing is communicated")
