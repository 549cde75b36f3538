"""Steps in turns with another worker."""

import os

from .. import host, measure, turns
from ..samples import first_loss
from ._common import peak_memory
from ._ends import checked_at_the_end
from ._steps import last_result, started


def run(job, directory, answers):
    """Steps of one case on command, after its first loss was compared with the oracle's; it sleeps in between."""
    with os.fdopen(job["commands"]) as commands:
        module, prepared, facts = started(job, answers, measure.one_step)
        host.move_to(job["turn_cpus"])       # since it may have started on other cores than the other side
        answers.send("ready", **peak_memory(prepared))
        steps = turns.take(prepared, job["timing"], commands, answers)
    answers.mark("timed")
    last, memory = last_result(prepared), peak_memory(prepared)
    facts.update(checked_at_the_end(job, prepared, 1 + steps, facts["first_loss"]))
    return dict(
        facts, facts=module.facts(), last_loss=first_loss(last) if job["settings"]["mode"] == "training" else None,
        **memory
    )
