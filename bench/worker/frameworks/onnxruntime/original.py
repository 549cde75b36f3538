"""The user's own ONNX file in ONNX Runtime, with the settings of the case."""

import itertools

from ...onnx_import import original
from ...samples import count
from .. import Unsupported, _written_files
from .._engine import Engine
from . import adapter

RUNS = original.KIND
MODES = adapter.MODES
PRECISIONS = adapter.PRECISIONS


def prepare(told, graph, weights, settings):
    """The file in a session with these weights; raises Unsupported where it is not the one that was imported."""
    adapter.refuse(_written_files.without_layers(graph), settings)
    with _written_files.refusals():
        file = original.File(told, graph)
        with file.with_weights(weights) as path:
            session = adapter.session(path, settings["threads"], settings["compile_mode"] == "compiled")
        return AsWritten(file, weights, session)


def facts(told):
    return _written_files.facts(adapter.facts(), told)


class AsWritten(Engine):
    """Its batches and answers lie in memory that is bound before the clock starts."""

    def __init__(self, file, weights, session):
        super().__init__(weights)
        self._file, self._session, self._bound, self._last = file, session, None, None

    def load(self, batches):
        with _written_files.refusals():
            for x, _ in batches:
                self._file.refuse_batch(count(x))
        self._bound = itertools.cycle([self._bind(x) for x, _ in batches])

    def step(self):
        binding, *self._last = next(self._bound)
        self._session.run_with_iobinding(binding)

    def result(self):
        samples, answers = self._last
        return self._file.answer([each.numpy() for each in answers], samples)

    def forward(self, x):
        return self._file.answers(lambda feeds, samples: self._session.run(None, dict(feeds)), x)

    def layer_times(self, steps):
        raise Unsupported("the nodes of a file as written are not the layers of its graph, so that their times would "
                          "not be comparable; --implementation lowered has layer times")

    def _bind(self, x):
        """(the binding of a batch, its number of samples, its answers as OrtValues)."""
        import onnxruntime

        memory, binding, feeds = onnxruntime.OrtValue, self._session.io_binding(), self._file.feeds(x)
        for name, array in feeds:
            binding.bind_ortvalue_input(name, memory.ortvalue_from_numpy(array))
        answers = [memory.ortvalue_from_numpy(each) for each in self._session.run(None, dict(feeds))]
        for told, answer in zip(self._session.get_outputs(), answers):
            binding.bind_ortvalue_output(told.name, answer)
        return binding, count(x), answers
