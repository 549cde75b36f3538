"""Per-layer profiles of a step."""

from .. import layers
from ._ends import checked_at_the_end
from ._steps import last_result, started


def run(job, directory, answers):
    """The per-layer profile of one case; the first step, which is compared with the oracle, is instrumented too."""
    module, prepared, facts = started(job, answers, lambda network: network.layer_times(1)["step_times_s"][0])
    profile = layers.profile(prepared, job["timing"], answers.mark)
    answers.mark("timed")
    last_result(prepared)
    steps = 1 + sum(len(profile[name]) for name in ("warm_up_timings_s", "plain_step_times_s", "step_times_s"))
    facts.update(checked_at_the_end(job, prepared, steps, facts["first_loss"]))
    return dict(profile, facts=module.facts(), **facts)
