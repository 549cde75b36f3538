"""Strategies: how several devices share the work of one network. One file per strategy, found by its name.

This file of the worker package has Python 3.6 syntax; the file of a strategy may use what the oldest Python of its
framework has. Importing it must not import the framework: the parent reads the constants from it.

The module of a strategy has

``FRAMEWORKS``    adapters that it works with; empty: any
``MODES``         modes that it supports: "inference", "training"
``IS_USUAL``      True if it is the default; one per framework and mode
``PROCESSES``     EACH: one process per device; ONE: one process for all devices; ANY: any number of devices per process
``ANSWERS_APART``  True if every process answers requests by itself, so that no step waits for others
``SUMS_GRADIENTS``  True if every device makes the same update, with the mean of all gradients
``REFUSES``       if it sums gradients: {option of OPTIONS that it lacks: why, a sentence}
``sent_bytes(gradient_bytes, world_size)``  bytes that each device must at least send per step; None if not known
``prepare(adapter, graph, weights, settings, world)``  -> frameworks.Prepared for the devices of this process

``graph``, ``weights`` and ``settings`` are those of the adapter's ``prepare``; "threads" are those of one device.
``world`` is a dict:

``size``                  number of all devices
``devices_per_process``   number of devices of this process
``processes``, ``rank``   number of processes, and the index of this one
``local_rank``            index of this process among those on its machine
``address``, ``ports``    where the processes connect; ports[0] is Rigmark's own, then one per process
``options``   {option of OPTIONS: its value as text} that the user asked for; none that the strategy refuses
``patience_s``            time after which a missing process counts as lost

Every process gets its own part of the input: local batch x devices samples, device by device. ``gradients`` returns the
mean over all devices of all processes; losses are means over the devices of this process.
"""

from collections import namedtuple

from .. import devices, registry

EACH, ONE, ANY = "each", "one", "any"

SINGLE = "single"            # the strategy of one device
NAMES = registry.names(__path__)

BUCKET_MB = "bucket_mb"      # size of a message of gradients, in MB of 2**20 bytes
GRADIENT_COMPRESSION = "gradient_compression"    # the format in which gradients are sent and summed
OPTIONS = (BUCKET_MB, GRADIENT_COMPRESSION)
COMPRESSIONS = ("fp16",)


class Strategy(namedtuple("Strategy", ("name", "options"))):
    """A strategy with {option of OPTIONS: its value as text}; as text "ddp bucket_mb=5 gradient_compression=fp16".

    Cases, jobs and records contain the text; ``parse`` reads it.
    """

    def __str__(self):
        asked = ["%s=%s" % (option, self.options[option]) for option in OPTIONS if option in self.options]
        return " ".join([self.name, *asked])

    def refusal(self):
        """Why the strategy does not support its options, in a sentence; None if it does."""
        refuses = getattr(load(self.name), "REFUSES", {}) if self.options else {}
        return next((refuses[option] for option in self.options if option in refuses), None)


def parse(text):
    """The Strategy that a text describes."""
    name, _, rest = text.strip().partition(" ")
    return Strategy(name, dict(word.partition("=")[::2] for word in rest.split()))


def load(text):
    """The module of a strategy, given with or without options; the framework itself is not imported."""
    return registry.load(__name__, parse(text).name)


def answers_apart(text):
    """Whether in a recorded strategy every process answers requests by itself, without waiting for others.

    False for an unknown strategy, such as that of one device or of a published result.
    """
    return isinstance(text, str) and parse(text).name in NAMES and load(text).ANSWERS_APART


def fits(name, framework, mode=None):
    """Whether a strategy supports this framework and this mode (None: any mode)."""
    module = load(name)
    return (not module.FRAMEWORKS or framework in module.FRAMEWORKS) and (mode is None or mode in module.MODES)


def usual(framework, mode):
    """The name of the default strategy; None if there is none."""
    return next((name for name in NAMES if load(name).IS_USUAL and fits(name, framework, mode)), None)


def device_of(device, world):
    """The device of this process if each has one: with "cuda:2" the first on a machine gets that, the next "cuda:3"."""
    if devices.is_host(device):
        return device
    return "%s:%d" % (devices.kind(device), devices.index(device) + world["local_rank"])


def all_reduce_bytes(array_bytes, world_size):
    """Bytes that each device must at least send so that all have the sum of an array, by any algorithm.

    Patarasuk and Yuan 2009, "Bandwidth optimal all-reduce algorithms for clusters of workstations".
    """
    return 2 * (world_size - 1) * array_bytes // world_size
