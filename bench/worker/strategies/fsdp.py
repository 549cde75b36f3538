"""PyTorch's fully_shard (FSDP2), with one process per device, which stores only its share of weights and optimizer.

Each layer with parameters is gathered before it runs, forward and backward, and its gradients are scattered; otherwise
no device holds the whole network. Running statistics of batch normalisation belong to each rank.
"""

from ..frameworks import Unsupported
from ..frameworks.torch.adapter import OPTIMIZERS, TorchPrepared, _array
from ..frameworks.torch.lowerings import tensors
from ..graphs import shared_keys
from . import BUCKET_MB, EACH, GRADIENT_COMPRESSION
from .ddp import met

FRAMEWORKS = ("torch",)
MODES = ("training",)
IS_USUAL = False
PROCESSES = EACH
ANSWERS_APART = False
SUMS_GRADIENTS = True
REFUSES = {
    BUCKET_MB: "fully_shard sends the gradients of a layer as one message and has no size for it",
    GRADIENT_COMPRESSION: "fully_shard compresses only by its mixed-precision policy, which is not supported; use ddp",
}


def sent_bytes(gradient_bytes, world_size):
    """Bytes that each device must send: weights are gathered twice and gradients scattered once, each (N - 1) / N."""
    return 3 * (world_size - 1) * gradient_bytes // world_size


def prepare(adapter, graph, weights, settings, world):
    _fully_shard()
    if settings["compile_mode"] != "eager":
        raise Unsupported("fully_shard is supported in eager mode only; it was never tried compiled")
    if settings["precision"] != "fp32":
        raise Unsupported(f"fully_shard is supported in fp32 only, not in {settings['precision']}")
    if any(layer["op"] in ("lstm", "gru", "rnn") for layer in graph["layers"]):
        raise Unsupported("nn.LSTM and its kin store their weights in a way that fully_shard cannot divide")
    return adapter.prepare(graph, weights, met(settings, world), FsdpPrepared)


def _fully_shard():
    """PyTorch's fully_shard; raises Unsupported if this PyTorch does not have it."""
    import torch

    try:
        from torch.distributed.fsdp import fully_shard
    except ImportError:
        raise Unsupported(f"fully_shard needs PyTorch 2.6 or newer, this is {torch.__version__}") from None
    return fully_shard


def _of_network(graph):
    """Names of the layers whose parameters others read too: the network gathers them, and keeps them until its end.

    A layer would let its parameter go when it has run, and a process that reads it then crashes.
    """
    shared = shared_keys(graph)
    return {
        layer["name"] for layer in graph["layers"]
        if layer["op"] == "parameter" or any(p["key"] in shared for p in layer["parameters"])
    }


class FsdpPrepared(TorchPrepared):
    """A network whose weights, gradients and moments are divided among the ranks."""

    def __init__(self, torch, graph, weights, settings):
        super().__init__(torch, graph, weights, settings)
        fully_shard = _fully_shard()
        # fully_shard needs contiguous weights; images keep the layout that was asked for.
        self._network.to(memory_format=torch.contiguous_format)
        mesh = torch.distributed.init_device_mesh(self._device.type, (torch.distributed.get_world_size(),))
        of_network = _of_network(graph)
        for name, layer in self._layers.items():
            if name not in of_network and any(True for _ in layer.parameters()):
                fully_shard(layer, mesh=mesh)
        fully_shard(self._network, mesh=mesh)
        self._tensors = tensors(graph, self._layers)
        self._trainable = tensors(graph, self._layers, trainable_only=True)
        optimizer = graph["optimizer"]
        self._optimizer = OPTIMIZERS[optimizer["kind"]](torch.optim, self._trainable.values(), optimizer)

    def _infer(self, x, y=None):
        with self._torch.no_grad():      # weights that are gathered in inference mode could not be trained later
            return self._run(x)

    def gradients(self, x, y, masks):
        with self._proof(is_training=True, masks=masks), self._kept_statistics():
            self._optimizer.zero_grad(set_to_none=True)
            loss = self._loss(self._inputs(x), self._values(y))
            loss.backward()
            gradients = {key: _array(tensor.grad.full_tensor()) for key, tensor in self._trainable.items()}
        return loss.item(), gradients

    def weights(self):
        return {
            key: _array(tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor)
            for key, tensor in self._tensors.items()
        }

    def communication(self, steps):
        raise Unsupported("fully_shard does not state how long it gathers and scatters")
