"""OpenVINO, as its documentation writes it: a model of a file, compiled for the size of the batch, and one request.

The file is the one that Rigmark writes, so that only the way of running it is compared.
"""

import os
from collections.abc import Callable

import openvino

from rigmark.bench import models
from rigmark.bench.ir.weights import initial_weights
from rigmark.bench.worker.onnx import writing


def programs(model: str, mode: str, x, y) -> dict[str, Callable[[], object]]:
    graph, core = models.build(model), openvino.Core()
    with writing.as_file(graph.plain(), initial_weights(graph, seed=1)) as file:
        network = core.read_model(file)
    network.reshape(list(x.shape))
    compiled = core.compile_model(network, "CPU", {
        "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": int(os.environ["OMP_NUM_THREADS"]), "NUM_STREAMS": 1,
    })
    request = compiled.create_infer_request()
    request.set_input_tensor(openvino.Tensor(x, shared_memory=True))

    def wait() -> None:
        request.start_async()
        request.wait()

    return {
        "compiled(x)": lambda: compiled(x), "request.infer": lambda: request.infer(share_outputs=True),
        "start_async, wait": wait,
    }
