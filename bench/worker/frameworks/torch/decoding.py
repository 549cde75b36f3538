"""PyTorch: text token by token, with keys and values in memory of a fixed size that is written in place."""

from .. import Decoder, Unsupported
from . import adapter, lowerings
from .adapter import TorchPrepared, _array, _compiled
from .lowerings._modules import modules
from .lowerings.attention import attend


def prepare(graph, parts, weights, settings):
    """The model on its device; raises Unsupported where PyTorch cannot do what is asked."""
    if settings["precision"] == "int8":
        raise Unsupported("the torch adapter generates no text in int8: the layers of the prompt and of single tokens "
                          "would have to share quantised weights; use bf16_pure, bf16 or fp32")

    def kind(torch, graph, weights, settings):
        return TorchDecoder(torch, parts, weights, settings)

    return adapter.prepare(graph, weights, settings, kind)


class TorchDecoder(Decoder, TorchPrepared):
    """Two networks that share weights and caches: one for prompts, one for single tokens."""

    def __init__(self, torch, parts, weights, settings):
        self._caches = {}                # by layer
        self._place = Place(torch, is_counted_on_device=settings["compile_mode"] == "compiled")
        TorchPrepared.__init__(self, torch, parts["prefill"], weights, settings)
        network, _ = self._lowered(parts["step"], None, known=self._layers)
        network = network.to(self._device).train(False)
        self._run_step = network if self._is_eager else _compiled(torch, network, is_first=False)
        self._tokens = []

    def _lowered(self, graph, weights, known=None):
        more = {"cached_attention": self._cached_attention, "positions": self._positions}
        return lowerings.lowered(graph, weights, more, known)

    def _cached_attention(self, nn, layer):
        cache = self._caches.setdefault(layer["name"], Cache(self._torch, layer, self._place))
        return modules().Apply(cache.attend)

    def _positions(self, nn, layer):
        a = layer["attributes"]
        return modules().Apply(lambda x: self._place.rows(x, a["axis"], a["start"], a["count"]))

    def prefill(self):
        prompt, _ = next(self._batches)
        self._place.reset(self._device)
        self._tokens = []
        self._choose(self._run, prompt)

    def advance(self):
        self._choose(self._run_step, self._tokens[-1])

    def _choose(self, network, tokens):
        with self._torch.inference_mode(), self._autocast():
            self._last = network(tokens)[:, -1]
            self._tokens.append(self._last.argmax(-1, keepdim=True))
            self._place.advance(tokens.shape[1])

    def load(self, batches):
        TorchPrepared.load(self, [(prompt, prompt[:1, :1]) for prompt, _ in batches])

    def tokens(self):
        return self._torch.cat(self._tokens, 1).cpu().numpy()

    def choose(self, tokens):
        self._tokens[-1] = self._tensor(tokens[:, None])

    def result(self):
        return _array(self._last)


class Place:
    """How many tokens the caches hold: on the host, or on the device for a program that is the same for each token."""

    def __init__(self, torch, is_counted_on_device):
        self._torch, self.is_counted_on_device = torch, is_counted_on_device
        self.is_first = True             # nothing is in the caches
        self.before = 0

    def reset(self, device):
        self.is_first = True
        if not self.is_counted_on_device:
            self.before = 0
        elif isinstance(self.before, int):
            self.before = self._torch.zeros(1, dtype=self._torch.int64, device=device)
        else:
            self.before.zero_()

    def advance(self, tokens):
        self.is_first = False
        self.before += tokens

    def rows(self, value, axis, start, count):
        """Those of a value for the next ``count`` tokens."""
        if self.is_first:
            return value.narrow(axis, start, count)
        if not self.is_counted_on_device:
            return value.narrow(axis, start + self.before, count)
        return value.index_select(axis, start + self.before)     # one token


class Cache:
    """Keys and values of a layer, (batch, heads, capacity, features)."""

    def __init__(self, torch, layer, place):
        self._torch, self._capacity, self._place = torch, layer["attributes"]["capacity"], place
        self._attend = attend(layer)
        self.keys = self.values = None

    def attend(self, query, key, value):
        return self._first(query, key, value) if self._place.is_first else self._next(query, key, value)

    def _first(self, query, key, value):
        """Of a prompt, which fills the cache from its beginning."""
        if self.keys is None or self.keys.shape[0] != key.shape[0]:
            self.keys, self.values = self._room(key), self._room(value)
        self.keys[:, :, :key.shape[2]] = key
        self.values[:, :, :value.shape[2]] = value
        return self._attend(query, key, value, is_causal=True)

    def _next(self, query, key, value):
        """Of one token, which sees all before it."""
        if self._place.is_counted_on_device:
            self.keys.index_copy_(2, self._place.before, key)
            self.values.index_copy_(2, self._place.before, value)
            is_seen = self._torch.arange(self._capacity, device=query.device) <= self._place.before
            return self._attend(query, self.keys, self.values, is_seen[None, None, None])
        end = self._place.before + 1
        self.keys[:, :, end - 1:end] = key
        self.values[:, :, end - 1:end] = value
        return self._attend(query, self.keys[:, :, :end], self.values[:, :, :end])

    def _room(self, like):
        batch, heads, _, features = like.shape
        # Zeros, since what is masked is multiplied by 0, which makes a number of any but infinities.
        return like.new_zeros((batch, heads, self._capacity, features))
