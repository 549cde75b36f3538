"""Micro-benchmarks: what a machine can do at best, each one small operation with a known amount of work.

This file of the worker package has Python 3.6 syntax; the parent reads names and amounts of work from it. The file
``microbenchmarks.py`` in the folder of a framework implements them:

``PRECISIONS``      precisions that it has
``DISTRIBUTIONS``   optional: {name of a micro-benchmark: packages beside the framework's whose version changes results}
``prepare(name, settings)``  -> Prepared; raises frameworks.Unsupported if the framework does not have it

Importing it must not import the framework. ``settings`` is a dict: ``precision``, ``device``, ``threads``,
``compile_mode``, ``layout`` and ``seed`` as in adapters, and ``folder``, in which the disk is measured.

The names:

``matmul_N``        product of two square matrices of N rows
``conv2d_...``      a convolution that many networks have, of a batch of images; see CONVOLUTIONS
``copy_SIZE``       one array into another; ``triad_SIZE``: a = b + scalar * c. SIZE is the size of the two or three
                    arrays together. Each is read or written once, so SIZE also is the number of bytes moved, as STREAM
                    counts them (McCalpin 1995), and the size that a cache must have to contain them
``launch``          the smallest possible operation, always waited for: its time is the latency of a call
``host_to_device_pinned``, ``..._pageable``, ``device_to_host_...``  a copy between the host's memory and a GPU's
``disk_read``       reads a file that is not in the page cache; ``disk_write``: writes a file until it is on the disk
``jpeg_decode``     photographs in memory to arrays of pixels
``all_reduce_N``    sum of an array over N processes of this machine, as for gradients; its bytes are what each process
                    must at least send, 2 (N - 1) / N of the array ("bus bandwidth" of nccl-tests)
"""

import collections

from . import frameworks, registry
from .precisions import activation_bytes

KIB, MIB = 1 << 10, 1 << 20

MATMUL_SIZES = (256, 512, 1024, 2048, 4096)
CONVOLUTIONS = collections.OrderedDict([
    # name: (input channels, output channels, rows and columns of the input, kernel, stride, padding)
    ("conv2d_stem", (3, 64, 224, 7, 2, 3)),          # the first convolution of a ResNet
    ("conv2d_wide", (64, 64, 56, 3, 1, 1)),          # in its first stage: large images, few channels
    ("conv2d_deep", (256, 256, 14, 3, 1, 1)),        # in a late stage: small images, many channels
    ("conv2d_1x1", (64, 256, 56, 1, 1, 0)),          # the last one in a block of ResNet-50
])
CONV_BATCH = 8
MEMORY_SIZES = collections.OrderedDict(              # from the first-level cache to main memory
    [("32KiB", 32 * KIB), ("256KiB", 256 * KIB), ("2MiB", 2 * MIB), ("16MiB", 16 * MIB), ("256MiB", 256 * MIB)]
)
TRANSFERS = ("host_to_device_pinned", "host_to_device_pageable", "device_to_host_pinned", "device_to_host_pageable")
TRANSFER_BYTES = 64 * MIB
DISK_BYTES = 64 * MIB
JPEG_COUNT, JPEG_SHAPE = 16, (375, 500, 3)           # rows, columns, channels of a typical photograph in ImageNet
WORLD_SIZES = (2, 4)
ALL_REDUCE_BYTES = 25 * MIB                          # the usual bucket of PyTorch's DDP

NAMES = (
    tuple("matmul_%d" % size for size in MATMUL_SIZES)
    + tuple(CONVOLUTIONS)
    + tuple(kind + size for kind in ("copy_", "triad_") for size in MEMORY_SIZES)
    + ("launch",) + TRANSFERS + ("disk_read", "disk_write", "jpeg_decode")
    + tuple("all_reduce_%d" % world_size for world_size in WORLD_SIZES)
)

TOLERANCES = {"fp32": 1e-5, "tf32": 3e-3, "fp64": 1e-12, "bf16": 2e-2, "fp16": 3e-3}
"""Of the precisions of micro-benchmarks: the largest allowed relative L2 error of a result against NumPy in float64, a
few times the error by rounding."""


def item_bytes(precision):
    """Of an element of an array; a precision that no micro-benchmark has counts as fp32."""
    return activation_bytes(precision if precision in TOLERANCES else "fp32")


def work(name, precision):
    """{"name", "flops", "bytes", "samples"} of one execution of a micro-benchmark; None for what it does not measure.

    ``bytes`` are moved through memory, disk or link. A precision that no micro-benchmark has counts as fp32, since it
    is never measured.
    """
    known = {"name": name, "flops": None, "bytes": None, "samples": None}
    kind, _, size = name.partition("_")
    item = item_bytes(precision)
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
    """The number of elements of each array of ``copy_SIZE`` or ``triad_SIZE``."""
    kind, _, size = name.partition("_")
    return MEMORY_SIZES[size] // ({"copy": 2, "triad": 3}[kind] * item_bytes(precision))


def world_size(name):
    """The number of processes of ``all_reduce_N``."""
    return int(name.rpartition("_")[2])


LEAST_STEPS = {"launch": 500, "32KiB": 200, "256KiB": 50, "2MiB": 5}


def least_steps_per_timing(name):
    """Executions between two clock reads, so that the time of a clock read, about 0.1 us, is negligible."""
    return LEAST_STEPS.get(name.rpartition("_")[2], 1)


def has(framework):
    """Whether a framework has micro-benchmarks."""
    return load(framework) is not None


def load(framework):
    """The module with the micro-benchmarks of a framework, which is not imported; None if it has none."""
    return registry.load_if_there(frameworks.__name__, framework + ".microbenchmarks")


def distributions(framework, name):
    """Packages that a micro-benchmark needs beside those of the framework; () if the framework has none."""
    return getattr(load(framework), "DISTRIBUTIONS", {}).get(name, ())


class Prepared(object):
    """A micro-benchmark on its device, ready to be timed by bench.worker.measure."""

    has_peers = False            # whether other processes do part of the work
    peak_memory_method = "device_allocator"
    tolerance = None             # largest allowed ``error``; None: that of the precision in TOLERANCES

    def step(self):
        """Starts one execution. May return before it ends."""
        raise NotImplementedError

    def synchronize(self):
        """Returns when everything that was started has finished."""

    def device_timer(self):
        """As frameworks.Prepared.device_timer."""
        return None

    def error(self):
        """Relative L2 error of the last result against NumPy in float64. It is called once."""
        raise NotImplementedError

    def facts(self):
        """Further facts about the figure: {name: plain value}."""
        return {}

    def forget_peak_memory(self):
        """Does nothing, since there is no autotuning in the first steps."""

    def peak_memory_bytes(self):
        """As frameworks.Prepared.peak_memory_bytes."""
        return None
