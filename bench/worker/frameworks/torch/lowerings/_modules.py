"""The modules that torch.nn lacks."""

import functools
from types import SimpleNamespace

# Of parameters of recurrent layers, in torch.nn.
_RECURRENT_NAMES = {
    "weight_input": "weight_ih_l0", "weight_hidden": "weight_hh_l0", "bias": "bias_ih_l0", "bias_hidden": "bias_hh_l0",
}


@functools.lru_cache(maxsize=1)
def modules():
    """The classes are created on demand, since torch is imported on demand."""
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
            # An attribute of the instance, since one that first appears on the class makes torch.compile compile again.
            self.mask = None

        def forward(self, x):
            return super().forward(x) if self.mask is None else x * self.mask.to(x.dtype)

    class Recurrent(nn.Module):
        """An nn.LSTM, nn.GRU or nn.RNN: every hidden state, and with ``gives_final`` the states after the last step.

        With ``has_one_bias`` the second one is 0 and not trained: both would get the same gradient, so that their sum
        learned twice as fast.
        """

        def __init__(self, recurrent, has_one_bias, gives_final):
            super().__init__()
            self.recurrent, self.gives_final = recurrent, gives_final
            self.is_lstm = isinstance(recurrent, nn.LSTM)
            for name, parameter in recurrent.named_parameters():
                if has_one_bias and name.startswith("bias_hh"):
                    nn.init.zeros_(parameter).requires_grad_(False)

        def forward(self, x, *first):
            first = [state.transpose(0, 1).contiguous() for state in first]
            states = () if not first else (tuple(first),) if self.is_lstm else (first[0],)
            output, final = self.recurrent(x, *states)
            if not self.gives_final:
                return output
            return (output, *(state.transpose(0, 1) for state in (final if self.is_lstm else (final,))))

        def __getattr__(self, name):
            """Parameters by their name in the graph."""
            stem = name[:-len("_reverse")] if name.endswith("_reverse") else name
            if stem in _RECURRENT_NAMES:
                return getattr(self.recurrent, _RECURRENT_NAMES[stem] + name[len(stem):])
            return super().__getattr__(name)

    class ResetBeforeGru(nn.Module):
        """Step by step, since nn.GRU resets after its product only."""

        def __init__(self, features, hidden, directions, gives_final):
            super().__init__()
            self.hidden, self.suffixes, self.gives_final = hidden, ("", "_reverse")[:directions], gives_final
            for suffix in self.suffixes:
                for name, shape in (("weight_input", (3 * hidden, features)), ("weight_hidden", (3 * hidden, hidden)),
                                    ("bias", (3 * hidden,))):
                    setattr(self, name + suffix, nn.Parameter(torch.empty(shape)))

        def forward(self, x, first=None):
            outputs, finals = zip(*(
                self.direction(x, None if first is None else first[:, index], suffix)
                for index, suffix in enumerate(self.suffixes)
            ))
            sequence = torch.cat(outputs, -1)
            return (sequence, torch.stack(finals, 1)) if self.gives_final else sequence

        def direction(self, x, state, suffix):
            """(every hidden state, the last one) of one direction."""
            weights = [getattr(self, name + suffix) for name in ("weight_input", "weight_hidden", "bias")]
            sums = nn.functional.linear(x, weights[0], weights[2])
            of_gates, of_new = weights[1].split([2 * self.hidden, self.hidden])
            state = sums.new_zeros(len(x), self.hidden) if state is None else state
            states = []
            for of_step in (sums.flip(1) if suffix else sums).unbind(1):
                gates, new = of_step.split([2 * self.hidden, self.hidden], -1)
                reset, kept = (gates + nn.functional.linear(state, of_gates)).sigmoid().chunk(2, -1)
                new = (new + nn.functional.linear(reset * state, of_new)).tanh()
                state = (1 - kept) * new + kept * state
                states.append(state)
            output = torch.stack(states, 1)
            return (output.flip(1) if suffix else output), state

    class RmsNorm(nn.Module):
        """nn.RMSNorm where PyTorch has none yet."""

        def __init__(self, features, eps):
            super().__init__()
            self.weight, self.eps = nn.Parameter(torch.ones(features)), eps

        def forward(self, x):
            return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.eps) * self.weight

    class Gather(nn.Module):
        """Entries of one axis; the indices move to the device with the network, and are not weights."""

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

    class EmbeddingBag(nn.EmbeddingBag):
        """Of tokens with any number of axes, of which the last is the bag."""

        def forward(self, tokens):
            found = super().forward(tokens.reshape(-1, tokens.shape[-1]))
            return found.reshape(*tokens.shape[:-1], found.shape[-1])

    class Rotary(nn.Module):
        """Pairs of features turned; the angles are kept, as in every implementation."""

        def __init__(self, cos, sin, is_interleaved):
            super().__init__()
            self.is_interleaved = is_interleaved
            for name, values in (("cos", cos), ("sin", sin)):
                self.register_buffer(name, torch.tensor(values), persistent=False)

        def forward(self, x):
            first, second = (x[..., ::2], x[..., 1::2]) if self.is_interleaved else x.chunk(2, -1)
            turned = first * self.cos - second * self.sin, second * self.cos + first * self.sin
            return torch.stack(turned, -1).flatten(-2) if self.is_interleaved else torch.cat(turned, -1)

    class Resampled(nn.Module):
        """Images times a matrix along each axis."""

        def __init__(self, matrices):
            super().__init__()
            for name, matrix in zip(("rows", "columns"), matrices):
                self.register_buffer(name, torch.tensor(matrix), persistent=False)

        def forward(self, x):
            return self.rows.to(x.dtype) @ x @ self.columns.to(x.dtype).t()

    class AsFloat(nn.Module):
        """The result of ``function``, in the format of the network's weights."""

        def __init__(self, function=None):
            super().__init__()
            self.function = function
            self.register_buffer("like", torch.empty(0), persistent=False)

        def forward(self, x):
            return (x if self.function is None else self.function(x)).to(self.like.dtype)

    class ParameterValue(nn.Module):
        """A parameter as a value; a buffer if it is not trained."""

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
        all outputs, that of training what the loss takes, and without a gradient what is carried to the next step.
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
            if len(results) == 1:
                return values[results[0]]
            first, *others = [values[i] for i in results]
            return (first, *([each.detach() for each in others] if self.training else others))

    return SimpleNamespace(
        Apply=Apply, Dropout=Dropout, Recurrent=Recurrent, ResetBeforeGru=ResetBeforeGru, RmsNorm=RmsNorm,
        Gather=Gather, Chosen=Chosen, Resampled=Resampled, Rotary=Rotary, EmbeddingBag=EmbeddingBag,
        AsFloat=AsFloat, ParameterValue=ParameterValue,
        Network=Network,
    )
