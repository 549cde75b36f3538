"""The device of a job, "cpu" or "cuda:0", which a worker is told as text; Python 3.6.

The parent has it as bench.devices.Device.
"""

HOST = "cpu"


def kind(device):
    """"cuda" of "cuda:0"."""
    return device.partition(":")[0]


def index(device):
    """Its number among those of its kind; 0 where none is said."""
    return int(device.partition(":")[2] or 0)


def is_host(device):
    return kind(device) == HOST
