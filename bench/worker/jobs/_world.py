"""What the ranks of a world tell each other and the parent when they have done their job."""

from .. import frameworks, rendezvous

COMMUNICATION_STEPS = 5      # instrumented, after those that are timed
     # instrumented, after those that are timed


def ended_together(job, gang, prepared):
    """What a rank tells beside its answer; nothing where there is no world. All ranks of a world come here.

    "digests" of the parameters that it trained, and "communication" as frameworks.Prepared has it, or {"problem": why
    it is not known}.
    """
    if job.get("world") is None:
        return {}
    told = {"digests": rendezvous.digests(prepared, job["graph"])}
    if job.get("timing"):
        try:
            told["communication"] = prepared.communication(COMMUNICATION_STEPS)
        except frameworks.Unsupported as reason:
            told["communication"] = {"problem": str(reason)}
    gang.decided(None)       # who leaves first would be missed by the others
    return told
