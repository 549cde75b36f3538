"""ONNX Runtime: runs the network as an ONNX file that Rigmark writes; inference only.

Needs ONNX Runtime 1.18 or newer, and the package onnx, which writes the file.
"""

import itertools

import numpy as np

from ...devices import is_host
from ...graphs import inputs_of, output_values
from ...onnx import nodes, writing
from ...samples import count, mapped, packed, unpacked
from .. import Unsupported, refuse_unknown
from .._engine import Engine

DISTRIBUTIONS = ("onnxruntime",)
IMPORTS = "onnxruntime"
PRELOADS = None
NEEDS = ("onnx",)
MODES = ("inference",)
COMPILE_MODES = ("compiled", "eager")        # with all optimisations of the graph, as by default, and with none
LAYOUTS = ("nchw",)                          # of the file; kernels of convolutions choose their own
PRECISIONS = ("fp32",)
DEVICES = ("cpu",)
BEST = {"inference": ("compiled", "nchw"), "training": ("compiled", "nchw")}
LOWERINGS = nodes.NODES

TYPES = {"float": np.float32, "int64": np.int64, "bool": np.bool_}
PROVIDER = "CPUExecutionProvider"
FEWEST_MESSAGES = 3      # errors, but no warnings


def prepare(graph, weights, settings):
    """The network in a session with these weights; raises Unsupported where ONNX Runtime cannot do what is asked."""
    refuse_unknown("onnxruntime", graph, settings)
    if not is_host(settings["device"]):
        raise Unsupported("the onnxruntime adapter has no device '%s'; it has %s" % (
            settings["device"], ", ".join(DEVICES)))
    with writing.as_file(graph, weights) as path:
        return OrtPrepared(graph, session(path, settings["threads"], settings["compile_mode"] == "compiled"))


def session(path, threads, is_optimised):
    """An InferenceSession of a file with so many threads, which run one node after the other."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    levels = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = levels.ORT_ENABLE_ALL if is_optimised else levels.ORT_DISABLE_ALL
    options.log_severity_level = FEWEST_MESSAGES
    return onnxruntime.InferenceSession(path, options, providers=[PROVIDER])


def facts():
    """Version, how the library was built, the providers that it has, and which file it ran."""
    import onnxruntime

    return {
        "version": onnxruntime.__version__,
        "build": onnxruntime.get_build_info(),
        "provider": PROVIDER,
        "providers": onnxruntime.get_available_providers(),
        "file": writing.description(),
        "batch_norm": "folded into convolutions before it, in compile mode 'compiled'",
    }


class OrtPrepared(Engine):
    """A session; batches and answers lie in memory that is bound before the clock starts."""

    def __init__(self, graph, session):
        self._session, self._outputs = session, output_values(graph)
        self._inputs = [each["name"] for each in inputs_of(graph)]
        self._bound = self._last = None

    def load(self, batches):
        self._bound = itertools.cycle([self._bind(x) for x, _ in batches])

    def step(self):
        binding, self._last = next(self._bound)
        self._session.run_with_iobinding(binding)

    def result(self):
        return mapped(lambda each: np.array(each.numpy()), self._last)

    def forward(self, x):
        return packed(self._session.run(None, dict(zip(self._inputs, map(np.ascontiguousarray, unpacked(x))))))

    def _bind(self, x):
        """(binding of a batch, its answers as OrtValues)."""
        import onnxruntime

        memory = onnxruntime.OrtValue
        binding = self._session.io_binding()
        for name, array in zip(self._inputs, unpacked(x)):
            binding.bind_ortvalue_input(name, memory.ortvalue_from_numpy(np.ascontiguousarray(array)))
        answers = [
            memory.ortvalue_from_shape_and_type(writing.sizes(value, count(x)), TYPES[value["dtype"]], "cpu", 0)
            for value in self._outputs
        ]
        for told, answer in zip(self._session.get_outputs(), answers):
            binding.bind_ortvalue_output(told.name, answer)
        return binding, packed(answers)
