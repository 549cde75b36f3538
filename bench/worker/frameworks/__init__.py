"""The adapters: one folder or file per framework, found by its name. They run in the measured process.

The worker package is run by the interpreter of a build, so adapters use only the standard library, NumPy and the
framework, and relative imports. This file has Python 3.6 syntax; an adapter may use what the oldest Python of its
framework has. Importing an adapter must not import the framework: the parent reads the constants below from it.

An adapter module has

``DISTRIBUTIONS``   names on the package index whose versions identify the build, the main one first
``IMPORTS``         the top-level package that must be importable, "torch"
``PRELOADS``        optional: further slow modules that every case imports, so that a fork server imports them too; None
                    if it must not even import the framework, since that starts threads, which a fork would lack
``NEEDS``           optional: further packages that it needs, each imported by the name that the package index has
``MODES``           optional: the modes that it has, if it runs networks and trains none
``COMPILE_MODES``   compile modes that it has, the framework's default first
``LAYOUTS``         memory layouts that it has, the framework's default first
``PRECISIONS``      precisions that it has on at least one device
``DEVICES``         kinds of device that it has, as bench.devices names them: "cpu", "cuda"
``BEST``            {"inference": (compile mode, layout), "training": ...}: its best documented setting on a CPU; in a
                    mode that it lacks, the one in which that is refused
``ACCUMULATES``     optional: True if it divides batches as ``accumulate`` says; else that is refused for it
``OBJECTIVES``      optional: True if its training steps take several objectives; else that is refused for it
``RECIPE``          optional: how 'rigmark builds create NAME' makes an environment where plain pip would not do:
                    {"packages": requirements that work together, "pythons": releases of Python, the best first}
``CARRIES``         optional: True if its steps carry state, see ``Prepared.state``; else that is refused for it
``LAYER_VARIABLES`` optional: {(device type, compile mode, mode): environment variables of layer trials only}; they
                    change the compiled program
``LOWERINGS``       {operation: function}; the conformance test compares it with bench.ir.ops.OPS
``prepare(graph, weights, settings, kind)``  -> Prepared; optional: ``kind``, a subclass to be used instead
``facts()``         facts that the running library states about itself, for the record: threads, capabilities

A framework that generates text token by token has a file ``decoding.py`` in its folder, with
``prepare(graph, parts, weights, settings)`` -> Decoder. ``graph`` is the model on all tokens at once, ``parts`` are
{"prefill", "step"} as bench.ir.decoding.Decoding.part gives them, for the prompt and for one token.

A framework that runs what a user wrote, beside what Rigmark makes of its graph, has a file ``original.py`` with

``RUNS``            what that is, as importers call it: "a PyTorch module"
``MODES``, ``PRECISIONS``  those in which it runs that
``prepare(original, graph, weights, settings)`` -> Prepared; ``original`` is what the importer told of it
``facts(original)`` as those of the adapter

``graph`` is Graph.plain(). ``weights`` maps "layer/parameter" to float32 arrays in canonical layout: convolution
OIHW, dense (out, in). ``settings`` is a dict:

``mode``          "inference", "training" or "decode"
``precision``     "fp32", ...
``compile_mode``  "eager", "compiled" or "xla"
``layout``        "nchw" or "channels_last"
``device``        "cpu" or "cuda:0"
``threads``       number of host threads
``seed``          of the framework's own dropout
``accumulate``    of training, if it is not 1: the number of equal parts, one after the other, into which a step divides
                  its batch; the mean of their gradients makes one update, the loss is the mean of theirs, and running
                  statistics move with each
"""

import contextlib
import os
import re

import numpy as np

from .. import devices, registry
from ..precisions import WITHOUT_TRAINING


class Unsupported(Exception):
    """The framework cannot do this; the message states why."""


NAMES = registry.names(__path__)
ORIGINAL = "original"        # the file of a framework that runs what users wrote


def load(name):
    """The adapter module of a framework; the framework itself is not imported yet."""
    in_folder = part(name, "adapter")
    return registry.load(__name__, name) if in_folder is None else in_folder


def part(name, file):
    """A module in the folder of a framework; None if there is no such file or framework."""
    return registry.load_if_there(__name__, name + "." + file) if name in NAMES else None


