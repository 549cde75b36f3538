"""JAX: text token by token, in one program for prompts and one for single tokens, whose caches are donated."""

import numpy as np

from .. import Decoder, refusals
from . import adapter, lowerings
from .lowerings.attention import composed, is_in_jax


def prepare(graph, parts, weights, settings):
    """The model on its device; raises Unsupported where JAX cannot do what is asked."""
    def kind(jax, graph, weights, settings, device):
        return JaxDecoder(jax, parts, weights, settings, device)

    return adapter.prepare(graph, weights, settings, kind)


class JaxDecoder(Decoder, adapter.JaxPrepared):
    """Two programs that share weights. The caches of a layer are (batch, steps, heads, features), as JAX attends."""

    def __init__(self, jax, parts, weights, settings, device):
        adapter.JaxPrepared.__init__(self, jax, parts["prefill"], weights, settings, device)
        self._layers_of_step = self._with_turns(parts["step"])
        self._first = jax.jit(self._of_prompt)
        # Donated: each step writes its keys and values into the memory of those before.
        self._next = jax.jit(self._of_token, donate_argnums=(2, 3))
        self._cached = None               # the caches and the number of tokens in them
        self._tokens = []

    def prefill(self):
        prompt, _ = next(self._batches)
        self._cached, self._tokens = None, []         # frees the caches before there are others
        with refusals(adapter._MISSING_KERNEL):
            self._keep(*self._first(self._parameters, self._statistics, prompt))

    def advance(self):
        self._keep(*self._next(self._parameters, self._statistics, *self._cached, self._tokens[-1]))

    def _keep(self, caches, before, token, scores):
        self._cached, self._last = (caches, before), scores
        self._tokens.append(token)

    def _of_prompt(self, parameters, statistics, tokens):
        run = DecodingPass(self._jax, self._layout, self._shared, caches={}, before=0)
        return self._chosen(run, self._run({**parameters, **statistics}, tokens, run), tokens)

    def _of_token(self, parameters, statistics, caches, before, token):
        run = DecodingPass(self._jax, self._layout, self._shared, caches=caches, before=before)
        weights = {**parameters, **statistics}
        return self._chosen(run, self._run(weights, token, run, self._layers_of_step), token)

    def _chosen(self, run, output, tokens):
        """(caches, tokens in them, the best token after those, scores)"""
        scores = output[:, -1]
        best = scores.argmax(-1, keepdims=True).astype(np.int32)
        return run.caches, run.np.int32(run.before + tokens.shape[1]), best, scores

    def _lowering(self, op):
        return LOWERINGS.get(op) or adapter.JaxPrepared._lowering(self, op)

    def load(self, batches):
        adapter.JaxPrepared.load(self, [(prompt, prompt[:1, :1]) for prompt, _ in batches])

    def synchronize(self):
        self._jax.block_until_ready((self._tokens, self._last, self._cached))

    def tokens(self):
        return np.concatenate([np.asarray(token) for token in self._tokens], axis=1).astype(np.int64)

    def choose(self, tokens):
        self._tokens[-1] = self._input(tokens[:, None])

    def result(self):
        return adapter.widened(np.asarray(self._last))


class DecodingPass(lowerings.Pass):
    """A pass over the tokens that follow ``before`` others, whose keys and values are in ``caches``, by layer."""

    def __init__(self, jax, layout, shared, caches, before):
        super().__init__(jax, layout, shared)
        self.caches, self.before = dict(caches), before


def _cached_attention(run, layer, weights, query, key, value):
    capacity, name = layer["attributes"]["capacity"], layer["name"]
    query, key, value = (x.swapaxes(1, 2) for x in (query, key, value))
    if name not in run.caches:
        room = [(0, 0), (0, capacity - key.shape[1]), (0, 0), (0, 0)]
        run.caches[name] = run.np.pad(key, room), run.np.pad(value, room)
        return _attended(run, layer, query, key, value, run.np.tri(key.shape[1], dtype=bool))
    keys, values = (
        run.lax.dynamic_update_slice_in_dim(cache, new, run.before, axis=1)
        for cache, new in zip(run.caches[name], (key, value))
    )
    run.caches[name] = keys, values
    return _attended(run, layer, query, keys, values, (run.np.arange(capacity) <= run.before)[None])


def _attended(run, layer, query, key, value, is_seen):
    """Heads before steps again; ``is_seen`` is (queries, keys)."""
    a = layer["attributes"]
    if not is_in_jax(run, query, value):
        query, key, value = (x.swapaxes(1, 2) for x in (query, key, value))
        return composed(run, dict(a, causal=False), query, key, value, is_seen)
    attended = run.nn.dot_product_attention(query, key, value, mask=is_seen[None, None], scale=a.get("scale"))
    return attended.swapaxes(1, 2)


def _positions(run, layer, weights, x):
    a = layer["attributes"]
    return run.lax.dynamic_slice_in_dim(x, a["start"] + run.before, a["count"], axis=a["axis"])


LOWERINGS = {
    "cached_attention": _cached_attention,
    "positions": _positions,
}
