"""The proof that a framework generates text correctly."""

import os

import numpy as np

from .. import generation
from ._common import arrays, prepare


def run(job, directory, answers):
    """The tokens and the scores of each, for the comparison with the oracle, as answer.npz in the job's directory."""
    inputs = arrays(job["inputs"])
    module, prepared, seconds = prepare(job, arrays(job["weights"]), answers)
    prepared.load([(inputs["x"], None)])
    generated = generation.answer(prepared.decoder, inputs["tokens"])
    answers.mark("proven")
    np.savez(os.path.join(directory, "answer.npz"), **generated)
    return {"facts": module.facts(), "prepare_time_s": seconds}
