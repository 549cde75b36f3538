"""Claim: the memory of a step that follows from a network's definition is what PyTorch allocates.

Runs one step of each network in eager PyTorch on a CPU, follows every tensor from its allocation to its release, and
compares the peak with ``bench.ir.memory``. Updates take all parameters at once, as they do on a GPU. Workspaces inside
kernels and what allocators reserve are not included; a GPU needs them in addition.

Run: .venv/bin/python -m evidence.memory_estimates [--model resnet50,gpt2] [--batch 1,4]
Ends with exit code 1 if the error of an estimate is above 10 %.
"""

from __future__ import annotations

import argparse
import sys
import weakref
from typing import Any

from rigmark.bench import models
from rigmark.bench.enums import Mode
from rigmark.bench.ir import memory, weights
from rigmark.bench.worker.frameworks.torch import adapter

TOLERANCE = 0.10
MIB = 2**20
KNOWN = {"lstm": "PyTorch's LSTM on a CPU keeps what the fused one of a GPU does not"}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=",".join(models.NAMES))
    parser.add_argument("--batch", default="1,4")
    options = parser.parse_args()
    print(f"{'model':<18} {'mode':<10} {'batch':>5} {'allocated MiB':>14} {'estimated MiB':>14} {'ratio':>7}")
    is_off = False
    for model in options.model.split(","):
        for mode in Mode.INFERENCE, Mode.TRAINING:
            for batch in map(int, options.batch.split(",")):
                allocated = allocated_bytes(model, mode, batch)
                estimated = memory.peak(models.build(model), batch=batch, training=mode is Mode.TRAINING).total
                ratio = estimated / allocated
                is_off |= abs(ratio - 1) > TOLERANCE and model not in KNOWN
                print(f"{model:<18} {mode:<10} {batch:>5} {allocated / MIB:>14.1f} {estimated / MIB:>14.1f} "
                      f"{ratio:>7.3f}  {KNOWN.get(model, '')}".rstrip(), flush=True)
    return int(is_off)


def allocated_bytes(model: str, mode: Mode, batch: int) -> int:
    """Peak bytes of all tensors while the third step runs."""
    graph = models.build(model)
    settings = {
        "seed": 1, "threads": 2, "device": "cpu", "precision": "fp32", "compile_mode": "eager", "layout": "nchw",
        "mode": mode,
    }
    with tracker() as tensors:
        prepared = adapter.prepare(graph.plain(), weights.initial_weights(graph, 1), settings)
        for group in prepared._optimizer.param_groups:
            group["foreach"] = True
        prepared.load([weights.synthetic_batch(graph, batch, 1)])
        prepared.step()
        prepared.step()
        tensors.peak = tensors.now
        prepared.step()
    return int(tensors.peak)


def tracker() -> Any:
    """Counts the bytes of all tensors that live; ``now`` and ``peak``."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_leaves

    class Tracker(TorchDispatchMode):
        def __init__(self) -> None:
            super().__init__()
            self._sizes: dict[int, int] = {}         # by address
            self.now = self.peak = 0

        def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            result = function(*args, **(kwargs or {}))
            for each in tree_leaves(result):
                if isinstance(each, torch.Tensor):
                    self._see(each.untyped_storage())
            self.peak = max(self.peak, self.now)
            return result

        def _see(self, storage: Any) -> None:
            address, size = storage.data_ptr(), storage.nbytes()
            if size and address not in self._sizes:
                self._sizes[address] = size
                self.now += size
                weakref.finalize(storage, self._released, address)

        def _released(self, address: int) -> None:
            self.now -= self._sizes.pop(address, 0)

    return Tracker()


if __name__ == "__main__":
    sys.exit(main())
