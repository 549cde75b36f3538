"""The kinds of job of a worker: one file each, found by the "kind" of the job.

A kind has ``run(job, directory, answers)``, which returns the facts of its result. ``job`` is the request of the
parent as plain data, ``directory`` contains the files of this job, and ``answers`` receives marks of its progress. It
raises Failed for a typed outcome other than ok. A file whose name begins with "_" is a helper of the kinds.
"""

import contextlib
import importlib
import re

from .. import frameworks, registry, rendezvous

NAMES = registry.names(__path__)


class Failed(Exception):
    """A typed outcome other than ok, with its reason in a sentence."""

    def __init__(self, outcome, reason):
        super(Failed, self).__init__(reason)
        self.outcome, self.reason = outcome, reason


OUT_OF_MEMORY = re.compile(
    r"out of memory|can't allocate memory|RESOURCE_EXHAUSTED|ResourceExhausted|bad_alloc|OOM when allocating"
    r"|[Uu]nable to allocate|not enough memory|cannot allocate memory|Maximum allowed dimension|array is too big",
)


def classified(error):
    """(outcome, reason, cause) for an exception from a framework; for the cause see ``Answers.failed``."""
    if isinstance(error, rendezvous.Lost):
        return "crashed", str(error), "peer_lost"
    first_line = (str(error).strip().splitlines() or ["raised without a message"])[0][:500]
    reason = "%s: %s" % (type(error).__name__, first_line)
    if isinstance(error, frameworks.Unsupported):
        return "unsupported", str(error), None
    if isinstance(error, MemoryError) or OUT_OF_MEMORY.search("%s %s" % (type(error).__name__, error)):
        return "out_of_memory", reason, None
    return "crashed", reason, None


def run(job, directory, answers):
    """Runs a job and sends its result; raises Failed for a typed outcome."""
    answers.send("result", **registry.load(__name__, job["kind"]).run(job, directory, answers))


def preload(framework):
    """Imports a framework before the jobs, unless a fork could not use it; if that fails, the job itself reports it."""
    adapter = frameworks.load(framework)
    further = getattr(adapter, "PRELOADS", ())
    if further is None:
        return
    with contextlib.suppress(Exception):
        for name in (adapter.IMPORTS, *further):
            importlib.import_module(name)
