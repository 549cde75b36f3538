"""What engines that run files share: they train nothing, and their form of the weights is their own."""

from . import Prepared


class Engine(Prepared):
    """A network that an engine has read; subclasses add ``load``, ``step``, ``result`` and ``forward``."""

    can_train = False

    def synchronize(self):
        pass                             # a step ends when its answer is there
