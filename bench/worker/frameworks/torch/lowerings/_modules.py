"""The modules that torch.nn lacks."""

import functools
from types import SimpleNamespace


@functools.lru_cache(maxsize=1)
def modules():
    """Made on demand, since torch is imported on demand."""
    import torch
    from torch import nn

    class Apply(nn.Module):
        """A function of tensors as a layer."""

        def __init__(self, function):
            super().__init__()
            self.function = function

        def forward(self, *inputs):
            return self.function(*inputs)

    class Dropout(nn.Dropout):
        """PyTorch's own dropout, unless a proof gives a ``mask`` to multiply with."""

        def __init__(self, rate):
            super().__init__(rate)
            # Of the instance, not the class: its first appearance would make torch.compile compile again.
            self.mask = None

        def forward(self, x):
            return super().forward(x) if self.mask is None else x * self.mask.to(x.dtype)

    class Lstm(nn.Module):
        """Every hidden state of an nn.LSTM with one bias: its second one is 0 and not trained.

        Both would get the same gradient, so that their sum learned twice as fast.
        """

        def __init__(self, features, hidden):
            super().__init__()
            self.lstm = nn.LSTM(features, hidden, batch_first=True)
            nn.init.zeros_(self.lstm.bias_hh_l0).requires_grad_(False)

        def forward(self, x):
            return self.lstm(x)[0]

        @property
        def weight_input(self):
            return self.lstm.weight_ih_l0

        @property
        def weight_hidden(self):
            return self.lstm.weight_hh_l0

        @property
        def bias(self):
            return self.lstm.bias_ih_l0

    class RmsNorm(nn.Module):
        """nn.RMSNorm where PyTorch has none yet."""

        def __init__(self, features, eps):
            super().__init__()
            self.weight, self.eps = nn.Parameter(torch.ones(features)), eps

        def forward(self, x):
            return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.eps) * self.weight

    class Gather(nn.Module):
        """Entries of one axis; the indices go to the device with the network, and are no weight."""

        def __init__(self, axis, indices):
            super().__init__()
            self.axis = axis
            self.register_buffer("indices", torch.tensor(indices), persistent=False)

        def forward(self, x):
            return x.index_select(self.axis, self.indices)

    class Chosen(nn.Module):
        """Entries of several axes, by their indices along each; None leaves an axis as it is."""

        def __init__(self, indices):
            super().__init__()
            self.chosen = nn.ModuleList(Gather(axis, each) for axis, each in enumerate(indices) if each is not None)

        def forward(self, x):
            for choose in self.chosen:
                x = choose(x)
            return x

    class AsFloat(nn.Module):
        """What ``function`` gives, in the format of the network's weights."""

        def __init__(self, function=None):
            super().__init__()
            self.function = function
            self.register_buffer("like", torch.empty(0), persistent=False)

        def forward(self, x):
            return (x if self.function is None else self.function(x)).to(self.like.dtype)

    class ParameterValue(nn.Module):
        """A parameter, or a buffer where it is not trained, as a value."""

        def __init__(self, shape, is_trainable):
            super().__init__()
            if is_trainable:
                self.value = nn.Parameter(torch.empty(shape))
            else:
                self.register_buffer("value", torch.empty(shape))

        def forward(self):
            return self.value

    class Network(nn.Module):
        """Runs layers by a wiring, (names of outputs, of inputs, of those read last here) of each layer.

        Each wiring has the names of its results as well, and None for a layer that is not run: that of inference gives
        all outputs, that of training only what the loss takes.
        """

        def __init__(self, layers, inputs, inference, training):
            super().__init__()
            self.layers = nn.ModuleList(layers)
            self.inputs = inputs
            self.inference, self.for_loss = inference, training

        def forward(self, x):
            wiring, results = self.for_loss if self.training else self.inference
            values = dict(zip(self.inputs, x if isinstance(x, tuple) else (x,)))
            for layer, wires in zip(self.layers, wiring):
                if wires is None:
                    continue
                outputs, inputs, finished = wires
                result = layer(*[values[i] for i in inputs])
                if isinstance(result, tuple):
                    values.update(zip(outputs, result))
                else:
                    values[outputs[0]] = result
                for i in finished:
                    del values[i]
            return values[results[0]] if len(results) == 1 else tuple([values[i] for i in results])

    return SimpleNamespace(
        Apply=Apply, Dropout=Dropout, Lstm=Lstm, RmsNorm=RmsNorm, Gather=Gather, Chosen=Chosen, AsFloat=AsFloat,
        ParameterValue=ParameterValue, Network=Network,
    )
