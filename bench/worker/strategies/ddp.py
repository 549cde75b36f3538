"""PyTorch's DistributedDataParallel, with one process per device: gloo on CPUs, NCCL on GPUs.

Gradients are summed in buckets while the backward pass is still running. Running statistics of batch normalisation are
those of rank 0, as by default.
"""

import datetime
import functools
import gc
import os
import sys
import time

from ..devices import is_host
from ..frameworks import Unsupported
from ..frameworks.torch.adapter import TorchPrepared, _array, start_cuda
from . import BUCKET_MB, EACH, GRADIENT_COMPRESSION, all_reduce_bytes, device_of

FRAMEWORKS = ("torch",)
MODES = ("training",)
IS_USUAL = True
PROCESSES = EACH
ANSWERS_APART = False
SUMS_GRADIENTS = True
REFUSES = {}

SETTLING_STEPS = 2           # after the first backward pass buckets are rebuilt in the order of the gradients


def sent_bytes(gradient_bytes, world_size):
    return all_reduce_bytes(gradient_bytes, world_size)


def prepare(adapter, graph, weights, settings, world):
    own = met(settings, world)
    return adapter.prepare(graph, weights, own, functools.partial(DdpPrepared, options=world["options"]))


def met(settings, world):
    """Creates the process group; returns the settings of this process. Raises Unsupported if that is not possible.

    Every rank draws its own dropout.
    """
    import torch

    if not torch.distributed.is_available():
        raise Unsupported(f"this PyTorch {torch.__version__} is built without torch.distributed")
    device = device_of(settings["device"], world)
    if not is_host(device):
        start_cuda(torch, device, settings["precision"])     # so that a missing device is reported here
        if not torch.distributed.is_nccl_available():
            raise Unsupported(f"this PyTorch {torch.__version__} is built without NCCL")
    if world["address"] == "127.0.0.1":
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo0" if sys.platform == "darwin" else "lo")
    torch.distributed.init_process_group(
        "gloo" if is_host(device) else "nccl", init_method=f"tcp://{world['address']}:{world['ports'][1]}",
        rank=world["rank"], world_size=world["processes"], timeout=datetime.timedelta(seconds=world["patience_s"]),
    )
    return dict(settings, device=device, seed=settings["seed"] + world["rank"])


class DdpPrepared(TorchPrepared):
    """A network whose backward pass computes the mean gradient of all ranks."""

    def __init__(self, torch, graph, weights, settings, options):
        super().__init__(torch, graph, weights, settings)
        self._buckets = {"bucket_cap_mb": float(options[BUCKET_MB])} if BUCKET_MB in options else {}
        self._is_compressed = GRADIENT_COMPRESSION in options
        self._alone = self._run          # the network of this rank, compiled or not
        self._run = self._shared()
        if self._is_compressed:
            from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import fp16_compress_hook

            self._run.register_comm_hook(None, fp16_compress_hook)

    def _shared(self):
        devices = [self._device] if self._is_cuda else None
        return self._torch.nn.parallel.DistributedDataParallel(self._alone, device_ids=devices, **self._buckets)

    def _infer(self, x, y=None):
        with self._torch.inference_mode(), self._autocast():
            return self._alone(x)        # inference shares nothing

    def gradients(self, x, y, masks):
        with self._proof(is_training=True, masks=masks), self._kept_statistics():
            while True:
                self._optimizer.zero_grad(set_to_none=True)
                loss = self._loss(self._inputs(x), self._values(y))
                self._scaled(loss).backward()        # torch.autograd.grad would not sum over ranks
                gradients = {key: tensor.grad for key, tensor in self._trainable.items()}
                scale = 1 if self._scaler is None else self._scaler.get_scale()
                if scale <= 1 or all(gradient.isfinite().all() for gradient in gradients.values()):
                    break
                self._scaler.update(scale / 2)
        return loss.item(), {key: _array(gradient) / scale for key, gradient in gradients.items()}

    def communication(self, steps):
        """See the base class; measured by a communication hook that does the same as PyTorch in the timed steps."""
        if self._is_cuda:
            raise Unsupported("the host's clock cannot measure how long NCCL's kernels take")
        self._run = None
        gc.collect()                     # the reducer removes its hooks from the parameters when it is deleted
        watch = Reductions(self._torch.distributed, self._torch.float16 if self._is_compressed else None)
        self._run = self._shared()
        self._run.register_comm_hook(watch, Reductions.reduce)
        for _ in range(SETTLING_STEPS):
            self.step()
        watch.steps.clear()
        step_times_s = []
        for _ in range(steps):
            watch.begin_step()
            start = time.perf_counter()
            self.step()
            step_times_s.append(time.perf_counter() - start)
        return dict(watch.plain(), step_times_s=step_times_s)


class Reductions:
    """When each bucket of gradients was submitted, and when its mean over all ranks was available."""

    def __init__(self, distributed, sent_as=None):
        self._distributed = distributed
        self._sent_as = sent_as          # dtype; None: unchanged
        self.steps = []                  # per step: [(begin_s, end_s, bytes)]
        self.begin_step()

    def begin_step(self):
        self.steps.append([])

    def reduce(self, bucket):
        """The hook: torch.distributed's allreduce_hook, or fp16_compress_hook, with two readings of the clock."""
        gradients = bucket.buffer()
        own = self.steps[-1]
        begin_s = time.perf_counter()
        sent = gradients if self._sent_as is None else gradients.to(self._sent_as)
        sent.div_(self._distributed.get_world_size())
        work = self._distributed.all_reduce(sent, async_op=True)

        def finished(future):
            means = future.value()[0] if self._sent_as is None else gradients.copy_(future.value()[0])
            own.append((begin_s, time.perf_counter(), sent.numel() * sent.element_size()))
            return means

        return work.get_future().then(finished)

    def plain(self):
        """The mean of the steps."""
        count = float(len(self.steps))
        return {
            "time_s": sum(_covered_s(step) for step in self.steps) / count,
            # The last bucket is submitted when the backward pass has ended.
            "exposed_s": sum(max(end for _, end, _ in step) - max(begin for begin, _, _ in step)
                             for step in self.steps) / count,
            "buckets": max(len(step) for step in self.steps),
            "reduced_bytes": max(sum(size for _, _, size in step) for step in self.steps),
        }


def _covered_s(spans):
    """Seconds in which at least one of the spans ran."""
    covered_s, until = 0.0, 0.0
    for begin, end, _ in sorted(spans):
        covered_s += max(0.0, end - max(begin, until))
        until = max(until, end)
    return covered_s