def original_refusal(name, original, mode, precision):
    """Why a framework does not run what a network was imported from, as a sentence; None if it runs that.

    ``original`` is what that is, "PyTorch module"; None: the network was not imported from another program.
    """
    own = part(name, ORIGINAL)
    if own is None:
        return "%s runs no network as its user wrote it, only what Rigmark makes of it" % name
    if original is None:
        return "there is no original of this network that %s could run: it is a graph of Rigmark's" % name
    if original != own.RUNS:
        return "%s runs %s as it is written, and this network is %s" % (name, own.RUNS, original)
    if mode not in own.MODES or precision not in own.PRECISIONS:
        return "%s as written runs in the modes %s and the precisions %s" % (
            name, ", ".join(own.MODES), ", ".join(own.PRECISIONS))
    return None


def modes(name):
    """The modes that a framework has: of "inference", "training" and, where it has a file for it, "decode"."""
    generates = part(name, "decoding") is not None
    return tuple(getattr(load(name), "MODES", ("inference", "training"))) + ("decode",) * generates


def packages(name):
    """The packages whose versions identify the build of a framework, the main one first."""
    adapter = load(name)
    return tuple(adapter.DISTRIBUTIONS) + tuple(getattr(adapter, "NEEDS", ()))


def refuse_unknown(name, graph, settings):
    """Raises Unsupported for a setting or an operation that is not in the constants of the adapter."""
    adapter = load(name)
    for key, known in (
        ("mode", modes(name)), ("precision", adapter.PRECISIONS), ("compile_mode", adapter.COMPILE_MODES),
        ("layout", adapter.LAYOUTS),
    ):
        if settings[key] not in known:
            raise Unsupported("the %s adapter has no %s '%s'; it has %s" % (
                name, key.replace("_", " "), settings[key], ", ".join(known)))
    precision = settings["precision"]
    if settings["mode"] == "training" and precision in WITHOUT_TRAINING:
        raise Unsupported("no training in %s: %s" % (precision, WITHOUT_TRAINING[precision]))
    if precision == "tf32" and devices.is_host(settings["device"]):
        raise Unsupported("tf32 is a mode of CUDA devices from compute capability 8.0 (Ampere); a CPU has no such unit")
    override = os.environ.get("NVIDIA_TF32_OVERRIDE")
    if not devices.is_host(settings["device"]) and override == ("0" if precision == "tf32" else "1"):
        raise Unsupported("NVIDIA_TF32_OVERRIDE=%s makes NVIDIA's libraries compute %s in another format; unset it" % (
            override, precision))
    if settings["mode"] == "training" and "objectives" in graph and not getattr(adapter, "OBJECTIVES", False):
        raise Unsupported("the %s adapter trains for one loss only, and %s has several objectives: %s" % (
            name, graph["name"], ", ".join(each["name"] for each in graph["objectives"])))
    if "carried" in graph and not getattr(adapter, "CARRIES", False):
        raise Unsupported("the %s adapter carries no state from step to step, which %s has" % (name, graph["name"]))
    for layer in graph["layers"]:
        if layer["op"] not in adapter.LOWERINGS:
            raise Unsupported("the %s adapter has no operation '%s'" % (name, layer["op"]))


@contextlib.contextmanager
def refusals(missing_kernel):
    """A context that turns an error about a missing kernel for a format into Unsupported, with the framework's message.

    ``missing_kernel`` is a regular expression for such messages.
    """
    try:
        yield
    except Exception as error:
        match = re.search(missing_kernel, str(error))
        if match is None:
            raise
        raise Unsupported("%s: %s" % (type(error).__name__, match.group(0))) from error


def widened(array):
    """The array, converted to float32 if its type is narrower, which may be a type that NumPy lacks."""
    return array.astype(np.float32) if array.dtype.itemsize < 4 else array


