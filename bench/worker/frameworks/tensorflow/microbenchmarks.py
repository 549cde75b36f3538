"""TensorFlow: single operations as functions of tensors, in each of its compile modes; its own JPEG decoder."""

import contextlib

import numpy as np

from ...devices import is_host
from ...microbenchmarks import CONV_BATCH, CONVOLUTIONS, Prepared
from .. import Unsupported
from ..numpy.microbenchmarks import (
    JPEG_LOSS,
    JPEG_QUALITY,
    convolution_error,
    images_and_filters,
    matrices,
    photographs,
    photographs_error,
    product_error,
    relative_error,
)
from . import adapter

PRECISIONS = ("fp32", "tf32", "fp64", "bf16", "fp16")

DTYPES = {"fp32": "float32", "tf32": "float32", "fp64": "float64", "bf16": "bfloat16", "fp16": "float16"}


def prepare(name, settings):
    """The limit on its device; raises Unsupported for what TensorFlow lacks, or lacks on that device."""
    import tensorflow as tf

    kind = name.partition("_")[0]
    if kind not in KINDS:
        raise Unsupported(f"{LACKING[kind]}; choose another framework")
    if settings["precision"] == "tf32" and is_host(settings["device"]):
        raise Unsupported("tf32 is a format of NVIDIA's GPUs; name one with --device cuda:0")
    with contextlib.suppress(RuntimeError):      # has no effect once TensorFlow runs; facts() states the number in use
        tf.config.threading.set_intra_op_parallelism_threads(settings["threads"])
        # Images are decoded in parallel, one operation each; other benchmarks have a single operation.
        tf.config.threading.set_inter_op_parallelism_threads(settings["threads"] if kind == "jpeg" else 1)
    if is_host(settings["device"]):
        device = adapter.cpu_device(tf)
    else:
        device = adapter.cuda_device(tf, settings["device"], settings["precision"])
    with tf.device(device):
        return KINDS[kind](tf, name, settings, device)


class TensorflowLimit(Prepared):
    """A function of tensors, ``_function``, and its ``_operands`` on a device."""

    def __init__(self, tf, settings, device, function, operands):
        self._tf = tf
        self._device = device
        self._is_cuda = device.startswith("GPU")
        mode = settings["compile_mode"]
        self._function = function if mode == "eager" else tf.function(function, jit_compile=mode == "xla")
        self._operands = operands
        self._result = None

    def step(self):
        with self._tf.device(self._device):
            self._result = self._function(*self._operands)

    def synchronize(self):
        # On a CPU a step returns when it has finished.
        if self._is_cuda:
            self._tf.test.experimental.sync_devices()

    def peak_memory_bytes(self):
        return self._tf.config.experimental.get_memory_info(self._device)["peak"] if self._is_cuda else None

    def _arrays(self, *tensors):
        """As NumPy, which has no bf16."""
        return [(t if t.dtype == self._tf.float64 else self._tf.cast(t, self._tf.float32)).numpy() for t in tensors]


def _tensors(tf, settings, arrays):
    return [tf.cast(tf.constant(array), DTYPES[settings["precision"]]) for array in arrays]


class Matmul(TensorflowLimit):

    def __init__(self, tf, name, settings, device):
        super().__init__(tf, settings, device, tf.matmul, _tensors(tf, settings, matrices(name, settings)))

    def error(self):
        return product_error(*self._arrays(*self._operands, self._result))


class Convolution(TensorflowLimit):
    """NHWC. The images are padded beforehand, since "SAME" would pad differently."""

    def __init__(self, tf, name, settings, device):
        self._name = name
        *_, kernel, stride, padding = CONVOLUTIONS[name]
        is_same = stride == 1 and padding == kernel // 2
        self._border = 0 if is_same else padding
        borders = [(0, 0), (self._border, self._border), (self._border, self._border), (0, 0)]
        images, filters = images_and_filters(name, CONV_BATCH, settings)
        images = np.pad(images.transpose(0, 2, 3, 1), borders)

        def convolve(images, filters):
            return tf.nn.conv2d(images, filters, stride, "SAME" if is_same else "VALID")

        operands = _tensors(tf, settings, [images, filters.transpose(2, 3, 1, 0)])
        super().__init__(tf, settings, device, convolve, operands)

    def error(self):
        images, filters, result = self._arrays(*self._operands, self._result)
        within = slice(self._border, images.shape[1] - self._border)
        images = images[:, within, within].transpose(0, 3, 1, 2)
        return convolution_error(self._name, images, filters.transpose(3, 2, 0, 1), result.transpose(0, 3, 1, 2))


class Launch(TensorflowLimit):

    def __init__(self, tf, name, settings, device):
        super().__init__(tf, settings, device, tf.add, _tensors(tf, settings, np.ones((2, 1), np.float32)))
        self.step = self._add_and_wait

    def _add_and_wait(self):
        TensorflowLimit.step(self)
        self.synchronize()

    def error(self):
        return relative_error(*self._arrays(self._result), [2.0])


class Jpeg(TensorflowLimit):

    tolerance = JPEG_LOSS

    def __init__(self, tf, name, settings, device):
        if device.startswith("GPU"):
            raise Unsupported("TensorFlow decodes JPEG on the CPU; choose --device cpu")
        if settings["compile_mode"] == "xla":
            raise Unsupported("XLA has no JPEG decoder; choose another compile mode")
        self._pictures = photographs(settings["seed"])
        files = [tf.io.encode_jpeg(picture, quality=JPEG_QUALITY) for picture in self._pictures]
        self._file_bytes = sum(len(file.numpy()) for file in files) // len(files)
        super().__init__(tf, settings, device, lambda *files: [tf.io.decode_jpeg(file) for file in files], files)

    def error(self):
        return photographs_error([picture.numpy() for picture in self._result], self._pictures)

    def facts(self):
        """``file_bytes``: mean size of the files."""
        return {"file_bytes": self._file_bytes}


KINDS = {"matmul": Matmul, "conv2d": Convolution, "launch": Launch, "jpeg": Jpeg}
LACKING = {
    **dict.fromkeys(("copy", "triad"), "TensorFlow cannot write into an existing array"),
    **dict.fromkeys(("host", "device"), "TensorFlow does not let the user choose pinned or pageable memory"),
    "disk": "TensorFlow gives a file's content as a new string only",
    "all": "all-reduce is measured through gloo, which TensorFlow lacks",
}
