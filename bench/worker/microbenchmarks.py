"""Limits: what a machine can do at best, one small operation each with a known amount of work.

This is the child's half, in Python 3.6 syntax; the parent reads names and amounts of work from here. The file
``microbenchmarks.py`` of a framework's folder says how the framework does them:

``PRECISIONS``      that it has
``DISTRIBUTIONS``   optional: {name of a limit: packages beside the framework's own whose version changes the result}
``prepare(name, settings)``  -> Prepared; raises frameworks.Unsupported where the framework has no such thing

Importing it must not import the framework. ``settings`` is a dict: ``precision``, ``device``, ``threads``,
``compile_mode``, ``layout`` and ``seed`` as adapters have them, and ``folder``, in which the disk is measured.

The names:

``matmul_N``        product of two square matrices of N rows
``conv2d_...``      a convolution that many networks have, of a batch of images; see CONVOLUTIONS
``copy_SIZE``       one array into another; ``triad_SIZE``: a = b + scalar * c. SIZE is that of the two or three arrays
                    together. Each is read or written once, so it is also the bytes moved, as STREAM counts them
                    (McCalpin 1995), and what must fit into a cache to stay there
``launch``          the smallest operation there is, each waited for: its time is the latency of a call
``host_to_device_pinned``, ``..._pageable``, ``device_to_host_...``  a copy between the host's memory and a GPU's
``disk_read``       a file that is not in the page cache; ``disk_write``: such a file, until it is on the disk
``jpeg_decode``     photographs in memory to arrays of pixels
``all_reduce_N``    sum of an array over N processes of this machine, as gradients are summed; its bytes are what each
                    process must at least send, 2 (N - 1) / N of the array ("bus bandwidth" of nccl-tests)
"""

import collections

from . import frameworks, registry

KIB, MIB = 1 << 10, 1 << 20

MATMUL_SIZES = (256, 512, 1024, 2048, 4096)
CONVOLUTIONS = collections.OrderedDict([
    # name: (input channels, output channels, rows and columns of the input, kernel, stride, padding)
    ("conv2d_stem", (3, 64, 224, 7, 2, 3)),          # the first of a ResNet
    ("conv2d_wide", (64, 64, 56, 3, 1, 1)),          # of its large images with few channels
    ("conv2d_deep", (256, 256, 14, 3, 1, 1)),        # of its small images with many
    ("conv2d_1x1", (64, 256, 56, 1, 1, 0)),          # the last of a ResNet-50's block
])
CONV_BATCH = 8
MEMORY_SIZES = collections.OrderedDict(              # from the first level of a cache to main memory
    [("32KiB", 32 * KIB), ("256KiB", 256 * KIB), ("2MiB", 2 * MIB), ("16MiB", 16 * MIB), ("256MiB", 256 * MIB)]
)
TRANSFERS = ("host_to_device_pinned", "host_to_device_pageable", "device_to_host_pinned", "device_to_host_pageable")
TRANSFER_BYTES = 64 * MIB
DISK_BYTES = 64 * MIB
JPEG_COUNT, JPEG_SHAPE = 16, (375, 500, 3)           # rows, columns, channels: a usual photograph of ImageNet
WORLD_SIZES = (2, 4)
ALL_REDUCE_BYTES = 25 * MIB                          # what PyTorch's DDP sends at a time

NAMES = (
    tuple("matmul_%d" % size for size in MATMUL_SIZES)
    + tuple(CONVOLUTIONS)
    + tuple(kind + size for kind in ("copy_", "triad_") for size in MEMORY_SIZES)
    + ("launch",) + TRANSFERS + ("disk_read", "disk_write", "jpeg_decode")
    + tuple("all_reduce_%d" % world_size for world_size in WORLD_SIZES)
)

ITEM_BYTES = {"fp32": 4, "tf32": 4, "fp64": 8, "bf16": 2, "fp16": 2}     # precisions that limits have

