"""Independent copies of a network, in one process each, that answer in parallel and share only the host."""

from . import EACH, device_of

FRAMEWORKS = ()
MODES = ("inference",)
IS_USUAL = True
PROCESSES = EACH
ANSWERS_APART = True
SUMS_GRADIENTS = False


def sent_bytes(gradient_bytes, world_size):
    return 0


def prepare(adapter, graph, weights, settings, world):
    return adapter.prepare(graph, weights, dict(settings, device=device_of(settings["device"], world)))
