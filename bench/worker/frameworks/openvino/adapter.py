"""OpenVINO: runs the network as an ONNX file that Rigmark writes; inference only.

Needs OpenVINO 2024.4 or newer, and the package onnx, which writes the file.
"""

import functools
import itertools

import numpy as np

from ...carried import State
from ...devices import is_host
from ...onnx import nodes, writing
from ...samples import count, packed, unpacked
from .. import Unsupported, refuse_unknown
from .._engine import Engine

DISTRIBUTIONS = ("openvino",)
IMPORTS = "openvino"
PRELOADS = None
NEEDS = ("onnx",)
MODES = ("inference",)
COMPILE_MODES = ("compiled",)
LAYOUTS = ("nchw",)                          # of the file; kernels choose their own
PRECISIONS = ("fp32", "bf16_pure")
DEVICES = ("cpu",)
CARRIES = True
BEST = {"inference": ("compiled", "nchw"), "training": ("compiled", "nchw")}
LOWERINGS = nodes.NODES

DEVICE = "CPU"
FORMATS = {"fp32": "f32", "bf16_pure": "bf16"}


def prepare(graph, weights, settings):
    """The network with these weights, compiled in its first step; raises Unsupported where OpenVINO cannot do it."""
    core = core_for(graph, settings)
    with writing.as_file(graph, weights) as path:
        return OpenVinoPrepared(graph, weights, core, core.read_model(path), configuration(settings))


def core_for(graph, settings):
    """The library; raises Unsupported for settings, or an operation of the graph, that it lacks."""
    refuse_unknown("openvino", graph, settings)
    if not is_host(settings["device"]):
        raise Unsupported("the openvino adapter has no device '%s'; it has %s" % (
            settings["device"], ", ".join(DEVICES)))
    core = _core()
    if settings["precision"] == "bf16_pure" and "BF16" not in core.get_property(DEVICE, "OPTIMIZATION_CAPABILITIES"):
        raise Unsupported("OpenVINO computes in bf16 on processors with AVX-512 BF16 or AMX; this one has neither")
    _refuse_what_comes_out_wrong(graph)
    return core


def _refuse_what_comes_out_wrong(graph):
    """Raises Unsupported for what OpenVINO 2026.4 computes otherwise than its file says."""
    for layer in graph["layers"]:
        a = layer["attributes"]
        if layer["op"] == "local_response_norm" and a["k"] != int(a["k"]):
            raise Unsupported("layer '%s': OpenVINO takes a k of %g in local_response_norm as %d" % (
                layer["name"], a["k"], a["k"]))
        is_pointwise = layer["op"] == "conv2d" and max(a["kernel"]) == 1
        if is_pointwise and max(a["stride"]) > 1 and max(a["padding"]) > 0:
            raise Unsupported("layer '%s': OpenVINO gives a 1 x 1 convolution with both stride and padding a wrong size"
                              % layer["name"])


@functools.lru_cache(maxsize=1)
def _core():
    """One for the process, since each one loads the library's plugins."""
    import openvino

    return openvino.Core()


def configuration(settings):
    """The properties of compilation; without the format, a processor with AMX would compute fp32 networks in bf16."""
    return {
        "INFERENCE_PRECISION_HINT": FORMATS[settings["precision"]], "INFERENCE_NUM_THREADS": settings["threads"],
        "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY",
    }


def facts():
    """Version, what the processor offers to the library, and which file it ran."""
    import openvino

    core = _core()
    return {
        "version": openvino.get_version(),
        "device": core.get_property(DEVICE, "FULL_DEVICE_NAME"),
        "capabilities": list(core.get_property(DEVICE, "OPTIMIZATION_CAPABILITIES")),
        "file": writing.description(),
        "batch_norm": "folded into convolutions before it",
    }


class OpenVinoPrepared(Engine):
    """A model that is compiled for the size of each batch, as its documentation advises, when that comes first."""

    def __init__(self, graph, weights, core, model, properties):
        super().__init__(weights)
        self._state = State(graph)
        self._core, self._model, self._properties = core, model, properties
        self._requests = {}
        self._batches = self._last = self._tensor = None

    def load(self, batches):
        import openvino

        self._tensor = openvino.Tensor
        # Read in place, as its own copies are not needed.
        self._batches = itertools.cycle([
            (count(x), [openvino.Tensor(each, shared_memory=True) for each in self._arrays(x)])
            for x, _ in batches
        ])
        self._state.forget()

    def step(self):
        samples, tensors = next(self._batches)
        request = self._requests.get(samples) or self._compiled(samples)
        for index, tensor in enumerate(tensors):
            request.set_input_tensor(index, tensor)
        for place, kept in zip(self._state.places, self._state.arrays):
            request.set_input_tensor(place, kept)
        # In this thread: start_async hands over to another one, and took twice as long where cores were busy.
        request.infer(share_outputs=True)
        self._last = request
        if self._state.inputs:               # copies, since the request writes its answers where it wrote the last ones
            self._state.keep([
                self._tensor(np.array(request.get_output_tensor(index).data)) for index in self._state.values
            ])

    def result(self):
        return self._answer(self._last)

    def layer_times(self, steps):
        raise Unsupported("OpenVINO's counters name what it made of the layers, and not the layers: a convolution with "
                          "its normalisation is 'Multiply_5133'")

    def state(self):
        return {name: np.array(each.data) for name, each in zip(self._state.inputs, self._state.arrays)}

    def forward(self, x):
        import openvino

        request = self._requests.get(count(x)) or self._compiled(count(x))
        for index, each in enumerate(self._arrays(x)):
            request.set_input_tensor(index, openvino.Tensor(each))
        request.infer()
        return self._answer(request)

    def _arrays(self, x):
        """The arrays of a batch in the order of the model's inputs."""
        return [np.ascontiguousarray(each) for each in unpacked(x)]

    def _sizes(self, model, samples):
        """{input of the model: its shape for so many samples}."""
        return {
            taken: [samples] + [size.get_length() for size in list(taken.partial_shape)[1:]] for taken in model.inputs
        }

    def _answer(self, request):
        return packed([np.array(request.get_output_tensor(index).data) for index in range(len(self._model.outputs))])

    def _compiled(self, samples):
        """A request for batches of so many samples."""
        model = self._model.clone()
        model.reshape(self._sizes(model, samples))
        try:
            compiled = self._core.compile_model(model, DEVICE, self._properties)
        except RuntimeError as error:
            words = [line for line in str(error).splitlines() if line and not line.startswith("Exception from")]
            raise Unsupported("OpenVINO cannot compile this: %s" % "; ".join(words)[:200]) from error
        self._refuse_others(compiled)
        self._requests[samples] = compiled.create_infer_request()
        return self._requests[samples]

    def _refuse_others(self, compiled):
        """Raises Unsupported where the library goes on with another format or number of threads than was asked."""
        import openvino

        told = compiled.get_property("INFERENCE_PRECISION_HINT")
        formats = {openvino.Type.f32: "f32", openvino.Type.bf16: "bf16"}
        if formats.get(told) != self._properties["INFERENCE_PRECISION_HINT"]:
            raise Unsupported("OpenVINO was asked to compute in %s, and computes in %s" % (
                self._properties["INFERENCE_PRECISION_HINT"], told.get_type_name()))
        threads = compiled.get_property("INFERENCE_NUM_THREADS")
        if threads != self._properties["INFERENCE_NUM_THREADS"]:
            raise Unsupported("OpenVINO was asked for %d threads, and uses %d" % (
                self._properties["INFERENCE_NUM_THREADS"], threads))
