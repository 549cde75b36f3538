"""ONNX Runtime: runs the network as an ONNX file that Rigmark writes; inference only.

Needs ONNX Runtime 1.18 or newer, and the package onnx, which writes the file.
"""

import itertools
import json
import os
import tempfile
import time

import numpy as np

from ...carried import State
from ...devices import is_host
from ...graphs import inputs_of, output_values
from ...onnx import nodes, writing
from ...samples import count, mapped, packed, unpacked
from .. import Unsupported, refuse_unknown
from .._engine import Engine
from . import kernels

DISTRIBUTIONS = ("onnxruntime",)
IMPORTS = "onnxruntime"
PRELOADS = None
NEEDS = ("onnx",)
MODES = ("inference",)
COMPILE_MODES = ("compiled", "eager")        # with all optimisations of the graph, as by default, and with none
LAYOUTS = ("nchw",)                          # of the file; kernels of convolutions choose their own
PRECISIONS = ("fp32",)
DEVICES = ("cpu",)
CARRIES = True
BEST = {"inference": ("compiled", "nchw"), "training": ("compiled", "nchw")}
LOWERINGS = nodes.NODES

TYPES = {"float": np.float32, "int64": np.int64, "bool": np.bool_}
PROVIDER = "CPUExecutionProvider"
WARM_RUNS = 3            # of a session that is profiled
FEWEST_MESSAGES = 3      # errors, but no warnings


def prepare(graph, weights, settings):
    """The network in a session with these weights; raises Unsupported where ONNX Runtime cannot do what is asked."""
    refuse(graph, settings)

    def start(profile=None):
        with writing.as_file(graph, weights) as path:
            return session(path, settings["threads"], settings["compile_mode"] == "compiled", profile)

    return OrtPrepared(graph, weights, start)


def refuse(graph, settings):
    """Raises Unsupported for settings, or an operation of the graph, that the adapter lacks."""
    refuse_unknown("onnxruntime", graph, settings)
    if not is_host(settings["device"]):
        raise Unsupported("the onnxruntime adapter has no device '%s'; it has %s" % (
            settings["device"], ", ".join(DEVICES)))


def session(path, threads, is_optimised, profile=None):
    """An InferenceSession of a file with so many threads, which run one node after the other.

    Files of its own profile begin with ``profile``, if it is not None.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    levels = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = levels.ORT_ENABLE_ALL if is_optimised else levels.ORT_DISABLE_ALL
    options.log_severity_level = FEWEST_MESSAGES
    if profile is not None:
        options.enable_profiling, options.profile_file_prefix = True, profile
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

    def __init__(self, graph, weights, start):
        """``start(profile)`` gives a session of the network, with a profile if that is not None."""
        super().__init__(weights)
        self._graph, self._start, self._session = graph, start, start()
        self._inputs, self._outputs = [each["name"] for each in inputs_of(graph)], output_values(graph)
        self._batches = self._bound = self._last = None
        self._state = State(graph)

    def load(self, batches):
        self._batches = [x for x, _ in batches]
        if self._state.inputs and len(self._batches) == 1:
            self._batches *= 2               # a step must not write its state where it reads that of the last one
        self._state.forget()
        self._bound = itertools.cycle(self._bind_all(self._session))

    def step(self):
        _, binding, answers = next(self._bound)
        self._run(self._session, binding, answers)

    def _run(self, session, binding, answers):
        for name, kept in zip(self._state.inputs, self._state.arrays):
            binding.bind_ortvalue_input(name, kept)
        session.run_with_iobinding(binding)
        self._last = answers
        self._state.keep(self._state.of_outputs(answers))

    def layer_times(self, steps):
        """As the contract says, from a session with ONNX Runtime's own profile: another one each time, since a profile
        is read when it has ended. Its first runs are left out.
        """
        with tempfile.TemporaryDirectory() as folder:
            profiled = self._start(os.path.join(folder, "profile"))
            bound = self._bind_all(profiled)
            for _ in range(WARM_RUNS):
                profiled.run_with_iobinding(bound[0][1])
            times_s = []
            for _ in range(steps):
                place, _, _ = next(self._bound)      # plain steps and these take the batches in turn
                _, binding, answers = bound[place]
                begin = time.perf_counter()
                self._run(profiled, binding, answers)
                times_s.append(time.perf_counter() - begin)
            with open(profiled.end_profiling(), encoding="utf-8") as file:
                ran = kernels.of_profile(json.load(file), steps)
        return {"step_times_s": times_s, "layers": kernels.rows(self._graph, ran), "resolution_s": 1e-6}

    def result(self):
        return mapped(lambda each: np.array(each.numpy()), self._last)

    def state(self):
        return {name: np.array(each.numpy()) for name, each in zip(self._state.inputs, self._state.arrays)}

    def forward(self, x):
        return packed(self._session.run(None, dict(zip(self._inputs, map(np.ascontiguousarray, unpacked(x))))))

    def _bind_all(self, session):
        """[(place of a batch, its binding, its answers as OrtValues)]."""
        return [(place, *self._bind(session, x)) for place, x in enumerate(self._batches)]

    def _bind(self, session, x):
        import onnxruntime

        memory = onnxruntime.OrtValue
        binding = session.io_binding()
        for name, array in zip(self._inputs, unpacked(x)):
            binding.bind_ortvalue_input(name, memory.ortvalue_from_numpy(np.ascontiguousarray(array)))
        answers = [
            memory.ortvalue_from_shape_and_type(writing.sizes(value, count(x)), TYPES[value["dtype"]], "cpu", 0)
            for value in self._outputs
        ]
        for told, answer in zip(session.get_outputs(), answers):
            binding.bind_ortvalue_output(told.name, answer)
        return binding, packed(answers)
