"""Entry of a worker process: ``python child.zip JOB_DIRECTORY ANSWER_FD LIFELINE_FD``.

The job directory holds job.json. Answers are JSON lines on ANSWER_FD; stdout and stderr are left to the libraries,
which write to them as they please. LIFELINE_FD ends when the parent does, however it does.
"""

import ctypes
import json
import os
import signal
import sys
import threading
import time
import traceback

PR_SET_PDEATHSIG = 1    # linux/prctl.h


class Answers(object):
    """JSON lines to the parent."""

    def __init__(self, descriptor):
        self._pipe = os.fdopen(descriptor, "w")

    def send(self, event, **facts):
        facts["event"] = event
        self._pipe.write(json.dumps(facts) + "\n")
        self._pipe.flush()

    def mark(self, name):
        """A named moment on the host's monotonic clock."""
        self.send("mark", mark=name, at_s=time.perf_counter())

    def failed(self, outcome, reason):
        self.send("failed", outcome=outcome, reason=reason)


def die_with_parent(lifeline):
    """Make sure that neither this process nor its children outlive the parent."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)    # also when a library holds the GIL

    def wait():
        os.read(lifeline, 1)     # sleeps until the parent's end of the pipe is closed
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=wait, daemon=True).start()


def main(arguments):
    directory, answer_fd, lifeline_fd = arguments[0], int(arguments[1]), int(arguments[2])
    answers = Answers(answer_fd)
    die_with_parent(lifeline_fd)
    with open(os.path.join(directory, "job.json")) as file:
        job = json.load(file)
    if job.get("cpus") and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, job["cpus"])     # before a library counts the cores
    answers.mark("started")

    from . import jobs  # only now, as it imports NumPy, which counts the cores

    try:
        jobs.run(job, directory, answers)
    except jobs.Failed as failure:
        answers.failed(failure.outcome, failure.reason)
    except Exception as error:
        answers.failed(*jobs.classified(error))
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)     # all is said; exit handlers of frameworks hang or crash now and then
