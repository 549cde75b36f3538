"""Steps in turns with those of another worker."""

import os

from .. import host, measure, turns
from ._common import peak_memory
from ._steps import last_result, started


def run(job, directory, answers):
    """Steps of one case on command, after its first answer was held against the oracle; asleep in between."""
    with os.fdopen(job["commands"]) as commands:
        module, prepared, facts = started(job, answers, measure.one_step)
        host.move_to(job["turn_cpus"])       # it may have started beside the other side's
        answers.send("ready", **peak_memory(prepared))
        turns.take(prepared, job["timing"], commands, answers)
    answers.mark("timed")
    last = last_result(prepared)
    return dict(
        facts, facts=module.facts(), last_loss=float(last) if job["settings"]["mode"] == "training" else None,
        **peak_memory(prepared)
    )
