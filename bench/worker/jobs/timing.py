"""The time of steps."""

from .. import measure, precisions, rendezvous
from ..samples import first_loss
from ._common import peak_memory
from ._ends import checked_at_the_end
from ._steps import last_result, started, timed_steps
from ._world import ended_together


def run(job, directory, answers):
    """Timed steps of one case, after its first loss was compared with the oracle's."""
    ranks = rendezvous.of(job)
    module, prepared, facts = started(job, answers, measure.one_step)
    timed = timed_steps(prepared, job["timing"], answers, ranks)
    if job["settings"]["mode"] == "decode":
        timed.update(prepared.token_times(len(timed["timings_s"]) * timed["steps_per_timing"]))
    last, overflow_steps = last_result(prepared), prepared.overflow_steps()
    memory = peak_memory(prepared)       # before anything else than timed steps is run
    timings = len(timed["warm_up_timings_s"]) + len(timed["timings_s"])
    facts.update(checked_at_the_end(job, prepared, 1 + timings * timed["steps_per_timing"], facts["first_loss"]))
    facts.update(ended_together(job, ranks, prepared))
    return dict(
        timed, facts=module.facts(), last_loss=first_loss(last) if job["settings"]["mode"] == "training" else None,
        result_error=None, policy=precisions.POLICIES[job["settings"]["precision"]],
        overflow_steps=overflow_steps, **dict(facts, **memory)
    )
