"""Entry point of a worker process: ``python worker.zip JOB_DIRECTORY ANSWER_FD LIFELINE_FD``.

Also of a fork server, which forks a worker for each job: ``python worker.zip --serve CONTROL_FD LIFELINE_FD CPUS
PRELOAD``.

The job directory contains job.json. Answers are JSON lines on ANSWER_FD; stdout and stderr are left to libraries, which
may write anything to them. LIFELINE_FD is closed when the parent ends, in whatever way.
"""

import ctypes
import fcntl
import json
import os
import signal
import socket
import struct
import sys
import threading
import time
import traceback

PR_SET_PDEATHSIG = 1    # linux/prctl.h


class Answers(object):
    """Sends answers as JSON lines to the parent."""

    def __init__(self, descriptor):
        self._pipe = os.fdopen(descriptor, "w")

    def send(self, event, **facts):
        facts["event"] = event
        self._pipe.write(json.dumps(facts) + "\n")
        self._pipe.flush()

    def mark(self, name):
        """Reports a named time on the host's monotonic clock."""
        self.send("mark", mark=name, at_s=time.perf_counter())

    def failed(self, outcome, reason, cause=None):
        """Reports a failure; ``cause`` is a value of bench.enums.Cause, or None if it is not known."""
        self.send("failed", outcome=outcome, reason=reason, cause=cause)


def die_with_parent(lifeline):
    """Ensures that neither this process nor its children outlive the parent."""
    if hasattr(fcntl, "F_SETSIG"):
        # On Linux the kernel kills the whole group, even while a library holds the GIL. PR_SET_PDEATHSIG would act a
        # little earlier, but only on this process, so that nobody would end its children.
        fcntl.fcntl(lifeline, fcntl.F_SETOWN, -os.getpgrp())
        fcntl.fcntl(lifeline, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)

    def wait():
        os.read(lifeline, 1)     # sleeps until the parent's end of the pipe is closed
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=wait, daemon=True).start()


def die_with_parent_on_linux():
    """Makes the kernel kill this process when its parent ends, even while a library holds the GIL."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def work(directory, answers):
    """Runs the job in a directory and ends this process."""
    with open(os.path.join(directory, "job.json")) as file:
        job = json.load(file)
    run_on(job["cpus"])
    if "launched_at_s" in job:
        answers.send("mark", mark="launched", at_s=job["launched_at_s"])     # on the same clock, by the parent
    answers.mark("started")

    try:
        from . import jobs  # only now, as it imports NumPy, which counts the cores
    except ImportError as error:
        first_line = (str(error).strip().splitlines() or [""])[0]
        answers.failed("build_broken", "a worker needs NumPy, but %s cannot import it: %s; install numpy there" % (
            sys.executable, first_line))
        raise

    try:
        jobs.run(job, directory, answers)
    except jobs.Failed as failure:
        answers.failed(failure.outcome, failure.reason)
    except Exception as error:
        answers.failed(*jobs.classified(error))
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)     # everything was reported; exit handlers of frameworks sometimes hang or crash


def run_on(cpus):
    """Limits this process to these cores, if the system supports that."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cpus)


def serve(control_fd, lifeline_fd, cpus, preload):
    """Forks a worker for each directory that comes on the control socket, until the parent closes it.

    This process only imports: no operation, no device, no thread, so that forks start like new processes.
    """
    run_on(cpus)
    die_with_parent_on_linux()
    control = socket.socket(fileno=control_fd)
    from . import jobs

    jobs.preload(preload)
    while True:
        directory, ancillary = control.recvmsg(4096, socket.CMSG_LEN(struct.calcsize("i")))[:2]
        if not directory:
            os._exit(0)
        answer_fd = struct.unpack("i", ancillary[0][2])[0]
        pid = os.fork()
        if pid == 0:
            become_worker(directory.decode(), control, answer_fd, lifeline_fd)
        os.close(answer_fd)
        control.send(struct.pack("i", pid))
        status = os.waitpid(pid, 0)[1]
        control.send(struct.pack("i", os.WEXITSTATUS(status) if os.WIFEXITED(status) else -os.WTERMSIG(status)))


def become_worker(directory, control, answer_fd, lifeline_fd):
    """Gives a fork what a spawned worker has from the start: a session and output files of its own, the lifeline."""
    os.setsid()
    control.close()
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        target = os.open(os.path.join(directory, name), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(target, descriptor)
        os.close(target)
    os.chdir(directory)
    die_with_parent(lifeline_fd)
    work(directory, Answers(answer_fd))


def main(arguments):
    if arguments[0] == "--serve":
        cpus = [int(cpu) for cpu in arguments[3].split(",")]
        serve(int(arguments[1]), int(arguments[2]), cpus, arguments[4])
    directory, answer_fd, lifeline_fd = arguments[0], int(arguments[1]), int(arguments[2])
    die_with_parent(lifeline_fd)
    work(directory, Answers(answer_fd))
