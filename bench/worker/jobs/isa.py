"""Which instructions a framework executes."""

import numpy as np

from .. import graphs, instructions
from ._common import adapter

SETTLING_STEPS = 3      # until everything is compiled, tuned and loaded


def run(job, directory, answers):
    """{"operations": what Watcher.watch found in each network of ``graphs``, "problem": why it could not, "facts"}.

    The name of each network is printed before it, so that the kernels that libraries print can be assigned to it.
    """
    problem, watcher = None, None
    try:
        watcher = instructions.Watcher()     # before the framework starts threads, which a fork does not copy
    except instructions.CannotWatch as error:
        problem = str(error)
    module = adapter(job)
    by_operation = {}
    for name, graph in job["graphs"].items():
        prepared = module.prepare(graph, drawn_weights(graph), job["settings"])
        shapes = graph["input"]["shape"], graph["layers"][-1]["output_shape"]
        x, y = (np.ones([job["local_batches"][name], *shape], np.float32) for shape in shapes)
        prepared.load([(x, y)])

        def step(prepared=prepared):
            prepared.step()
            prepared.synchronize()

        print("%s:" % name, flush=True)
        for _ in range(SETTLING_STEPS):
            step()
        if problem is None:
            try:
                by_operation[name] = watcher.watch(step, job["fewest_samples"])
            except instructions.CannotWatch as error:
                problem = str(error)
    if watcher is not None:
        watcher.close()
    return {"operations": by_operation, "problem": problem, "facts": module.facts()}


def drawn_weights(graph):
    """Arbitrary weights for a network: none is 0, and products stay small."""
    rng = np.random.RandomState(0)
    return {
        key: rng.uniform(0.01, 0.02, parameter["shape"]).astype(np.float32)
        for key, parameter in graphs.parameters_of(graph).items()
    }
