"""The user's own ONNX file in OpenVINO, with the settings of the case."""

from ...onnx_import import original
from ...samples import count
from .. import _written_files
from . import adapter

RUNS = original.KIND
MODES = adapter.MODES
PRECISIONS = adapter.PRECISIONS


def prepare(told, graph, weights, settings):
    """The file with these weights, compiled in its first step; raises Unsupported where it is another than imported."""
    core = adapter.core_for(_written_files.without_layers(graph), settings)
    with _written_files.refusals():
        file = original.File(told, graph)
        with file.with_weights(weights) as path:
            return AsWritten(file, graph, weights, core, core.read_model(path), adapter.configuration(settings))


def facts(told):
    return _written_files.facts(adapter.facts(), told)


class AsWritten(adapter.OpenVinoPrepared):
    """Compiled for the size of each batch, as what Rigmark writes is."""

    def __init__(self, file, *more):
        super().__init__(*more)
        self._file, self._samples = file, None

    def load(self, batches):
        with _written_files.refusals():
            for x, _ in batches:
                self._file.refuse_batch(count(x))
        self._samples = count(batches[0][0])
        super().load(batches)

    def result(self):
        return self._file.answer(self._outputs(self._last), self._samples)

    def forward(self, x):
        return self._file.answers(self._run, x)

    def _run(self, feeds, samples):
        import openvino

        arrays = dict(feeds)
        request = self._requests.get(samples) or self._compiled(samples)
        for index, taken in enumerate(self._model.inputs):
            request.set_input_tensor(index, openvino.Tensor(arrays[taken.any_name]))
        request.infer()
        return self._outputs(request)

    def _outputs(self, request):
        return [request.get_output_tensor(index).data for index in range(len(self._model.outputs))]

    def _arrays(self, x):
        arrays = dict(self._file.feeds(x))
        return [arrays[taken.any_name] for taken in self._model.inputs]

    def _sizes(self, model, samples):
        shapes = self._file.shapes(samples)
        return {taken: shapes[taken.any_name] for taken in model.inputs}
