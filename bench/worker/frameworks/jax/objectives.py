"""Training steps of several objectives: one program, which takes them in order."""

import numpy as np

from ...graphs import ends_of_training, objectives, output_names, trainable_keys, without_objectives
from .adapter import JaxPrepared


class JaxObjectives(JaxPrepared):
    """A network whose losses are arrays, one number per objective in order."""

    def __init__(self, jax, graph, weights, settings, device):
        super().__init__(jax, without_objectives(graph), weights, settings, device)
        self._parts = [Part(self, each) for each in objectives(graph)]

    def _number(self, loss):
        return np.asarray(loss, np.float64)

    def _first_moments(self):
        every = [part.first_moments(self._parameters) for part in self._parts]
        return {key: own for moments, _ in every for key, own in moments.items()}, [steps for _, steps in every]

    # What JAX traces.

    def _accumulated(self, parameters, statistics, scaling, x, y, masks, step=None):
        """As of one loss; the losses and gradients are for the weights as they are, before any update."""
        losses, gradients = [], {}
        for part in self._parts:
            own, others = part.divided(parameters)
            (loss, _), own_gradients = part._accumulated(own, {**statistics, **others}, scaling, x, y, masks, step)
            losses.append(loss)
            gradients.update(own_gradients)
        return (self._jax.numpy.stack(losses), statistics), gradients

    def _updated(self, parameters, statistics, moments, steps, scaling, x, y, masks):
        losses, steps = [], list(steps)
        for index, part in enumerate(self._parts):
            own, others = part.divided(parameters)
            own, kept, own_moments, steps[index], scaling, loss = part._updated(
                own, {**statistics, **others}, {key: moments[key] for key in own}, steps[index], scaling, x, y, masks
            )
            parameters, moments = {**others, **own}, {**moments, **own_moments}
            statistics = {key: kept[key] for key in statistics}
            losses.append(loss)
        return parameters, statistics, moments, steps, scaling, self._jax.numpy.stack(losses)


class Part(JaxPrepared):
    """What is traced for one objective: the layers of the whole network, in its layout, that lead to one loss.

    The parameters that others train are among its statistics, of which no gradient is asked.
    """

    def __init__(self, whole, graph):
        vars(self).update(vars(whole))
        names = {layer["name"] for layer in graph["layers"]}
        self._graph, self._outputs, self._ends = graph, output_names(graph), ends_of_training(graph)
        self._for_loss = [each for each in whole._layers if each[0]["name"] in names]
        self._keys = set(trainable_keys(graph))

    def divided(self, parameters):
        """(those that it trains, the others)"""
        own = {key: array for key, array in parameters.items() if key in self._keys}
        return own, {key: array for key, array in parameters.items() if key not in self._keys}

    def first_moments(self, parameters):
        self._parameters, _ = self.divided(parameters)
        try:
            return self._first_moments()
        finally:
            self._parameters = None              # the whole network has them, and gives them to each step
