"""What ONNX Runtime gives for an ONNX file: a second opinion on how the file was imported."""

import importlib.util
import os
import sys

import numpy as np

from . import Failed
from ._common import arrays


def run(job, directory, answers):
    """The first output of floats for the inputs of a file of samples, as answer.npz; {"version": of ONNX Runtime}."""
    if importlib.util.find_spec("onnxruntime") is None:
        raise Failed("not_installed", "no package 'onnxruntime' in %s" % sys.executable)
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(job["path"], options, providers=["CPUExecutionProvider"])
    given = arrays(job["inputs"])
    count = len(given["y"])
    fixed = all(each.shape[:1] == [1] for each in session.get_inputs() if each.name not in job["pins"])
    runs = [slice(at, at + 1) for at in range(count)] if fixed else [slice(0, count)]
    outputs = [_run(session, job, given, each) for each in runs]
    np.savez(os.path.join(directory, "answer.npz"), output=np.concatenate(outputs, job["axis"]))
    return {"version": onnxruntime.__version__}


def _run(session, job, given, samples):
    feed = {}
    for each in session.get_inputs():
        dtype = DTYPES[each.type]
        if each.name in job["pins"]:
            sizes = [size if isinstance(size, int) and size > 0 else 1 for size in each.shape]
            feed[each.name] = np.full(sizes, job["pins"][each.name], dtype)
            continue
        place = job["places"][each.name]
        if place["key"] is None:     # nothing that is compared depends on it
            shape = list(place["shape"])
            shape[place["batch"]] = samples.stop - samples.start
            feed[each.name] = np.zeros(shape, dtype)
        else:
            feed[each.name] = np.moveaxis(given[place["key"]][samples], 0, place["batch"]).astype(dtype)
    name = session.get_outputs()[job["output"]].name
    return session.run([name], feed)[0]


DTYPES = {
    "tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(float16)": np.float16,
    "tensor(int64)": np.int64, "tensor(int32)": np.int32, "tensor(bool)": np.bool_, "tensor(uint8)": np.uint8,
    "tensor(int8)": np.int8, "tensor(int16)": np.int16,
}
