"""Writes a network as an ONNX file."""

import os

from ..onnx import writing
from ._common import arrays, refuse_lacking


def run(job, directory, answers):
    """Writes ``job["graph"]`` with its weights into the job's directory, under the name ``job["file"]``.

    {"files": their names, "file": which file it is, in words}. Large networks have a second file, "NAME.data".
    """
    refuse_lacking("onnx", "onnx")
    before = set(os.listdir(directory))
    writing.save(writing.model(job["graph"], arrays(job["weights"])), os.path.join(directory, job["file"]))
    files = sorted(name for name in set(os.listdir(directory)) - before if name.startswith(job["file"]))
    return {"files": files, "file": writing.description()}
