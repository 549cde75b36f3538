"""What ONNX Runtime gives for an ONNX file: a second opinion on how the file was imported."""

import importlib.util
import os
import sys

import numpy as np

from ..onnx_import import running
from . import Failed
from ._common import arrays
from .probe import installed_versions


def run(job, directory, answers):
    """The compared output for the inputs of a file of samples, as answer.npz, and {"version": of ONNX Runtime}."""
    if importlib.util.find_spec("onnxruntime") is None:
        raise Failed("not_installed", "no package 'onnxruntime' in %s" % sys.executable)
    output = running.output(job["path"], job["original"], job["pins"], arrays(job["inputs"]))
    np.savez(os.path.join(directory, "answer.npz"), output=output)
    return {"version": installed_versions(["onnxruntime"])["onnxruntime"]}
