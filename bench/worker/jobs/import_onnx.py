"""A network from an ONNX file."""

import importlib.util
import os
import sys

import numpy as np

from ..onnx_import import Refused
from . import Failed


def run(job, directory, answers):
    """{"graph": plain form, "notes": [...], "original": see import_outputs_onnx}, and the weights by key as answer.npz.

    With ``lists_files`` it is {"files": names of the files beside it that hold data} instead.
    """
    if importlib.util.find_spec("onnx") is None:
        raise Failed("not_installed", "no package 'onnx' in %s, which reads ONNX files; install onnx there" % (
            sys.executable))
    from ..onnx_import import loading, original

    name = os.path.basename(job["path"])
    try:
        if job.get("lists_files"):
            return {"files": loading.files_of(job["path"])}
        graph, weights, notes, told = original.told_of(job["path"], job["shapes"], job["pins"])
    except Refused as refused:
        raise Failed("unsupported", "'%s' cannot be imported: %s" % (name, " ".join(str(refused).split()))) from refused
    np.savez(os.path.join(directory, "answer.npz"), **weights)
    return {"graph": graph, "notes": notes, "original": told}
