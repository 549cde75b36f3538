"""PyTorch: single operations, eager, into existing outputs; copies to a GPU; gloo's all-reduce."""

import datetime
import functools
import os
import sys
import tempfile

from ...devices import is_host
from ...microbenchmarks import ALL_REDUCE_BYTES, CONV_BATCH, CONVOLUTIONS, TRANSFER_BYTES, Prepared, world_size
from .. import Unsupported
from ..numpy.microbenchmarks import (
    SCALAR,
    convolution_error,
    images_and_filters,
    matrices,
    product_error,
    relative_error,
    vectors,
    vectors_error,
)
from . import adapter

PRECISIONS = ("fp32", "tf32", "fp64", "bf16", "fp16")

PATIENCE = datetime.timedelta(seconds=60)    # of a rank that waits for the others

DTYPES = {"fp32": "float32", "tf32": "float32", "fp64": "float64", "bf16": "bfloat16", "fp16": "float16"}


def prepare(name, settings):
    """The limit on its device; raises Unsupported for what PyTorch lacks, or lacks on that device."""
    import torch

    kind = name.partition("_")[0]
    is_cuda = not is_host(settings["device"])
    if kind not in KINDS:
        raise Unsupported(f"PyTorch has no {LACKING[kind]}; choose another framework")
    if settings["compile_mode"] != "eager":
        raise Unsupported(f"{name} is one operation, which torch.compile would only call; choose eager")
    if settings["precision"] == "tf32" and not is_cuda:
        raise Unsupported("tf32 is a format of NVIDIA's GPUs; name one with --device cuda:0")
    torch.set_num_threads(settings["threads"])
    if is_cuda:
        adapter.start_cuda(torch, settings["device"], settings["precision"])
    return KINDS[kind](torch, name, settings)


class TorchLimit(Prepared):
    """Shared by all: a device, and ``_tensor``, which copies a NumPy array to it."""

    def __init__(self, torch, settings):
        self._torch = torch
        self._device = torch.device(settings["device"])
        self._is_cuda = self._device.type == "cuda"
        self._dtype = getattr(torch, DTYPES[settings["precision"]])

    def _tensor(self, array):
        # A copy: NumPy requests large pages from the system, which are faster, and PyTorch does not.
        return self._torch.from_numpy(array).to(self._device, self._dtype, copy=True)

    def synchronize(self):
        if self._is_cuda:
            self._torch.cuda.synchronize(self._device)

    def device_timer(self):
        return adapter.CudaTimer(self._torch) if self._is_cuda else None

    def peak_memory_bytes(self):
        return self._torch.cuda.max_memory_allocated(self._device) if self._is_cuda else None


def _array(tensor):
    """As NumPy, which has no bf16."""
    return (tensor if tensor.element_size() == 8 else tensor.float()).cpu().numpy()


class Matmul(TorchLimit):

    def __init__(self, torch, name, settings):
        super().__init__(torch, settings)
        self._factors = [self._tensor(matrix) for matrix in matrices(name, settings)]
        self._product = torch.empty_like(self._factors[0])
        self.step = functools.partial(torch.matmul, *self._factors, out=self._product)

    def error(self):
        return product_error(*map(_array, self._factors), _array(self._product))


class Convolution(TorchLimit):
    """Its output is new each time, since PyTorch has no convolution into a given one."""

    def __init__(self, torch, name, settings):
        super().__init__(torch, settings)
        self._name = name
        layout = torch.channels_last if settings["layout"] == "channels_last" else torch.contiguous_format
        self._operands = [
            self._tensor(array).to(memory_format=layout) for array in images_and_filters(name, CONV_BATCH, settings)]
        *_, stride, padding = CONVOLUTIONS[name]
        self._convolve = functools.partial(
            torch.nn.functional.conv2d, *self._operands, stride=stride, padding=padding)
        self._result = None

    def step(self):
        self._result = self._convolve()

    def error(self):
        return convolution_error(self._name, *map(_array, self._operands), _array(self._result))


