"""The answers that the steps of a timed trial must give."""

import os

import numpy as np

from ..graphs import objectives
from ..samples import first, named, taken
from ._common import arrays, has_dropout, loss_of, prepare


def run(job, directory, answers):
    """The results of a correct step on these inputs: {"loss": float, "output_rounding": float}, outputs in answer.npz.

    Of several objectives it is the first that is trained. The second number is the error of the first output in fp32,
    as root mean square over its elements: batch normalisation amplifies rounding, and the error of the loss is as
    large.
    """
    inputs, graph, mode = arrays(job["inputs"]), job["graph"], job["settings"]["mode"]
    x = taken(graph, inputs)
    is_training = mode == "training" and not has_dropout(graph)
    if is_training:
        graph = objectives(graph)[0]
    module, prepared, _ = prepare(dict(job, graph=graph), arrays(job["weights"]), answers)
    rounded = module.prepare(graph, arrays(job["weights"]), dict(job["settings"], precision="fp32"))
    exact, off = (network.output(x, is_training) for network in (prepared, rounded))
    np.savez(os.path.join(directory, "answer.npz"), **named(graph, exact))
    exact, off = first(exact), first(off)
    return {
        "loss": loss_of(graph["loss"], exact, inputs["y"])[0],
        "output_rounding": float(np.sqrt(np.mean(np.square(off - exact)))),
    }
