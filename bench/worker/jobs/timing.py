"""How long steps take."""

from .. import frameworks, measure, rendezvous
from ._common import peak_memory
from ._steps import last_result, started, timed_steps
from ._world import ended_together


def run(job, directory, answers):
    """Timed steps of one case, after its first answer was held against the oracle."""
    gang = rendezvous.of(job)
    module, prepared, facts = started(job, answers, measure.one_step)
    timed = timed_steps(prepared, job["timing"], answers, gang)
    last = last_result(prepared)
    memory = peak_memory(prepared)       # before communication is taken apart
    facts.update(ended_together(job, gang, prepared))
    return dict(
        timed, facts=module.facts(), last_loss=float(last) if job["settings"]["mode"] == "training" else None,
        result_error=None, policy=frameworks.POLICIES[job["settings"]["precision"]],
        overflow_steps=prepared.overflow_steps(), **dict(facts, **memory)
    )
