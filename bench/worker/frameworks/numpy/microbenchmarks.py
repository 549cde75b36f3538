"""NumPy: matrix products, memory and calls; plain files for the disk, Pillow for JPEG.

Also the arrays and errors with which the results of every framework are compared.
"""

import concurrent.futures
import functools
import io
import os
import tempfile

import numpy as np

from ...microbenchmarks import CONVOLUTIONS, DISK_BYTES, JPEG_COUNT, JPEG_SHAPE, Prepared, elements
from .. import Unsupported

PRECISIONS = ("fp32", "fp64")
DISTRIBUTIONS = {"jpeg_decode": ("pillow",)}

DTYPES = {"fp32": np.float32, "tf32": np.float32, "fp64": np.float64}     # other precisions draw fp32
SCALAR = 3.0                         # of a triad
PERIOD = 1021                        # of the values in arrays, so that they can be drawn and checked quickly
BLOCK_BYTES = 64 << 10               # of each array of a triad: three of them fit into a second-level cache
JPEG_QUALITY = 90
JPEG_LOSS = 0.1                      # relative error of a decoded photograph that its encoding explains
IN_MEMORY = ("tmpfs", "ramfs")


def prepare(name, settings):
    """The limit; raises Unsupported for what NumPy lacks."""
    kind = name.partition("_")[0]
    if kind not in KINDS:
        raise Unsupported("NumPy has no %s; choose another framework" % LACKING[kind])
    if settings["threads"] > 1 and kind in ("copy", "triad"):
        raise Unsupported("NumPy uses one thread for %s, however many it may; choose torch, or --threads 1" % name)
    return KINDS[kind](name, settings)


# Inputs and errors of results ------------------------------------------------------------------------------------


def relative_error(result, expected):
    """L2 norm of the difference relative to that of what is expected; shapes may broadcast."""
    expected = np.asarray(expected, np.float64)
    difference = np.subtract(result, expected, dtype=np.float64)
    return float(np.linalg.norm(difference) / np.linalg.norm(expected) * (expected.size / difference.size) ** 0.5)


def uniform(shape, seed, dtype):
    """Values from -0.5 to 0.5."""
    return (np.random.RandomState(seed).random_sample(shape) - 0.5).astype(dtype)


def matrices(name, settings):
    """The two factors of ``matmul_N``."""
    size = int(name.partition("_")[2])
    return [uniform((size, size), settings["seed"] + i, DTYPES.get(settings["precision"], np.float32)) for i in (0, 1)]


def product_error(a, b, product):
    """Relative error of a product, computed with one random vector: n^2 instead of n^3 operations (Freivalds 1977)."""
    vector = uniform(len(b), 0, np.float64)
    a, b, product = (np.asarray(matrix, np.float64) for matrix in (a, b, product))
    return relative_error(product.dot(vector), a.dot(b.dot(vector)))


def images_and_filters(name, batch, settings):
    """Input (batch, channels, rows, columns) and filters (output channels, channels, rows, columns) of ``conv2d_...``.
    """
    channels, filters, size, kernel, _, _ = CONVOLUTIONS[name]
    dtype = DTYPES.get(settings["precision"], np.float32)
    return (
        uniform((batch, channels, size, size), settings["seed"], dtype),
        uniform((filters, channels, kernel, kernel), settings["seed"] + 1, dtype),
    )


