"""Training steps of several objectives: one function, which takes them in order."""

import numpy as np

from ...graphs import ends_of_training, objectives, output_names, trainable_keys, without_objectives
from .. import Unsupported
from .adapter import TensorflowPrepared


class TensorflowObjectives(TensorflowPrepared):
    """A network whose losses are arrays, one number per objective in order."""

    def __init__(self, tf, graph, weights, settings, device):
        self._objectives, self._parts = objectives(graph), []
        super().__init__(tf, without_objectives(graph), weights, settings, device)

    def _make_optimizer(self):
        """Those of its objectives."""
        if not self._parts:
            self._parts = [Part(self, each) for each in self._objectives]
            for part in self._parts:
                part._make_optimizer()

    def _number(self, loss):
        return np.asarray(loss.numpy(), np.float64)

    def _layer_times_by_marks(self, steps):
        raise Unsupported("layers of several objectives are timed in compile mode compiled or xla")

    def _differentiate(self, x, y, masks):
        answers = [part._differentiate(x, y, masks) for part in self._parts]
        found = {
            key: gradient for part, (_, gradients) in zip(self._parts, answers)
            for key, gradient in zip(part._trainable, gradients)
        }
        return self._tf.stack([loss for loss, _ in answers]), [found[key] for key in self._trainable]

    def _update(self, x, y, masks):
        return self._tf.stack([part._update(x, y, masks) for part in self._parts])


class Part(TensorflowPrepared):
    """The functions of one objective: the layers of the whole network, with its variables, that lead to one loss."""

    def __init__(self, whole, graph):
        vars(self).update(vars(whole))
        names, keys = {layer["name"] for layer in graph["layers"]}, set(trainable_keys(graph))
        self._graph, self._outputs, self._ends = graph, output_names(graph), ends_of_training(graph)
        self._for_loss = [layer for layer in whole._layers if layer.name in names]
        self._trainable = {key: variable for key, variable in whole._trainable.items() if key in keys}
        self._optimizer = None
