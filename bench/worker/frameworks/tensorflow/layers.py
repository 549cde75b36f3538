"""TensorFlow: the layers of a graph as functions of tensors, in the formats and memory layout that a trial asks for."""

import collections

from ...graphs import canonical_keys, last_readers, output_names, outputs_of
from ...tracing import xplane
from . import lowerings

STORED = {"fp64": "float64", "bf16_pure": "bfloat16", "fp16_pure": "float16"}        # others: float32
COMPUTED = {"bf16": "bfloat16", "fp16": "float16"}                                   # others: as stored
# In mixed precision; batch normalisation and attention cast by themselves.
IN_FP32 = ("local_response_norm", "softmax", "log_softmax")
ALWAYS_IN_FP32 = ("group_norm", "layer_norm", "rms_norm")


def _cast(tf, values, dtype):
    return [tf.cast(value, dtype) if value.dtype.is_floating else value for value in values]


def _in_format(tf, op, function, stored, computed):
    """The function with its floating-point operands in the format that a precision computes in."""
    is_wide = op in ALWAYS_IN_FP32 or (op in IN_FP32 and stored == tf.float32)
    inner = tf.float32 if is_wide else computed
    of_parameters = tf.float32 if op == "batch_norm" else inner

    def forward(run, *inputs, **parameters):
        parameters = dict(zip(parameters, _cast(tf, parameters.values(), of_parameters)))
        result = function(run, *_cast(tf, inputs, inner), **parameters)
        return tuple(_cast(tf, result, computed)) if isinstance(result, tuple) else _cast(tf, [result], computed)[0]

    def look_up(run, tokens, weight):
        return tf.cast(function(run, tokens, weight), computed)      # and not all rows

    return look_up if op == "embedding" else forward


Layer = collections.namedtuple("Layer", "name scope inputs finished function parameters outputs")
"""``scope`` of names; ``finished`` are the inputs that no later layer reads; ``parameters`` are variables by name."""


def named(outputs, result):
    """The values of a layer by their names, from the result of its function."""
    return zip(outputs, result if isinstance(result, tuple) else (result,))


def formats(tf, precision):
    """(of stored weights, of activations)"""
    stored = STORED.get(precision, "float32")
    return tf.as_dtype(stored), tf.as_dtype(COMPUTED.get(precision, stored))


def lowered(tf, graph, plan, variables, settings, device, more=None):
    """The Layers in order; ``more`` are lowerings of operations that only this graph has."""
    table = dict(lowerings.LOWERINGS, **(more or {}))
    ways = {
        "is_xla": settings["compile_mode"] == "xla", "is_eager": settings["compile_mode"] == "eager",
        "is_cuda": device.startswith("GPU"), "is_fp64": settings["precision"] == "fp64",
    }
    stored, computed = formats(tf, settings["precision"])
    last_reader = last_readers(graph["layers"], output_names(graph))
    shared = canonical_keys(graph)
    layers = []
    for layer in graph["layers"]:
        name = layer["name"]
        is_shared = any(p["key"] in shared for p in layer["parameters"])
        facts = dict(layer, is_image=name in plan.images, is_shared=is_shared, **ways)
        function = _turning(tf, plan.turns(layer), table[layer["op"]](tf, facts))
        if computed.size < 4:
            function = _in_format(tf, layer["op"], function, stored, computed)
        parameters = {p["name"]: variables[p["key"]] for p in layer["parameters"]}
        finished = [i for i in set(layer["inputs"]) if last_reader.get(i) == name]
        layers.append(Layer(
            name, xplane.LAYER_SCOPE % name, layer["inputs"], finished, function, parameters, outputs_of(layer)
        ))
    return layers


TURNS = {"kept": lowerings.TO_NHWC, "canonical": lowerings.TO_NCHW}


def _turning(tf, turns, function):
    """The function, of inputs in another order; see Plan.turns."""
    if not any(turns):
        return function

    def forward(run, *inputs, **parameters):
        inputs = [tf.transpose(x, TURNS[turn]) if turn else x for x, turn in zip(inputs, turns)]
        return function(run, *inputs, **parameters)

    return forward
