"""What a causal language model generates, computed without a cache."""

import os

import numpy as np

from .. import generation
from ._common import arrays, prepare


def run(job, directory, answers):
    """The tokens and the scores of each as answer.npz; with "tokens" among the inputs, only the scores of those."""
    inputs = arrays(job["inputs"])
    network = prepare(job, arrays(job["weights"]), answers)[1]
    if "tokens" in inputs:
        generated = {"output": generation.read(network, inputs["x"], inputs["tokens"])}
    else:
        generated = generation.oracle(network, inputs["x"], job["generated_length"])
    np.savez(os.path.join(directory, "answer.npz"), **generated)
    return {}
