"""Text that a model generates: its time token by token, and how it is compared with the oracle's."""

import time

import numpy as np

from . import frameworks

OPEN_ERRORS = 10
"""A choice between scores that differ by less than this many times the allowed error is left to rounding.

The allowed error is relative to the root mean square of the scores; among 50,000 of them a single error is four to five
times as large, and two of them differ by up to twice that.
"""


def prepared(module, job, weights):
    """The Generation of a job, in the framework of the adapter ``module``; raises Unsupported where it has none."""
    decoding = frameworks.part(job["framework"], "decoding")
    if decoding is None:
        raise frameworks.Unsupported("the %s adapter does not generate text token by token" % job["framework"])
    asked = job["decoding"]
    decoder = decoding.prepare(job["graph"], asked["parts"], weights, job["settings"])
    return Generation(decoder, asked["generated_length"], asked["is_streamed"])


class Generation(frameworks.Prepared):
    """Steps of which each generates ``length`` tokens for the next batch of prompts.

    ``is_streamed``: each token is waited for, as where a reader sees it at once, and its time is kept. Otherwise the
    host may run ahead, and only whole steps have a time.
    """

    can_train = False

    def __init__(self, decoder, length, is_streamed, clock=time.perf_counter):
        self.decoder, self._length, self._is_streamed, self._clock = decoder, length, is_streamed, clock
        self._times_s = []               # of each step: those of its tokens
        self.first = None                # what the first step gave, as ``text``

    def load(self, batches):
        self.decoder.load(batches)

    def step(self):
        if self._is_streamed:
            self._times_s.append(self._streamed())
            return
        self.decoder.prefill()
        for _ in range(self._length - 1):
            self.decoder.advance()

    def _streamed(self):
        decoder, clock, times_s = self.decoder, self._clock, []
        before = clock()
        decoder.prefill()
        decoder.synchronize()
        for _ in range(self._length - 1):
            now = clock()
            times_s.append(now - before)
            before = now
            decoder.advance()
            decoder.synchronize()
        times_s.append(clock() - before)
        return times_s

    def token_times(self, steps):
        """Seconds to the first token, and from each token to the next, of the last ``steps``; None if not streamed."""
        if not self._is_streamed:
            return {"first_token_times_s": None, "token_times_s": None}
        last = self._times_s[-steps:]
        return {
            "first_token_times_s": [times_s[0] for times_s in last],
            "token_times_s": [time_s for times_s in last for time_s in times_s[1:]],
        }

    def text(self):
        """(tokens, scores of the last of them) of the last step."""
        return self.decoder.tokens(), self.decoder.result()

    def keep_first(self):
        """Keeps what the last step gave as ``first``."""
        self.first = self.text()

    def synchronize(self):
        self.decoder.synchronize()

    def result(self):
        return self.decoder.result()

    def weights(self):
        return self.decoder.weights()

    @property
    def peak_memory_method(self):
        return self.decoder.peak_memory_method

    def peak_memory_bytes(self):
        return self.decoder.peak_memory_bytes()

    def forget_peak_memory(self):
        self.decoder.forget_peak_memory()


def answer(decoder, tokens):
    """{"tokens", "output"} of a proof: what was chosen, and the scores (batch, number, vocabulary) of each choice.

    ``tokens``, (batch, number), are the oracle's. Where another one was chosen, the step after it is given the
    oracle's, so that all later scores can be compared.
    """
    chosen, scores = [], []
    decoder.prefill()
    for index in range(tokens.shape[1]):
        if index:
            decoder.advance()
        decoder.synchronize()
        chosen.append(decoder.tokens()[:, -1])
        scores.append(decoder.result())
        if not np.array_equal(chosen[-1], tokens[:, index]):
            decoder.choose(tokens[:, index])
    return {"tokens": np.stack(chosen, axis=1), "output": np.stack(scores, axis=1)}


def oracle(network, prompts, number):
    """{"tokens", "output"}, as ``answer``, of a network that has no cache: it reads all tokens again for each token.

    ``network`` takes as many tokens as there are before the last one. Tokens that are still to come are 0: what is
    causal cannot see them. Raises ValueError if the network does.
    """
    samples, length = prompts.shape
    known = np.zeros((samples, length + number - 1), np.int64)
    known[:, :length] = prompts
    tokens, scores = [], []
    for index in range(length, length + number):
        output = network.output(known, False)
        scores.append(output[:, index - 1])
        tokens.append(scores[-1].argmax(axis=-1))
        if index < known.shape[1]:
            known[:, index] = tokens[-1]
    scores = np.stack(scores, axis=1)
    if not np.allclose(scores, output[:, length - 1:], rtol=1e-9, atol=1e-9 * np.abs(scores).max()):
        raise ValueError("the scores of a token change with later tokens, so this model is not causal")
    return {"tokens": np.stack(tokens, axis=1), "output": scores}


def read(network, prompts, tokens):
    """The scores (batch, number, vocabulary) by which the network would choose at the place of each of these tokens."""
    known = np.concatenate([prompts, tokens[:, :-1]], axis=1)
    return network.output(known, False)[:, prompts.shape[1] - 1:]


def judged(scores, tokens, tolerance):
    """(which tokens are wrong, which of the others are not the oracle's), both bool (batch, number).

    ``scores`` are the oracle's. A token is wrong if the oracle prefers another one by more than rounding may have
    changed, where ``tolerance`` is the allowed error of the scores relative to their root mean square.
    """
    best = scores.max(axis=-1)
    of_chosen = np.take_along_axis(scores, tokens[..., None], axis=-1)[..., 0]
    size = np.sqrt(np.mean(np.square(scores), axis=-1))
    is_other = of_chosen < best
    is_wrong = best - of_chosen > OPEN_ERRORS * tolerance * size
    return is_wrong, is_other & ~is_wrong
