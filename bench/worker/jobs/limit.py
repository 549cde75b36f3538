"""Micro-benchmarks of the limits of a machine."""

import time

from .. import frameworks, measure, microbenchmarks
from . import Failed
from ._common import imported, peak_memory
from ._steps import refuse_replaced_clocks, timed_steps


def run(job, directory, answers):
    """Timed runs of a micro-benchmark, after its first result was compared with NumPy's."""
    framework, settings = job["framework"], job["settings"]
    if not microbenchmarks.has(framework):
        raise Failed("unsupported", "there are no micro-benchmarks for %s; there are some for: %s" % (
            framework, ", ".join(name for name in frameworks.NAMES if microbenchmarks.has(name))))
    module = microbenchmarks.load(framework)
    own_adapter = imported(frameworks.load(framework), job, module.PRECISIONS)
    answers.mark("imported")
    start = time.perf_counter()
    prepared = module.prepare(job["limit"], settings)
    prepare_time_s = time.perf_counter() - start
    answers.mark("prepared")

    first_step_s = measure.one_step(prepared)
    error = prepared.error()
    tolerance = microbenchmarks.TOLERANCES[settings["precision"]] if prepared.tolerance is None else prepared.tolerance
    if not error <= tolerance:
        raise Failed("parity_failed", "the first result of %s is off by %.2g (relative L2) from NumPy's in float64, "
                     "tolerance %g" % (job["limit"], error, tolerance))
    timed = timed_steps(prepared, job["timing"], answers)
    refuse_replaced_clocks()
    if prepared.has_peers:
        timed["other_cpu_time_s"] = None     # that of its own processes cannot be separated from that of others
    return dict(
        timed, facts=dict(own_adapter.facts(), **prepared.facts()), prepare_time_s=prepare_time_s,
        first_step_s=first_step_s, first_loss=None, expected_loss=None, last_loss=None, batches=None,
        result_error=error, policy=None, overflow_steps=None, last_check=None, **peak_memory(prepared)
    )