TOLERANCES = {"fp32": 1e-5, "tf32": 3e-3, "fp64": 1e-12, "bf16": 2e-2, "fp16": 3e-3}
"""Largest relative L2 error of a result against NumPy in float64: a few times what rounding makes of it."""


def work(name, precision):
    """{"name", "flops", "bytes", "samples"} of one execution of a limit; None for what it is not measured by.

    ``bytes`` are those moved through memory, disk or link. A precision that no limit has counts as fp32, since it
    comes to no measurement.
    """
    known = {"name": name, "flops": None, "bytes": None, "samples": None}
    kind, _, size = name.partition("_")
    item = ITEM_BYTES.get(precision, ITEM_BYTES["fp32"])
    if kind == "matmul":
        known["flops"] = 2 * int(size) ** 3
    elif kind == "conv2d":
        channels, filters, rows, kernel, stride, padding = CONVOLUTIONS[name]
        pixels = CONV_BATCH * ((rows + 2 * padding - kernel) // stride + 1) ** 2
        known.update(flops=2 * pixels * filters * channels * kernel ** 2, samples=CONV_BATCH)
    elif kind == "copy":
        known["bytes"] = 2 * item * elements(name, precision)
    elif kind == "triad":
        known.update(bytes=3 * item * elements(name, precision), flops=2 * elements(name, precision))
    elif kind == "disk":
        known["bytes"] = DISK_BYTES
    elif kind == "jpeg":
        known["samples"] = JPEG_COUNT
    elif name in TRANSFERS:
        known["bytes"] = TRANSFER_BYTES
    elif kind == "all":
        known["bytes"] = 2 * (world_size(name) - 1) * ALL_REDUCE_BYTES // world_size(name)
    return known


def elements(name, precision):
    """Of each array of ``copy_SIZE`` or ``triad_SIZE``."""
    kind, _, size = name.partition("_")
    return MEMORY_SIZES[size] // ({"copy": 2, "triad": 3}[kind] * ITEM_BYTES.get(precision, ITEM_BYTES["fp32"]))


def world_size(name):
    """Processes of ``all_reduce_N``."""
    return int(name.rpartition("_")[2])


LEAST_STEPS = {"launch": 500, "32KiB": 200, "256KiB": 50, "2MiB": 5}


def least_steps_per_timing(name):
    """Executions between two clock reads, so that the clock's own time, about 0.1 us, is no part of the figure."""
    return LEAST_STEPS.get(name.rpartition("_")[2], 1)


def has(framework):
    """Whether a framework has micro-benchmarks."""
    return load(framework) is not None


def load(framework):
    """The module that does the micro-benchmarks of a framework, which is not imported yet; None where it has none."""
    return registry.load_if_there(frameworks.__name__, framework + ".microbenchmarks")


def distributions(framework, name):
    """Packages that a framework's limit needs beside the framework's own; none where it does no limits."""
    return getattr(load(framework), "DISTRIBUTIONS", {}).get(name, ())


class Prepared(object):
    """A limit on its device, ready to be executed, as bench.worker.measure times it."""

    has_peers = False            # whether other processes do a part of the work
    peak_memory_method = "device_allocator"
    tolerance = None             # largest ``error`` that is none; None: that of the precision, in TOLERANCES

    def step(self):
        """Start one execution. May return early."""
        raise NotImplementedError

    def synchronize(self):
        """Return when all that was started has finished."""

    def device_timer(self):
        """As frameworks.Prepared.device_timer."""
        return None

    def error(self):
        """Relative L2 error of the last execution's result, against what NumPy says in float64. Asked once."""
        raise NotImplementedError

    def facts(self):
        """What else is to be known of the figure: {name: plain value}."""
        return {}

    def forget_peak_memory(self):
        """Nothing is tried out in its first steps."""

    def peak_memory_bytes(self):
        """As frameworks.Prepared.peak_memory_bytes."""
        return None
