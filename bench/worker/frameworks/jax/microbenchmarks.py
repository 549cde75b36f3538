"""JAX: single operations of jax.lax, each compiled by XLA."""

import numpy as np

from ...devices import is_host
from ...microbenchmarks import CONV_BATCH, CONVOLUTIONS, Prepared
from .. import Unsupported
from .._image_layouts import inverse
from ..numpy.microbenchmarks import convolution_error, images_and_filters, matrices, product_error, relative_error
from . import adapter

PRECISIONS = ("fp32", "tf32", "fp64", "bf16", "fp16")

DTYPES = {"fp32": "float32", "tf32": "float32", "fp64": "float64", "bf16": "bfloat16", "fp16": "float16"}


def prepare(name, settings):
    """The limit on its device; raises Unsupported for what JAX lacks, or lacks on that device."""
    import jax

    kind = name.partition("_")[0]
    if kind not in KINDS:
        raise Unsupported(f"{LACKING[kind]}; choose another framework")
    if settings["precision"] == "tf32" and is_host(settings["device"]):
        raise Unsupported("tf32 is a format of NVIDIA's GPUs; name one with --device cuda:0")
    jax.config.update("jax_enable_x64", settings["precision"] == "fp64")
    if is_host(settings["device"]):
        device = adapter.cpu_device(jax)
    else:
        device = adapter.cuda_device(jax, settings["device"], settings["precision"])
    return KINDS[kind](jax, name, settings, device)


class JaxLimit(Prepared):
    """A compiled function and its operands on a device."""

    def __init__(self, jax, settings, device, function, arrays):
        self._jax = jax
        self._device = device
        self._function = jax.jit(function)
        dtype = jax.numpy.dtype(DTYPES[settings["precision"]])
        self._operands = [jax.device_put(np.asarray(array).astype(dtype), device) for array in arrays]
        self._results = []           # results since the last synchronisation, which may finish in any order

    def step(self):
        self._results.append(self._function(*self._operands))

    def synchronize(self):
        self._jax.block_until_ready(self._results)
        del self._results[:-1]

    def peak_memory_bytes(self):
        return None if self._device.platform == "cpu" else self._device.memory_stats()["peak_bytes_in_use"]

    def _arrays(self):
        """The operands and the last result, at least of fp32."""
        arrays = [np.asarray(array) for array in [*self._operands, self._results[-1]]]
        return [array if array.dtype == np.float64 else array.astype(np.float32) for array in arrays]


class Matmul(JaxLimit):

    def __init__(self, jax, name, settings, device):
        super().__init__(jax, settings, device, jax.numpy.matmul, matrices(name, settings))

    def error(self):
        return product_error(*self._arrays())


class Convolution(JaxLimit):

    def __init__(self, jax, name, settings, device):
        self._name = name
        *_, stride, padding = CONVOLUTIONS[name]
        is_last = settings["layout"] == "channels_last"
        self._orders = ((0, 2, 3, 1), (2, 3, 1, 0)) if is_last else ((0, 1, 2, 3), (0, 1, 2, 3))
        dimensions = ("NHWC", "HWIO", "NHWC") if is_last else ("NCHW", "OIHW", "NCHW")

        def convolve(images, filters):
            return jax.lax.conv_general_dilated(
                images, filters, (stride, stride), [(padding, padding)] * 2, dimension_numbers=dimensions)

        arrays = [
            array.transpose(order)
            for array, order in zip(images_and_filters(name, CONV_BATCH, settings), self._orders)
        ]
        super().__init__(jax, settings, device, convolve, arrays)

    def error(self):
        images, filters = self._orders
        arrays = zip(self._arrays(), (images, filters, images))
        return convolution_error(self._name, *(array.transpose(inverse(order)) for array, order in arrays))


class Launch(JaxLimit):

    def __init__(self, jax, name, settings, device):
        super().__init__(jax, settings, device, jax.numpy.add, np.ones((2, 1)))

    def step(self):
        self._results = [self._function(*self._operands).block_until_ready()]

    def error(self):
        return relative_error(self._arrays()[-1], [2.0])


KINDS = {"matmul": Matmul, "conv2d": Convolution, "launch": Launch}
LACKING = {
    **dict.fromkeys(("copy", "triad"), "JAX cannot write into an existing array"),
    **dict.fromkeys(("host", "device"), "JAX does not let the user choose pinned or pageable memory"),
    "disk": "JAX reads no files",
    "jpeg": "JAX decodes no JPEG",
    "all": "all-reduce is measured through gloo, which JAX lacks",
}