def convolution_error(name, images, filters, result):
    """Relative error of a convolution, all in NCHW, computed with a random mixture of its output channels."""
    _, _, size, kernel, stride, padding = CONVOLUTIONS[name]
    images, filters, result = (np.asarray(array, np.float64) for array in (images, filters, result))
    mixture = uniform(len(filters), 0, np.float64)
    mixed = np.tensordot(mixture, filters, 1)
    padded = np.pad(images, [(0, 0), (0, 0), (padding, padding), (padding, padding)], "constant")
    reach = stride * ((size + 2 * padding - kernel) // stride) + 1
    expected = sum(
        np.tensordot(mixed[:, row, column], padded[:, :, row:row + reach:stride, column:column + reach:stride], (0, 1))
        for row in range(kernel) for column in range(kernel)
    )
    return relative_error(np.tensordot(mixture, result, (0, 1)), expected)


def vectors(name, settings):
    """The arrays of ``copy_SIZE`` or ``triad_SIZE``, with the one that is written to first."""
    count = elements(name, settings["precision"])
    dtype = DTYPES.get(settings["precision"], np.float32)
    sources = 1 if name.startswith("copy") else 2
    return [np.zeros(count, dtype)] + [
        np.resize(uniform(PERIOD, settings["seed"] + i, dtype), count) for i in range(sources)]


def vectors_error(target, *sources):
    """Relative error of a copy (one source) or a triad (two)."""
    whole = len(target) // PERIOD * PERIOD
    first, *others = [np.asarray(source[:PERIOD], np.float64) for source in sources]
    expected = first + SCALAR * others[0] if others else first
    parts = [(target[:whole].reshape(-1, PERIOD), expected), (target[whole:], expected[:len(target) - whole])]
    return max(relative_error(result, known) for result, known in parts if result.size)


def photographs(seed):
    """Images (rows, columns, 3) of bytes with a photograph's spectrum, which falls as 1 / frequency (Field 1987)."""
    rows, columns, channels = JPEG_SHAPE
    rng = np.random.RandomState(seed)
    frequency = np.hypot(np.fft.fftfreq(rows)[:, None], np.fft.rfftfreq(columns)[None, :])
    frequency[0, 0] = np.inf         # no mean
    images = []
    for _ in range(JPEG_COUNT):
        spectrum = np.fft.rfft2(rng.standard_normal((channels, rows, columns))) / frequency
        planes = np.fft.irfft2(spectrum, (rows, columns))
        planes /= planes.std()
        pixels = 128 + 45 * planes[:1] + 10 * planes       # mostly of one colour
        images.append(np.clip(pixels.transpose(1, 2, 0), 0, 255).astype(np.uint8))
    return images


def photographs_error(images, expected):
    return max(
        relative_error(picture, known) if np.shape(picture) == known.shape else float("inf")
        for picture, known in zip(images, expected)
    )


# The limits ------------------------------------------------------------------------------------------------------


class Matmul(Prepared):

    def __init__(self, name, settings):
        self._factors = matrices(name, settings)
        self._product = np.empty_like(self._factors[0])
        self.step = functools.partial(np.matmul, *self._factors, out=self._product)

    def error(self):
        return product_error(*self._factors, self._product)


class Copy(Prepared):

    def __init__(self, name, settings):
        self._vectors = vectors(name, settings)
        self.step = functools.partial(np.copyto, *self._vectors)

    def error(self):
        return vectors_error(*self._vectors)


class Triad(Prepared):
    """Block by block, since NumPy multiplies and adds in two passes."""

    def __init__(self, name, settings):
        self._vectors = vectors(name, settings)
        block = BLOCK_BYTES // self._vectors[0].itemsize
        self._blocks = [
            tuple(vector[start:start + block] for vector in self._vectors)
            for start in range(0, len(self._vectors[0]), block)
        ]

    def step(self):
        for a, b, c in self._blocks:
            np.multiply(c, SCALAR, a)
            np.add(a, b, a)

    def error(self):
        return vectors_error(*self._vectors)


class Launch(Prepared):

    def __init__(self, name, settings):
        one, self._sum = np.ones((2, 1), DTYPES[settings["precision"]])
        self.step = functools.partial(np.add, one, one, self._sum)

    def error(self):
        return relative_error(self._sum, [2.0])


class Disk(Prepared):
    """One file in the folder, without a name, so that it disappears with the process; its bytes cannot be compressed.

    Before each read the kernel drops the file from its page cache, which takes a few per cent of the time. The host of
    a virtual machine may still cache it.
    """

    def __init__(self, name, settings):
        if not hasattr(os, "posix_fadvise"):
            raise Unsupported("this system has no posix_fadvise, without which %s would measure the page cache" % name)
        self._file = tempfile.TemporaryFile(dir=settings["folder"], buffering=0)     # noqa: SIM115
        self._filesystem = filesystem(self._file.fileno())
        if self._filesystem in IN_MEMORY:
            raise Unsupported("%s is in memory (%s), not on a disk; choose other --results" % (
                settings["folder"], self._filesystem))
        self._content = np.random.RandomState(settings["seed"]).bytes(DISK_BYTES)
        self._found = bytearray(DISK_BYTES)
        self._write()
        self.step = {"disk_read": self._read, "disk_write": self._write}[name]

    def _write(self):
        self._file.seek(0)
        rest = memoryview(self._content)
        while rest:
            rest = rest[self._file.write(rest):]
        os.fsync(self._file.fileno())

    def _read(self):
        os.posix_fadvise(self._file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        self._file.seek(0)
        rest = memoryview(self._found)
        while rest:
            rest = rest[self._file.readinto(rest):]

    def error(self):
        self._read()
        return 0.0 if self._found == self._content else float("inf")

    def facts(self):
        """``filesystem``: its type; None if the system does not state it."""
        return {"filesystem": self._filesystem}


def filesystem(descriptor):
    """"ext4": the type of the file system of an open file; None if the system does not state it."""
    device = os.fstat(descriptor).st_dev
    wanted = "%d:%d" % (os.major(device), os.minor(device))
    try:
        with open("/proc/self/mountinfo") as mounts:         # proc(5)
            for line in mounts:
                fields = line.split()
                if fields[2] == wanted:
                    return fields[fields.index("-") + 1]
    except OSError:
        pass
    return None


class Jpeg(Prepared):
    """Pillow, a thread for each of ``threads``; it releases the interpreter lock while it decodes."""

    tolerance = JPEG_LOSS

    def __init__(self, name, settings):
        try:
            from PIL import Image
        except ImportError as error:
            message = "NumPy decodes no JPEG without Pillow; install pillow, or choose tensorflow"
            raise Unsupported(message) from error
        self._open = Image.open
        self._pictures = photographs(settings["seed"])
        self._files = [self._encoded(Image.fromarray(picture)) for picture in self._pictures]
        self._threads = concurrent.futures.ThreadPoolExecutor(settings["threads"])
        self._found = []

    @staticmethod
    def _encoded(image):
        file = io.BytesIO()
        image.save(file, "JPEG", quality=JPEG_QUALITY)
        return file.getvalue()

    def _decoded(self, content):
        with self._open(io.BytesIO(content)) as image:
            return np.asarray(image)

    def step(self):
        self._found = list(self._threads.map(self._decoded, self._files))

    def error(self):
        return photographs_error(self._found, self._pictures)

    def facts(self):
        """``file_bytes``: mean size of the files."""
        return {"file_bytes": sum(map(len, self._files)) // len(self._files)}


KINDS = {
    "matmul": Matmul, "copy": Copy, "triad": Triad, "launch": Launch, "disk": Disk, "jpeg": Jpeg,
}
LACKING = {"conv2d": "convolution", "host": "GPU", "device": "GPU", "all": "all-reduce"}
