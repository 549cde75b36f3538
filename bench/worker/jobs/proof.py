"""The proof that a framework computes the network correctly."""

import os

import numpy as np

from .. import proof, rendezvous
from ..graphs import with_copies_every
from ..samples import count, taken
from ._common import arrays, prepare
from ._world import ended_together


def run(job, directory, answers):
    """Outputs, losses and gradients for the comparison with the oracle, as answer.npz in the job's directory."""
    ranks = rendezvous.of(job)
    job = dict(job, graph=with_copies_every(job["graph"], proof.COPY_STEPS))
    inputs = arrays(job["inputs"])
    x, y = taken(job["graph"], inputs), inputs["y"]
    module, prepared, seconds = prepare(job, arrays(job["weights"]), answers)
    answer = proof.answer(
        prepared, job["graph"], x, y, job["settings"]["seed"], ranks.part(count(x))
    )
    if job.get("tie_errors"):
        def changed(**settings):
            return module.prepare(job["graph"], arrays(job["weights"]), dict(job["settings"], **settings))

        answer.update(proof.tie_effects(
            changed, job["graph"], x, y, job["settings"]["seed"], job["tie_errors"], answer["losses"]))
    answers.mark("proven")
    if job.get("learning"):
        answer.update(learn(job, inputs, module))
        answers.mark("learnt")
    np.savez(os.path.join(directory, "answer.npz"), **answer)
    return dict({"facts": module.facts(), "prepare_time_s": seconds}, **ended_together(job, ranks, prepared))


def learn(job, inputs, module):
    """One pass over real data from the initial weights of the network: losses, and accuracy on held-out samples."""
    prepared = module.prepare(job["graph"], arrays(job["learning"]["weights"]), job["settings"])
    return proof.learning(
        prepared, job["graph"], taken(job["graph"], inputs, "train_x"), inputs["train_y"],
        taken(job["graph"], inputs, "test_x"), inputs["test_y"], job["learning"]["local_batch"],
        job["settings"]["seed"],
    )
