"""Training steps of several objectives: a network of modules per objective, which share their parameters."""

import contextlib

from ...graphs import objectives, without_objectives
from ...tracing.timeline import Timeline
from .. import Unsupported
from .._objectives import Objectives
from . import lowerings
from .adapter import TorchPrepared, cuda_timeline
from .layer_hooks import LayerHooks


class TorchObjectives(Objectives):
    def __init__(self, torch, graph, weights, settings):
        whole = TorchPrepared(torch, without_objectives(graph), weights, settings)
        super().__init__(whole, [Part(torch, each, whole, settings) for each in objectives(graph)])

    def _next_batch(self):
        return next(self._whole._batches)

    def _take_turn(self, part, x, y):
        return part._update(x, y)

    def forward(self, x):
        answer = super().forward(x)
        for part in self._parts:                 # modules that they share were in inference mode
            part._network.train()
        return answer

    def layer_times(self, steps):
        """As those of TorchPrepared in eager mode; the hooks of each objective are set for its own layers."""
        whole = self._whole
        if not whole._is_eager:
            raise Unsupported("PyTorch times no layers of several objectives in compiled mode yet; use eager")
        timeline = cuda_timeline(whole._torch) if whole._is_cuda else Timeline()
        with contextlib.ExitStack() as stack:
            watched = [stack.enter_context(part.watched(timeline)) for part in self._parts]
            for _ in range(steps):
                timeline.step(self.step, self.synchronize)
                for hooks in watched:
                    hooks.forget_step()
        return timeline.plain()


class Part(TorchPrepared):
    """The network of one objective, made of the modules of the whole one."""

    def __init__(self, torch, graph, whole, settings):
        self._modules_of_whole = whole._layers
        super().__init__(torch, graph, None, settings)
        self._frozen = [tensor for key, tensor in whole._trainable.items() if key not in self._trainable]

    def _lowered(self, graph, weights):
        return lowerings.lowered(graph, weights, known=self._modules_of_whole)

    def _losses(self, x, y):
        """As of any network, with no gradient of the parameters that other objectives train."""
        for tensor in self._frozen:
            tensor.requires_grad_(False)
        for tensor in self._trainable.values():
            tensor.requires_grad_(True)
        return super()._losses(x, y)

    def _proof(self, is_training, masks=None):
        own = {name: mask for name, mask in (masks or {}).items() if name in self._dropouts}
        return super()._proof(is_training, own)

    @contextlib.contextmanager
    def watched(self, timeline):
        """Hooks, while they are set, that book the time of its layers, loss and optimizer."""
        loss_function = self._loss_function
        layers = {name: self._layers[name] for name in self._running_layers}
        with LayerHooks(timeline, layers, self._optimizer, self._with_gradient) as hooks:
            self._loss_function = hooks.watched_loss(loss_function)
            try:
                yield hooks
            finally:
                self._loss_function = loss_function
