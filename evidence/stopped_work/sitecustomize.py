"""Has this process stopped for a part of the time, as the kernel does with a group of processes that has a CPU quota.

Python imports a module of this name when it starts. A child stops its parent for RIGMARK_STOPPED of each 10 ms, and
ends with it.
"""

import ctypes
import os
import signal
import time

PERIOD_S = 0.01
PR_SET_PDEATHSIG = 1


def stop(pid, share):
    while os.getppid() == pid:
        os.kill(pid, signal.SIGSTOP)
        time.sleep(share * PERIOD_S)
        os.kill(pid, signal.SIGCONT)
        time.sleep((1 - share) * PERIOD_S)


if "RIGMARK_STOPPED" in os.environ:
    worker = os.getpid()
    if os.fork() == 0:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        try:
            stop(worker, float(os.environ["RIGMARK_STOPPED"]))
        finally:
            os._exit(0)