class Prepared(object):
    """A network lowered into one framework, on its device, ready to step. Adapters subclass it.

    Inputs are NumPy arrays: x is float32 (batch, *input shape) in NCHW order, int64 tokens or bool, or a tuple of such
    arrays for a network of several inputs; y is int64 classes or float32 targets. Results are NumPy arrays, float32 or
    wider, in canonical layout; several outputs are a tuple. See samples.

    The same lowering is used in two ways. *Timed*: ``load`` batches, then ``step`` and ``synchronize``. *Proof*:
    ``forward``, ``gradients`` and ``train``, which take dropout masks instead of drawing them. Both share the weights.
    """

    can_train = True             # False: this precision has only outputs and timed inference steps

    def load(self, batches):
        """Puts a list of (x, y) on the device; later steps use them in turn. Not timed."""
        raise NotImplementedError

    def step(self):
        """Starts one step on the next batch: forward, or forward, backward and update. May return before it ends."""
        raise NotImplementedError

    def synchronize(self):
        """Returns when everything that was started has finished."""
        raise NotImplementedError

    def result(self):
        """The result of the last step: the network's output (inference), or its loss as a float (training)."""
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

    def state(self):
        """{input: array} of what the next step takes in place of its batch's; empty if nothing is carried, or yet.

        ``step`` and ``train`` carry it, ``load`` forgets it; ``forward`` and ``gradients`` take what they are given.
        """
        return {}

    peak_memory_method = "device_allocator"      # "..._since_start" if the peak cannot be reset

    def peak_memory_bytes(self):
        """Largest device memory in bytes that the framework's allocator held; None if the device is the host."""
        return None

    def forget_peak_memory(self):
        """Resets the peak memory, since the autotuning in the first steps needs memory that later steps do not."""

    def overflow_steps(self):
        """Training steps so far whose update was skipped, as gradients overflowed; None if the loss is not scaled."""
        return None

    def device_timer(self):
        """An object with start(), stop() and elapsed_s() for the device's own clock; None if the host's clock is used.

        elapsed_s is called after synchronize, and returns the time between the last start and stop.
        """
        return None

    def layer_times(self, steps):
        """A per-layer profile from this many instrumented steps on the loaded batches, after warm-up.

        ``{"step_times_s": [...], "layers": [...]}``: seconds of each instrumented step, and the rows of their mean in
        the form of bench.worker.tracing. Every layer of the graph for which a kernel ran has a row, or is a member of
        one. Time that belongs to no row is left out. Optional: ``"resolution_s"``, the shortest time that the clock
        can measure, and ``"problem"``, a sentence about what the trace lacks. The steps compute the same as ``step``,
        and ``result`` is that of the last one.

        Raises Unsupported if the framework cannot time layers in this compile mode.
        """
        name = type(self).__module__.partition(".frameworks.")[2].split(".")[0]
        raise Unsupported("%s times no layers in this compile mode yet" % name)

    def replicas(self):
        """A list of what ``weights`` returns, for each device on which this process trains; see strategies."""
        return [self.weights()]

    def communication(self, steps):
        """How long devices communicate, from this many instrumented steps that all ranks run together.

        ``{"time_s", "exposed_s", "buckets", "reduced_bytes", "step_times_s"}``: seconds per step in which gradients
        were communicated, including waiting for slower ranks; those of them after the end of the backward pass; the
        number of parts in which gradients were summed, and their bytes together; seconds of each instrumented step.

        Raises Unsupported if that is not known.
        """
        raise Unsupported("nothing is communicated")


class Decoder(Prepared):
    """A causal language model that generates text, greedily and token by token, with a cache of keys and values.

    ``load`` takes (prompt, anything) instead of (x, y), prompts of one shape. Weights, memory and ``synchronize`` are
    those of Prepared; the other methods of that class have no meaning here.
    """

    def prefill(self):
        """Starts the pass over the next prompt with an empty cache, which gives the first token."""
        raise NotImplementedError

    def advance(self):
        """Starts the step that gives the next token; the one before it is not fetched from the device."""
        raise NotImplementedError

    def tokens(self):
        """The tokens since the prompt as int64 (batch, number)."""
        raise NotImplementedError

    def choose(self, tokens):
        """Replaces the last token of each sequence by these, int64 (batch,): what the next step is given."""
        raise NotImplementedError

    def result(self):
        """The scores by which the last token was chosen, (batch, vocabulary)."""
        raise NotImplementedError
