"""A torch module or Keras model of the user's own as a graph with its weights; it runs the user's code."""

import importlib.util
import os
import sys

import numpy as np

from ..user_code import Lacking, Refused, digest, library_of, made, standing_in
from . import Failed

KINDS = {"torch": "a PyTorch module", "keras": "a Keras model"}


def run(job, directory, answers):
    """{"graph": plain form without shapes, "original": what runs of the model itself must know, "notes": sentences}.

    The weights by key are answer.npz in the job's directory. ``job`` has "source" (a module's name or a file),
    "factory" (None: the source is a file that Keras saved), "folder" (where the user stands), "name" and perhaps
    "inputs" ([{"name", "shape", "dtype"}]), "loss" and "optimizer". Which library it is, what the factory returns
    decides. Raises Failed with "unsupported" for a model that cannot become a graph, and with "not_installed" where the
    user's code imports a package that is not there.
    """
    before = set(sys.modules)
    with standing_in(job["folder"]):
        try:
            network, example = _found(job)
            library = library_of(network)
            if library == "torch":
                from .. import torch_import as importer
            elif library == "keras":
                from .. import keras_import as importer
            else:
                raise Refused("%s:%s gives a %s; let it return a torch.nn.Module or a keras.Model, alone or with its "
                              "example inputs" % (job["source"], job["factory"], type(network).__name__))
            graph, weights, original, notes = importer.imported(job, network, example)
        except Lacking as reason:
            raise Failed("not_installed", str(reason)) from reason
        except Refused as reason:
            raise Failed("unsupported", str(reason)) from reason
    np.savez(os.path.join(directory, "answer.npz"), **weights)
    own = None if job["factory"] is None else digest(job["source"], job["folder"], before)
    return {
        "graph": graph, "original": {**original, "library": library, "kind": KINDS[library], "digest": own},
        "notes": notes,
    }


def _found(job):
    if job["factory"] is not None:
        return made(job["source"], job["factory"], job["folder"])
    if importlib.util.find_spec("keras") is None:
        raise Lacking("no package 'keras' in %s, which reads .keras files; install keras and a framework for it there"
                      % sys.executable)
    from ..keras_import import original

    return original.opened(job["source"], None, job["folder"])
