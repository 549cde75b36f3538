"""What engines share that run the user's own ONNX file."""

import contextlib

from ..onnx_import import Refused
from . import Unsupported


@contextlib.contextmanager
def refusals():
    """A context in which what the file refuses is Unsupported."""
    try:
        yield
    except Refused as reason:
        raise Unsupported(str(reason)) from reason


def without_layers(graph):
    """The graph as an adapter checks it, whose operations do not matter where a file runs in its place."""
    return dict(graph, layers=[])


def facts(of_engine, told):
    """Those of an engine, with the file that ran."""
    return dict(of_engine, file="%s as it is written, hash %s" % (told["reference"], told["digest"]))