class Memory(TorchLimit):

    def __init__(self, torch, name, settings):
        super().__init__(torch, settings)
        self._vectors = [self._tensor(array) for array in vectors(name, settings)]
        target, first, *others = self._vectors
        if others:
            self.step = functools.partial(torch.add, first, others[0], alpha=SCALAR, out=target)
        else:
            self.step = functools.partial(target.copy_, first)

    def error(self):
        return vectors_error(*map(_array, self._vectors))


class Launch(TorchLimit):

    def __init__(self, torch, name, settings):
        super().__init__(torch, settings)
        self._one = torch.ones(1, dtype=self._dtype, device=self._device)
        self._sum = torch.empty_like(self._one)
        self._add = functools.partial(torch.add, self._one, self._one, out=self._sum)
        self.step = self._add_and_wait if self._is_cuda else self._add

    def _add_and_wait(self):
        self._add()
        self.synchronize()

    def device_timer(self):
        return None                  # the host makes the call

    def error(self):
        return relative_error(_array(self._sum), [2.0])


class Transfer(TorchLimit):

    def __init__(self, torch, name, settings):
        super().__init__(torch, settings)
        if not self._is_cuda:
            raise Unsupported(f"{name} copies between the host and a GPU; name one with --device cuda:0")
        is_pinned = name.endswith("pinned")
        host = torch.arange(TRANSFER_BYTES // 4, dtype=torch.int32)
        host = host.pin_memory() if is_pinned else host
        device = torch.empty_like(host, device=self._device)
        self._source, self._target = (host, device) if name.startswith("host") else (device, host)
        device.copy_(host)
        self._target.zero_()
        # A pageable copy goes through a pinned buffer of the driver, so the host takes part in it.
        self.step = functools.partial(self._target.copy_, self._source, non_blocking=is_pinned)

    def error(self):
        return relative_error(self._target.cpu().numpy(), self._source.cpu().numpy())


class AllReduce(TorchLimit):
    """gloo over the loopback device; the other ranks are forks of this process, which end with its process group."""

    has_peers = True
    tolerance = 0.0                  # whole numbers

    def __init__(self, torch, name, settings):
        super().__init__(torch, settings)
        if self._is_cuda:
            raise Unsupported(f"{name} is between processes on the CPU, by gloo; NCCL is not measured yet")
        if not (torch.distributed.is_available() and hasattr(os, "fork")):
            raise Unsupported("this PyTorch is built without torch.distributed, or its system cannot fork")
        self._ranks, self._cores = world_size(name), settings["threads"]
        torch.set_num_threads(max(1, settings["threads"] // self._ranks))
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo0" if sys.platform == "darwin" else "lo")
        meeting = os.path.join(tempfile.mkdtemp(), "meeting")
        for rank in range(1, self._ranks):
            if os.fork() == 0:
                self._work_along(meeting, rank)
        self._join(meeting, 0)
        os.unlink(meeting)
        os.rmdir(os.path.dirname(meeting))

    def _join(self, meeting, rank):
        """Takes part, and checks once that the sum is right; later sums are of zeros, so that none overflows."""
        distributed = self._torch.distributed
        distributed.init_process_group(
            "gloo", init_method="file://" + meeting, rank=rank, world_size=self._ranks, timeout=PATIENCE)
        array = self._torch.full((ALL_REDUCE_BYTES // self._dtype.itemsize,), rank + 1.0, dtype=self._dtype)
        distributed.all_reduce(array)
        self._error = relative_error(_array(array), [self._ranks * (self._ranks + 1) / 2.0])
        array.zero_()
        self.step = functools.partial(distributed.all_reduce, array)

    def _work_along(self, meeting, rank):
        """Takes part until rank 0 has ended; never returns."""
        try:
            self._join(meeting, rank)
            while True:
                self.step()
        finally:
            os._exit(0)

    def error(self):
        return self._error

    def facts(self):
        """``cores`` on which all ranks run together."""
        return {"world_size": self._ranks, "cores": self._cores}


KINDS = {
    "matmul": Matmul, "conv2d": Convolution, "copy": Memory, "triad": Memory, "launch": Launch, "host": Transfer,
    "device": Transfer, "all": AllReduce,
}
LACKING = {"disk": "files", "jpeg": "JPEG decoder of its own"}
