"""Networks whose training step has several losses, in frameworks that run one after the other as the host asks."""

import numpy as np

from . import Prepared


class Objectives(Prepared):
    """``parts``, networks of one loss each, take turns within a step; they share the weights of ``whole``.

    ``whole`` gives the outputs and is not trained by itself. Losses are arrays, one number per objective in order.
    Those of ``gradients`` and its gradients are for the weights as they are, so for none that an earlier objective
    would have changed. Adapters say how a part takes its turn on a batch that ``load`` put on the device.
    """

    def __init__(self, whole, parts):
        self._whole, self._parts = whole, parts
        self.can_train = whole.can_train
        self.peak_memory_method = whole.peak_memory_method
        self._last = None

    def _next_batch(self):
        """The batch of the next step, as ``_take_turn`` takes it."""
        raise NotImplementedError

    def _take_turn(self, part, x, y):
        """The loss of a part before its update, on the device."""
        raise NotImplementedError

    def load(self, batches):
        self._whole.load(batches)

    def step(self):
        x, y = self._next_batch()
        self._last = [self._take_turn(part, x, y) for part in self._parts]

    def synchronize(self):
        self._whole.synchronize()

    def result(self):
        return np.array([float(loss) for loss in self._last])

    def forward(self, x):
        return self._whole.forward(x)

    def gradients(self, x, y, masks):
        answers = [part.gradients(x, y, masks) for part in self._parts]
        return np.array([loss for loss, _ in answers]), merged([gradients for _, gradients in answers])

    def train(self, x, y, masks):
        return np.array([part.train(x, y, masks) for part in self._parts])

    def weights(self):
        return self._whole.weights()

    def peak_memory_bytes(self):
        return self._whole.peak_memory_bytes()

    def forget_peak_memory(self):
        self._whole.forget_peak_memory()

    def overflow_steps(self):
        """Of all objectives together."""
        counts = [part.overflow_steps() for part in self._parts]
        return None if None in counts else sum(counts)

    def device_timer(self):
        return self._whole.device_timer()


def merged(parts):
    """One dict of several that have no key in common."""
    return {key: value for part in parts for key, value in part.items()}
