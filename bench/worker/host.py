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


ALLOCATORS = ("jemalloc", "tcmalloc", "mimalloc")


def settings():
    """How this process and its system are set: allocator, NUMA nodes of its cores, huge pages; None where not told."""
    return {"allocator": allocator(), "numa_nodes": numa_nodes(), "huge_pages": huge_pages()}


def allocator(maps="/proc/self/maps"):
    """Name of the library that serves malloc, "system" where none of the known ones is loaded."""
    try:
        with open(maps) as lines:
            loaded = {line.rsplit("/", 1)[-1].strip() for line in lines if "/" in line}
    except OSError:
        return None
    return next((library for library in sorted(loaded) if any(name in library for name in ALLOCATORS)), "system")


def numa_nodes(root="/sys/devices/system/node"):
    """Numbers of the nodes that the cores of this process belong to."""
    if not hasattr(os, "sched_getaffinity"):
        return None
    mine, nodes = os.sched_getaffinity(0), []
    try:
        for name in os.listdir(root):
            if name.startswith("node"):
                with open(os.path.join(root, name, "cpulist")) as text:
                    if mine & set(_numbers(text.read())):
                        nodes.append(int(name[len("node"):]))
    except (OSError, ValueError):
        return None
    return sorted(nodes)


def _numbers(text):
    """Those of a list as Linux writes it: "0-3,8"."""
    for part in text.strip().split(","):
        if part:
            first, _, last = part.partition("-")
            for number in range(int(first), int(last or first) + 1):
                yield number


def huge_pages(path="/sys/kernel/mm/transparent_hugepage/enabled"):
    """When the system gives huge pages by itself: "always", "madvise" or "never"."""
    try:
        with open(path) as text:
            return text.read().partition("[")[2].partition("]")[0] or None
    except OSError:
        return None
