"""Facts of the host around a measurement: they are read before and after it, never during it."""

import contextlib
import os


def busy_cpu_s():
    """CPU seconds of the whole machine since boot, including steal; None if the system does not state them."""
    try:
        with open("/proc/stat") as counters:
            user, nice, system, _, _, irq, softirq, steal = map(int, counters.readline().split()[1:9])
    except (OSError, ValueError):
        return None
    return (user + nice + system + irq + softirq + steal) / float(os.sysconf("SC_CLK_TCK"))


def move_to(cpus):
    """Limits every thread of this process to these cores, if the system supports that."""
    if hasattr(os, "sched_setaffinity"):
        for thread in os.listdir("/proc/self/task"):
            with contextlib.suppress(ProcessLookupError):    # the thread has ended meanwhile
                os.sched_setaffinity(int(thread), cpus)


def peak_resident_bytes():
    """Peak resident memory of this process in bytes; None if the system does not state it."""
    try:
        with open("/proc/self/status") as status:
            line = next(line for line in status if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        return None
    return int(line.split()[1]) * 1024


ALLOCATORS = ("jemalloc", "tcmalloc", "mimalloc")


def settings():
    """Settings of this process and its system: allocator, NUMA nodes of its cores, huge pages; None if not known."""
    return {"allocator": allocator(), "numa_nodes": numa_nodes(), "huge_pages": huge_pages()}


def allocator(maps="/proc/self/maps"):
    """The name of the library that provides malloc; "system" if none of the known ones is loaded."""
    try:
        with open(maps) as lines:
            loaded = {line.rsplit("/", 1)[-1].strip() for line in lines if "/" in line}
    except OSError:
        return None
    return next((library for library in sorted(loaded) if any(name in library for name in ALLOCATORS)), "system")


def numa_nodes(root="/sys/devices/system/node"):
    """The numbers of the NUMA nodes of this process's cores."""
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
    """The numbers of a list in the form of Linux: "0-3,8"."""
    for part in text.strip().split(","):
        if part:
            first, _, last = part.partition("-")
            for number in range(int(first), int(last or first) + 1):
                yield number


def huge_pages(path="/sys/kernel/mm/transparent_hugepage/enabled"):
    """When the system uses transparent huge pages: "always", "madvise" or "never"."""
    try:
        with open(path) as text:
            return text.read().partition("[")[2].partition("]")[0] or None
    except OSError:
        return None
