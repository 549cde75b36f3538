"""What engines that run files share: they train nothing, so that their weights stay those that were given."""

import numpy as np

from . import Prepared


class Engine(Prepared):
    """A network that an engine has read; subclasses add ``load``, ``step``, ``result`` and ``forward``."""

    can_train = False

    def __init__(self, weights):
        self._weights = weights

    def weights(self):
        return {key: np.array(array) for key, array in self._weights.items()}

    def synchronize(self):
        pass                             # a step ends when its answer is there
