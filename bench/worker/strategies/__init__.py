"""Strategies: how the devices of a world share the work of one network. One file each, found by its name.

This is the child's half, in Python 3.6 syntax here; a strategy's file may use what its framework's oldest Python has.
Importing it must not import the framework: the parent reads the constants from it.

A strategy's module has

``FRAMEWORKS``    adapters that it is for; empty: any
``MODES``         "inference", "training": what it shares
``IS_USUAL``      True where it is meant when none is named; one for each framework and mode
``PROCESSES``     EACH: a process for each device; ONE: one process for all; ANY: one for all, or fewer devices each
``ANSWERS_APART``  True where every process answers requests by itself, and no step waits for the others
``SUMS_GRADIENTS``  True where every device takes the same update, by the mean of all gradients
``REFUSES``       where it sums gradients: {option of OPTIONS that it lacks: why, a sentence}
``sent_bytes(gradient_bytes, world_size)``  that each device must at least send in a step; None where that is not known
``prepare(adapter, graph, weights, settings, world)``  -> frameworks.Prepared, of the devices of this process

``graph``, ``weights`` and ``settings`` are what the adapter's own ``prepare`` takes; "threads" are those of one device.
``world`` is a dict:

``size``                  devices of the whole world
``devices_per_process``   how many of them are in this process
``processes``, ``rank``   how many processes there are, and the index of this one
``local_rank``            the index of this one among those on its machine
``address``, ``ports``    where the processes meet; ports[0] is Rigmark's own, then one for each process
``options``   {option of OPTIONS: its value as text} that were asked for; none that the strategy refuses
``patience_s``            after which a missing process is given up

Of the arrays that come in, every process has its own part: local batch x devices samples, device after device.
``gradients`` gives the mean over all devices of the world, losses are means over the devices of this process.
"""

from collections import namedtuple

from .. import registry

EACH, ONE, ANY = "each", "one", "any"

SINGLE = "single"            # one device has nothing to share
NAMES = registry.names(__path__)

BUCKET_MB = "bucket_mb"      # MB (2**20 bytes) of gradients that are sent as one message
GRADIENT_COMPRESSION = "gradient_compression"    # the format that gradients are sent and summed in
OPTIONS = (BUCKET_MB, GRADIENT_COMPRESSION)
COMPRESSIONS = ("fp16",)


class Strategy(namedtuple("Strategy", ("name", "options"))):
    """A strategy and {option of OPTIONS: its value as text}; as text it is "ddp bucket_mb=5 gradient_compression=fp16".

    Cases, jobs and records hold the text; ``parse`` is the only way back.
    """

    def __str__(self):
        asked = ["%s=%s" % (option, self.options[option]) for option in OPTIONS if option in self.options]
        return " ".join([self.name, *asked])

    def refusal(self):
        """Why it cannot have its options, in a sentence; None where it can."""
        refuses = getattr(load(self.name), "REFUSES", {}) if self.options else {}
        return next((refuses[option] for option in self.options if option in refuses), None)


def parse(text):
    """The Strategy of a text."""
    name, _, rest = text.strip().partition(" ")
    return Strategy(name, dict(word.partition("=")[::2] for word in rest.split()))


def load(text):
    """The module of a strategy, with options in its text or without; the framework itself is not imported yet."""
    return registry.load(__name__, parse(text).name)


def answers_apart(text):
    """Whether every process of a recorded strategy answers requests by itself, and none waits for the others.

    False where nothing is known of a strategy by that name, as of one device and of what others published.
    """
    return isinstance(text, str) and parse(text).name in NAMES and load(text).ANSWERS_APART


def fits(name, framework, mode=None):
    """Whether a strategy is for this framework, and shares work of this mode (None: of any)."""
    module = load(name)
    return (not module.FRAMEWORKS or framework in module.FRAMEWORKS) and (mode is None or mode in module.MODES)


def usual(framework, mode):
    """The name of the strategy that is meant where none is named; None where there is none."""
    return next((name for name in NAMES if load(name).IS_USUAL and fits(name, framework, mode)), None)


def device_of(device, world):
    """The device of this process where each has one: of "cuda:2" the first on a machine has that, the next "cuda:3"."""
    kind, _, first = device.partition(":")
    return device if kind == "cpu" else "%s:%d" % (kind, int(first or 0) + world["local_rank"])


def all_reduce_bytes(array_bytes, world_size):
    """What each device must at least send so that all have the sum of an array, in any algorithm.

    Patarasuk and Yuan 2009, "Bandwidth optimal all-reduce algorithms for clusters of workstations".
    """
    return 2 * (world_size - 1) * array_bytes // world_size
