"""Loads an ONNX file that anybody may have written: of a limited size, with data from its own folder only."""

import os

from . import Refused

MOST_BYTES = 2 ** 31         # protobuf holds no more
MOST_DATA_BYTES = 2 ** 35    # of all files beside it
MOST_NODES = 200000


def load(path):
    """The ModelProto of a file, its functions inlined; raises Refused for what is none."""
    import onnx
    import onnx.inliner

    if os.path.getsize(path) > MOST_BYTES:
        raise Refused("the file has more than %d GiB" % (MOST_BYTES >> 30))
    try:
        model = onnx.load(path, load_external_data=False)
    except Exception as error:      # of protobuf, whose errors have no common class
        raise Refused("it is not an ONNX file (%s)" % first_line(error)) from error
    if not model.graph.node or not model.graph.output:
        raise Refused("it is not an ONNX file: it has no nodes, or no outputs")
    folder = os.path.dirname(os.path.abspath(path))
    total = 0
    for name in external_files(model):
        total += os.path.getsize(_beside(folder, name))
    if total > MOST_DATA_BYTES:
        raise Refused("the data beside it has more than %d GiB" % (MOST_DATA_BYTES >> 30))
    try:
        onnx.external_data_helper.load_external_data_for_model(model, folder)
        if model.functions:
            model = onnx.inliner.inline_local_functions(model)
    except Exception as error:
        raise Refused("its data cannot be read (%s)" % first_line(error)) from error
    count = sum(1 for _ in nodes(model.graph))
    if count > MOST_NODES:
        raise Refused("it has %d nodes; at most %d are read" % (count, MOST_NODES))
    return model


def first_line(error):
    lines = str(error).strip().splitlines()
    return "%s: %s" % (type(error).__name__, lines[0][:200] if lines else "no message")


def nodes(graph):
    """Every node of a graph and of the graphs inside of its nodes."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in ([attribute.g] if attribute.HasField("g") else []) + list(attribute.graphs):
                for each in nodes(inner):
                    yield each


def _tensors(graph):
    for each in graph.initializer:
        yield each
    for node in graph.node:
        for attribute in node.attribute:
            for tensor in ([attribute.t] if attribute.HasField("t") else []) + list(attribute.tensors):
                yield tensor
            for inner in ([attribute.g] if attribute.HasField("g") else []) + list(attribute.graphs):
                for each in _tensors(inner):
                    yield each


def external_files(model):
    """The names of the files with data, as the model has them, sorted."""
    import onnx

    names = set()
    for tensor in _tensors(model.graph):
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            places = [each.value for each in tensor.external_data if each.key == "location"]
            if len(places) != 1:
                raise Refused("tensor '%s' does not say which file holds its data" % tensor.name)
            names.add(places[0])
    return sorted(names)


def _beside(folder, name):
    """The path of a file of data; raises Refused unless it is a regular file inside of the folder."""
    path = os.path.join(folder, name)
    inside = os.path.realpath(path).startswith(os.path.realpath(folder) + os.sep)
    if os.path.isabs(name) or ".." in name.replace("\\", "/").split("/") or not inside:
        raise Refused("its data would be read from '%s', which is outside of its folder; put the data beside it" % name)
    if not os.path.isfile(path):
        raise Refused("its data should be in '%s' beside it, which is no file" % name)
    return path


def files_of(path):
    """The names of the files of data of a file, which is not read otherwise."""
    import onnx

    if os.path.getsize(path) > MOST_BYTES:
        raise Refused("the file has more than %d GiB" % (MOST_BYTES >> 30))
    try:
        model = onnx.load(path, load_external_data=False)
    except Exception as error:
        raise Refused("it is not an ONNX file (%s)" % first_line(error)) from error
    folder = os.path.dirname(os.path.abspath(path))
    names = external_files(model)
    for name in names:
        _beside(folder, name)
    return names
