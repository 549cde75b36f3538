"""ONNX Runtime, as its documentation writes it: a session of a file, asked by name or with bound memory.

The file is the one that Rigmark writes, so that only the way of running it is compared.
"""

import os
from collections.abc import Callable

import numpy as np
import onnxruntime

from rigmark.bench import models
from rigmark.bench.ir.weights import initial_weights
from rigmark.bench.worker.onnx import writing


def programs(model: str, mode: str, x, y) -> dict[str, Callable[[], object]]:
    graph = models.build(model)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(os.environ["OMP_NUM_THREADS"])
    options.inter_op_num_threads = 1
    with writing.as_file(graph.plain(), initial_weights(graph, seed=1)) as file:
        session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    inputs, output = {session.get_inputs()[0].name: x}, session.get_outputs()[0].name

    def run() -> object:
        return session.run([output], inputs)

    binding = session.io_binding()
    binding.bind_cpu_input(session.get_inputs()[0].name, x)
    binding.bind_ortvalue_output(output, onnxruntime.OrtValue.ortvalue_from_numpy(np.empty_like(run()[0])))
    return {"session.run": run, "run_with_iobinding": lambda: session.run_with_iobinding(binding)}
