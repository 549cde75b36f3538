"""TensorFlow: text token by token, in one function for prompts and one for single tokens, with caches as variables."""

import numpy as np

from .. import Decoder, refusals, widened
from . import adapter, lowerings
from .layers import formats, lowered


def prepare(graph, parts, weights, settings):
    """The model on its device; raises Unsupported where TensorFlow cannot do what is asked."""
    def kind(tf, graph, weights, settings, device):
        return TensorflowDecoder(tf, parts, weights, settings, device)

    return adapter.prepare(graph, weights, settings, kind)


class TensorflowDecoder(Decoder, adapter.TensorflowPrepared):
    """Two functions that share weights and caches, variables (batch, heads, capacity, features)."""

    def __init__(self, tf, parts, weights, settings, device):
        adapter.TensorflowPrepared.__init__(self, tf, parts["prefill"], weights, settings, device)
        self._layers_of_step = self._lowered(parts["step"], settings)
        self._computed = formats(tf, settings["precision"])[1]
        self._cached = [layer for layer in parts["step"]["layers"] if layer["op"] == "cached_attention"]
        self._caches = {}
        self._first, self._next = self._compiled(self._of_prompt), self._compiled(self._of_token)
        self._before = 0                 # tokens in the caches
        self._tokens = []

    def _lowered(self, graph, settings):
        more = {"cached_attention": _cached_attention, "positions": _positions}
        return lowered(self._tf, graph, self._plan, self._variables, settings, self._device, more)

    def load(self, batches):
        adapter.TensorflowPrepared.load(self, [(prompt, prompt[:1, :1]) for prompt, _ in batches])
        samples = len(batches[0][0])
        with self._tf.device(self._device):
            self._caches = {
                layer["name"]: [self._room(samples, shape, layer) for shape in layer["input_shapes"][1:]]
                for layer in self._cached
            }

    def _room(self, samples, shape, layer):
        heads, _, features = shape[1:]
        size = [samples, heads, layer["attributes"]["capacity"], features]
        return self._tf.Variable(self._tf.zeros(size, self._computed), trainable=False)

    def prefill(self):
        prompt, _ = next(self._batches)
        self._before, self._tokens = 0, []
        with refusals(adapter._MISSING_KERNEL):
            self._keep(self._first(prompt), prompt.shape[1])

    def advance(self):
        self._keep(self._next(self._tokens[-1], self._tf.constant(self._before)), 1)

    def _keep(self, answer, tokens):
        token, self._last = answer
        self._tokens.append(token)
        self._before += tokens

    def _of_prompt(self, tokens):
        return self._chosen(self._layers, tokens, 0)

    def _of_token(self, token, before):
        return self._chosen(self._layers_of_step, token, before)

    def _chosen(self, layers, tokens, before):
        """(the best token after those, its scores)"""
        with self._tf.device(self._device):
            run = DecodingPass(self._caches, before, self._compile_mode == "xla")
            scores = self._output_of(layers, run, tokens)[:, -1]
            return self._tf.argmax(scores, -1)[:, None], scores

    def tokens(self):
        return np.concatenate([token.numpy() for token in self._tokens], axis=1)

    def choose(self, tokens):
        self._tokens[-1] = self._input(tokens[:, None])

    def result(self):
        return widened(self._last.numpy())

    def program(self, before):
        """What XLA compiles for the token that follows ``before`` others, as text."""
        of = self._next.experimental_get_compiler_ir(self._tokens[-1], self._tf.constant(before))
        return of(stage="hlo")


class DecodingPass(lowerings.Pass):
    """A pass over the tokens that follow ``before`` others, whose keys and values are in ``caches``, by layer."""

    def __init__(self, caches, before, is_xla):
        super().__init__(is_training=False)
        self.caches, self.before = caches, before
        self.is_open = is_xla and not isinstance(before, int)        # else XLA compiles a program for each position


def _cached_attention(tf, layer):
    a, name = layer["attributes"], layer["name"]
    tokens = layer["input_shapes"][1][2]
    attend_first = lowerings.LOWERINGS["attention"](tf, layer)
    attend_next = lowerings.LOWERINGS["attention"](tf, dict(layer, attributes=dict(a, causal=False)))

    def forward(run, query, key, value):
        for cache, new in zip(run.caches[name], (key, value)):
            _write(tf, cache, new, run, tokens)
        if isinstance(run.before, int):
            return attend_first(run, query, key, value)
        is_seen = tf.range(a["capacity"]) <= run.before
        keys, values = run.caches[name]
        return attend_next(run, query, keys, values, is_seen[None, None, None])

    return forward


def _write(tf, cache, new, run, tokens):
    """Puts the new keys or values behind those in the cache."""
    if run.is_open:
        cache.assign(_xla_ops().xla_dynamic_update_slice(cache, new, [0, 0, run.before, 0]))
    else:
        cache[:, :, run.before:run.before + tokens].assign(new)


def _xla_ops():
    """What TensorFlow's own slices are compiled to; these compile too where the position is not known before."""
    from tensorflow.compiler.tf2xla.ops import gen_xla_ops

    return gen_xla_ops


def _positions(tf, layer):
    a = layer["attributes"]
    shape = layer["input_shapes"][0]
    axis = a["axis"] % len(shape)
    size = [a["count"] if each == axis else length for each, length in enumerate(shape)]
    others = (slice(None),) * axis

    def forward(run, x):
        begin = a["start"] + run.before
        if run.is_open:
            return _xla_ops().xla_dynamic_slice(x, [begin if each == axis else 0 for each in range(len(shape))], size)
        return x[(*others, slice(begin, begin + a["count"]))]

    return forward
