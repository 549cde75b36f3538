"""TensorFlow: eager steps whose time is recorded layer by layer, by marks between the layers."""

import collections

from ...graphs import outputs_of
from ...samples import packed, unpacked
from ...tracing import GRADIENT_ADD, LOSS, OPTIMIZER
from . import lowerings
from .layers import named


class WatchedSteps:
    """Eager steps of a network whose time is recorded layer by layer.

    In training each layer has a gradient tape of its own. A single tape computes the gradients
    of layers in its own order, so that some of the time would be recorded for other layers.
    """

    def __init__(self, tf, prepared, timeline):
        self.timeline = timeline
        self._tf, self._prepared = tf, prepared
        self._layers = [
            layer._replace(function=timeline.booked((layer.name, "forward"), layer.function))
            for layer in (prepared._for_loss if prepared._is_training else prepared._layers)
        ]
        self._readers = collections.Counter(name for layer in self._layers for name in layer.inputs)
        self._trainable = {                      # of each layer, by key
            layer["name"]: {p["key"]: prepared._variables[p["key"]] for p in layer["parameters"] if p["is_trainable"]}
            for layer in prepared._graph["layers"]
        }
        self._with_gradient = set()              # names of values
        for layer in prepared._graph["layers"]:
            if self._trainable[layer["name"]] or self._with_gradient.intersection(layer["inputs"]):
                self._with_gradient.update(
                    name for name, value in zip(outputs_of(layer), layer["outputs"]) if value["dtype"] == "float"
                )

    def step(self, x, *targets_and_masks):
        """One step on a batch: the network's output, or in training the loss before the update; as ``_arguments``."""
        with self._tf.device(self._prepared._device):
            work = self._update if self._prepared._is_training else self._infer
            return self.timeline.step(lambda: work(x, *targets_and_masks), self._prepared.synchronize)

    def _infer(self, x):
        return self._prepared._output_of(self._layers, lowerings.Pass(is_training=False), x)

    def _update(self, x, y, masks):
        tf, prepared, booked = self._tf, self._prepared, self.timeline.booked
        run, tapes = lowerings.Pass(is_training=True), {}
        values = dict(zip(prepared._inputs, unpacked(x)))
        for layer in self._layers:
            with tf.GradientTape() as tape, tf.name_scope(layer.scope):
                # A tensor for each reader, to separate the gradients that readers pass back.
                inputs = [
                    tf.identity(values[name]) if self._readers[name] > 1 else values[name] for name in layer.inputs
                ]
                tape.watch([each for name, each in zip(layer.inputs, inputs) if name in self._with_gradient])
                values.update(named(layer.outputs, layer.function(run, *inputs, **layer.parameters)))
            tapes[layer.name] = tape, inputs
        name = prepared._outputs[0]
        output, *left = prepared._ends_of(values, run, x)
        with tf.GradientTape() as tape:
            tape.watch(output)
            loss = booked((LOSS, "forward"), prepared._loss)(output, y)
            scaled = prepared._scaled(loss)
        sent_back = collections.defaultdict(list)
        sent_back[name].append(booked((LOSS, "backward"), tape.gradient)(scaled, output))
        gradients = collections.defaultdict(list)
        add = booked((GRADIENT_ADD, "backward"), tf.add_n)

        def added(summands):
            return summands[0] if len(summands) == 1 else add(summands)

        for layer in reversed([each for each in self._layers if each.name in self._with_gradient]):
            read = [name for name in layer.outputs if name in sent_back]
            if not read:
                continue                         # only comparisons read it
            arrived = [added(sent_back.pop(name)) for name in read]
            backward = booked((layer.name, "backward"), self._backward)
            of_inputs, of_parameters = backward(layer, *tapes.pop(layer.name), [values.pop(n) for n in read], arrived)
            for key, each in of_parameters.items():
                gradients[key].append(each)
            for name, each in of_inputs:
                sent_back[name].append(each)
        gradients = {key: added(summands) for key, summands in gradients.items()}
        booked((OPTIMIZER, "update"), prepared._update_parameters)([gradients[key] for key in prepared._trainable])
        for key, value in run.statistics.items():
            booked((key.partition("/")[0], "forward"), prepared._assign)({key: value})
        booked((OPTIMIZER, "update"), prepared._copy)()
        return packed([loss, *left])

    def _backward(self, layer, tape, inputs, outputs, arrived):
        """([(name of an input, its gradient)], {key: a parameter's gradient}) of a layer."""
        trainable = self._trainable[layer.name]
        wanted = [(name, each) for name, each in zip(layer.inputs, inputs) if name in self._with_gradient]
        gradients = tape.gradient(outputs, [*(each for _, each in wanted), *trainable.values()], arrived)
        of_inputs = [(name, each) for (name, _), each in zip(wanted, gradients)]
        of_parameters = zip(trainable, gradients[len(wanted):])
        return of_inputs, {key: self._prepared._as_tensor(key, each) for key, each in of_parameters}
