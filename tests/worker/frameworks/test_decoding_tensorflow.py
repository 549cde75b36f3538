"""TensorFlow in XLA generates every token by one program."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from rigmark.bench.ir.decoding import decoding
from rigmark.bench.ir.weights import initial_weights
from rigmark.bench.models import gpt2
from rigmark.bench.worker import generation
from rigmark.bench.worker.frameworks.numpy import adapter as numpy

pytestmark = pytest.mark.skipif(importlib.util.find_spec("tensorflow") is None, reason="needs TensorFlow")

PROMPT, GENERATED = 6, 5
SETTINGS = {"mode": "decode", "precision": "fp32", "device": "cpu", "threads": 1, "seed": 1}


def test_one_program_of_xla_serves_every_position_and_gives_the_oracles_text():
    """A position that is known when XLA compiles stands in its program as a number."""
    from rigmark.bench.worker.frameworks.tensorflow import decoding as tensorflow

    form = decoding(gpt2.build(vocabulary=97, context=64, steps=16, features=16, heads=2, blocks=1))
    read = form.of_length(PROMPT + GENERATED - 1).plain()
    weights, prompts = initial_weights(form.graph, 1), np.arange(2 * PROMPT).reshape(2, PROMPT)
    parts = {name: form.part(tokens, PROMPT + GENERATED) for name, tokens in (("prefill", PROMPT), ("step", 1))}
    decoder = tensorflow.prepare(
        form.graph.plain(), parts, weights, {**SETTINGS, "compile_mode": "xla", "layout": "channels_last"})
    decoder.load([(prompts, None)])
    oracle = numpy.prepare(read, weights, {**SETTINGS, "precision": "fp64", "compile_mode": "eager", "layout": "nchw"})

    expected = generation.oracle(oracle, prompts, GENERATED)
    found = generation.answer(decoder, expected["tokens"])

    assert np.array_equal(found["tokens"], expected["tokens"])
    assert np.allclose(found["output"], expected["output"], rtol=1e-5, atol=1e-5 * np.abs(expected["output"]).max())
    assert 1 == len({decoder.program(tokens) for tokens in (PROMPT, PROMPT + 1)})
