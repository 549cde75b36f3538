"""A torch module of the user's own as a graph with its weights; it runs the user's code."""

import contextlib
import importlib
import os
import sys

import numpy as np

from . import Failed


def run(job, directory, answers):
    """{"graph": plain form without shapes, "original": what runs of the module itself must know, "notes": sentences}.

    The weights by key are answer.npz in the job's directory. ``job`` has "source" (a module's name or a file),
    "factory", "folder" (where the user stands), "name" and perhaps "inputs" ([{"name", "shape", "dtype"}]), "loss" and
    "optimizer". Raises Failed with "unsupported" for a module that cannot become a graph.
    """
    try:
        importlib.import_module("torch")
    except Exception as error:
        raise Failed("not_installed", "no usable package 'torch' in %s (%s); install torch there" % (
            sys.executable, str(error).strip()[:200])) from error
    from .. import torch_import

    with standing_in(job["folder"]):
        try:
            graph, weights, original, notes = torch_import.imported(job)
        except torch_import.Refused as reason:
            raise Failed("unsupported", str(reason)) from reason
    np.savez(os.path.join(directory, "answer.npz"), **weights)
    return {"graph": graph, "original": original, "notes": notes}


@contextlib.contextmanager
def standing_in(folder):
    """The user's code opens files as it does when the user starts it."""
    before = os.getcwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
