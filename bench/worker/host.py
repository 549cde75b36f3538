"""What else the host did during a measurement, read where it costs nothing: before and after, not between."""

import contextlib
import os


def busy_cpu_s():
    """CPU seconds that the whole machine has worked since it started, steal included; None where it does not say."""
    try:
        with open("/proc/stat") as counters:
            user, nice, system, _, _, irq, softirq, steal = map(int, counters.readline().split()[1:9])
    except (OSError, ValueError):
        return None
    return (user + nice + system + irq + softirq + steal) / float(os.sysconf("SC_CLK_TCK"))


def move_to(cpus):
    """Hold every thread of this process to these cores, where the system can."""
    if hasattr(os, "sched_setaffinity"):
        for thread in os.listdir("/proc/self/task"):
            with contextlib.suppress(ProcessLookupError):    # it has ended meanwhile
                os.sched_setaffinity(int(thread), cpus)


def peak_resident_bytes():
    """Most memory that this process ever had resident; None where the system does not say."""
    try:
        with open("/proc/self/status") as status:
            line = next(line for line in status if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        return None
    return int(line.split()[1]) * 1024
