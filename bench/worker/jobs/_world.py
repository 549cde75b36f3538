"""What the ranks of a distributed trial report to each other and to the parent at the end."""

from .. import frameworks, rendezvous

COMMUNICATION_STEPS = 5      # instrumented, after those that are timed


def ended_together(job, ranks, prepared):
    """Further facts in the answer of a rank; none if the trial is not distributed. All ranks call it.

    "digests" of the parameters that it trained, and "communication" as frameworks.Prepared has it, or {"problem": why
    it is not known}.
    """
    if job.get("world") is None:
        return {}
    facts = {"digests": rendezvous.digests(prepared, job["graph"])}
    if job.get("timing"):
        try:
            facts["communication"] = prepared.communication(COMMUNICATION_STEPS)
        except frameworks.Unsupported as reason:
            facts["communication"] = {"problem": str(reason)}
    ranks.decided(None)       # waits, since the others still need this rank
    return facts
