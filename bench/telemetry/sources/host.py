"""The host: processors, memory, disks and network of a Linux machine, and the share that the trial's processes use.

Everything is read from files of the kernel, which are kept open: psutil opens and parses them every time, at ten times
the cost. What is compared with the time of a trial is read at the full rate and at marks, so that differences between
marks are exact; what is rarely near a limit, or changes slowly, is read less often.

CPU time of other programs is ``cpu_busy_s`` of the host minus ``cpu_time_s`` of the trial.
"""

from __future__ import annotations

import contextlib
import errno
import os
import platform
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rigmark.bench.telemetry.sources import (
    BYTES,
    CLOCK_HZ,
    TEMPERATURE_C,
    Device,
    Field,
    Meaning,
    Range,
    Reading,
    Reason,
    Tier,
    Unavailable,
    Wanted,
)

HOST, TRIAL = 0, 1           # positions among the devices
PROC, SYS = Path("/proc"), Path("/sys")
CPUS = SYS / "devices/system/cpu"
CGROUPS = SYS / "fs/cgroup"
SECTOR_BYTES = 512           # in /proc/diskstats, whatever the sector size of the disk
LARGEST = 1 << 16            # bytes to read of a file at most; all that is needed is before that

Values = Callable[[], Iterable[float]]


class File:
    """A file of the kernel that is kept open and read from the beginning every time."""

    def __init__(self, path: Path):
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def read(self, most: int = LARGEST) -> bytes:
        return os.pread(self._descriptor, most, 0)

    def number(self) -> float:
        return float(self.read(64))

    def close(self) -> None:
        os.close(self._descriptor)


# The trial's processes ----------------------------------------------------------------------------------------------


class Thread:
    """Nanoseconds that one thread ran, and that it waited for a core when it was ready to run."""

    def __init__(self, path: Path):
        self._file = File(path / "schedstat")
        self.cpu_ns = self.wait_ns = 0

    def read(self) -> None:
        self.cpu_ns, self.wait_ns = map(int, self._file.read(64).split()[:2])

    def close(self) -> None:
        self._file.close()


class Process:
    """One process of the trial. Raises OSError if it has ended."""

    def __init__(self, number: int):
        self._path = PROC / str(number)
        self._stat, self._status = File(self._path / "stat"), File(self._path / "status")
        self.threads: dict[str, Thread] = {}
        self.major_faults = 0

    def read_faults(self) -> None:
        self.major_faults = int(self._stat.read(1024).rpartition(b")")[2].split()[9])    # proc(5): field 12, majflt

    def memory_bytes(self) -> tuple[int, int]:
        """(resident bytes now, peak); not by getrusage, whose peak includes that of the parent process."""
        status = self._status.read(4096)
        now, peak = (re.search(rb"%s:\s*(\d+)" % name, status) for name in (b"VmRSS", b"VmHWM"))
        if now is None or peak is None:      # it has ended, but its parent has not waited for it yet
            raise ProcessLookupError
        return 1024 * int(now[1]), 1024 * int(peak[1])

    def find_threads(self) -> None:
        for name in os.listdir(self._path / "task"):
            if name not in self.threads:
                with contextlib.suppress(FileNotFoundError, ProcessLookupError):     # it ended after it was listed
                    self.threads[name] = Thread(self._path / "task" / name)

    def children(self) -> Iterator[int]:
        """The ids of its child processes; raises FileNotFoundError if the kernel has no such list."""
        for name in os.listdir(self._path / "task"):
            yield from map(int, (self._path / "task" / name / "children").read_bytes().split())

    def close(self) -> None:
        self._stat.close()
        self._status.close()
        for thread in self.threads.values():
            thread.close()


class Processes:
    """The processes of the trial with all their descendants.

    Sums include processes that have ended, with their last values, since a counter must not decrease.
    """

    def __init__(self, roots: Sequence[int]):
        self._living: dict[int, Process] = {}
        self.watch(roots)

    def watch(self, roots: Sequence[int]) -> None:
        """Starts again with other processes."""
        self.close()
        self.roots = tuple(roots)
        self._living = {}
        self._ended_ns = [0, 0]      # [CPU time, waiting time] of processes that have ended
        self._ended_faults = 0
        self.find(roots)

    def find(self, numbers: Iterable[int] | None = None) -> None:
        """Adds these processes, or all descendants that are not known yet."""
        for number in self._descendants() if numbers is None else numbers:
            if number not in self._living:
                with contextlib.suppress(OSError):       # it has ended
                    self._living[number] = Process(number)

    def _descendants(self) -> Iterator[int]:
        to_visit = list(self._living)
        try:
            while to_visit:
                if (number := to_visit.pop()) in self._living:
                    children = list(self._living[number].children())
                    self.find(children)
                    to_visit += children
        except FileNotFoundError:
            yield from _descendants(set(self._living))
        except OSError:
            return               # one ended meanwhile; the next call finds the others

    def cpu_and_wait_s(self) -> Iterator[float]:
        """Seconds that all threads together ran, and seconds that they waited for a core."""
        for process in self._each(Process.find_threads):
            for name, thread in list(process.threads.items()):
                try:
                    thread.read()
                except OSError:
                    self._keep(process.threads.pop(name))
        threads = [thread for process in self._living.values() for thread in process.threads.values()]
        yield (self._ended_ns[0] + sum(thread.cpu_ns for thread in threads)) * 1e-9
        yield (self._ended_ns[1] + sum(thread.wait_ns for thread in threads)) * 1e-9

    def major_faults(self) -> Iterator[float]:
        for _ in self._each(Process.read_faults):
            pass
        yield self._ended_faults + sum(process.major_faults for process in self._living.values())

    def memory_bytes(self) -> Iterator[float]:
        """Resident bytes, now and at peak; pages that processes share are counted in each of them."""
        sizes = []
        for process in list(self._living.values()):
            with contextlib.suppress(OSError):
                sizes.append(process.memory_bytes())
        if not sizes:
            raise ProcessLookupError
        yield from (sum(column) for column in zip(*sizes, strict=True))

    def _each(self, look: Callable[[Process], None]) -> Iterator[Process]:
        """The running processes, each after ``look`` was called; raises ProcessLookupError if there is none."""
        for number, process in list(self._living.items()):
            try:
                look(process)
            except OSError:
                self._bury(number)
            else:
                yield process
        if not self._living:
            raise ProcessLookupError

    def _bury(self, number: int) -> None:
        process = self._living.pop(number)
        self._ended_faults += process.major_faults
        while process.threads:
            self._keep(process.threads.popitem()[1])
        process.close()

    def _keep(self, thread: Thread) -> None:
        self._ended_ns[0] += thread.cpu_ns
        self._ended_ns[1] += thread.wait_ns
        thread.close()

    def close(self) -> None:
        for process in self._living.values():
            process.close()
        self._living = {}


def _descendants(ancestors: set[int]) -> Iterator[int]:
    """All descendants of these processes, found by reading every process of the machine."""
    parents: dict[int, int] = {}
    for folder in PROC.iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                parents[int(folder.name)] = int((folder / "stat").read_bytes().rpartition(b")")[2].split()[1])
    family = set(ancestors)
    while new := {number for number, parent in parents.items() if parent in family and number not in family}:
        family |= new
    yield from family - ancestors


# What is read of the host -------------------------------------------------------------------------------------------


class Opened:
    """Shared by the functions that read the system: the files that are kept open, and the trial's processes."""

    def __init__(self, processes: Sequence[int]):
        self.processes = Processes(processes)
        self._files = contextlib.ExitStack()

    def file(self, path: Path) -> File:
        file = File(path)
        self._files.callback(file.close)
        return file

    def close(self) -> None:
        self.processes.close()
        self._files.close()


def _cpu_times(opened: Opened) -> Values:
    file, ticks_per_s = opened.file(PROC / "stat"), os.sysconf("SC_CLK_TCK")

    def read() -> Iterator[float]:
        user, nice, system, idle, iowait, irq, softirq, steal = map(int, file.read(256).split(None, 9)[1:9])
        # Time of guests is included in that of the user.
        yield (user + nice + system + irq + softirq) / ticks_per_s
        yield steal / ticks_per_s
        yield (idle + iowait) / ticks_per_s

    return read


def _pressure(opened: Opened) -> Values:
    files = [opened.file(PROC / "pressure" / name) for name in ("cpu", "memory", "io")]
    return lambda: [1e-6 * int(file.read(256).split(b"\n", 1)[0].rpartition(b"total=")[2]) for file in files]


def _virtual_memory(opened: Opened) -> Values:
    file, page_bytes = opened.file(PROC / "vmstat"), os.sysconf("SC_PAGE_SIZE")
    names = re.compile(rb"^pswp(?:in|out) (\d+)$", re.MULTILINE)

    def read() -> Iterator[float]:
        swapped_in, swapped_out = names.findall(file.read())
        yield page_bytes * int(swapped_in)
        yield page_bytes * int(swapped_out)

    return read


def _memory(opened: Opened) -> Values:
    file = opened.file(PROC / "meminfo")
    pattern = re.compile(rb"^(MemAvailable|SwapTotal|SwapFree):\s*(\d+) kB$", re.MULTILINE)

    def read() -> Iterator[float]:
        sizes = {name: 1024 * int(size) for name, size in pattern.findall(file.read())}
        yield sizes[b"MemAvailable"]
        yield sizes[b"SwapTotal"] - sizes[b"SwapFree"]

    return read


def _disks(opened: Opened) -> Values:
    file = opened.file(PROC / "diskstats")
    # Physical disks only: what is built on other disks (dm, md) or on memory (loop, zram) has no device.
    names = {folder.name.encode() for folder in (SYS / "block").iterdir() if (folder / "device").exists()}
    if not names:
        raise FileNotFoundError

    def read() -> Iterator[float]:
        rows = [fields for line in file.read().splitlines() if (fields := line.split(None, 10))[2] in names]
        yield SECTOR_BYTES * sum(int(fields[5]) for fields in rows)
        yield SECTOR_BYTES * sum(int(fields[9]) for fields in rows)

    return read


def _network(opened: Opened) -> Values:
    names = [folder.name for folder in (SYS / "class/net").iterdir() if folder.name != "lo"]
    # Bridges and tunnels would count the same bytes again; but a container has only the end of a tunnel.
    real = [name for name in names if (SYS / "class/net" / name / "device").exists()] or names
    if not real:
        raise FileNotFoundError
    file = opened.file(PROC / "net/dev")
    wanted = {name.encode() for name in real}

    def read() -> Iterator[float]:
        rows = [row.split() for name, _, row in (line.partition(b":") for line in file.read().splitlines())
                if name.strip() in wanted]
        yield sum(int(fields[0]) for fields in rows)
        yield sum(int(fields[8]) for fields in rows)

    return read


def _throttled(opened: Opened) -> Values:
    """Throttling of this process's control group, which includes the trial, and of the groups above it."""
    files = [opened.file(path) for path in _cpu_statistics()]
    pattern = re.compile(rb"^(?:throttled_(usec|time) |nr_(throttled) )(\d+)$", re.MULTILINE)
    units = {b"usec": 1e-6, b"time": 1e-9}       # of versions 2 and 1

    def read() -> Iterator[float]:
        matches = [match for file in files for match in pattern.findall(file.read())]
        if not matches:
            raise FileNotFoundError
        yield sum(units[unit] * int(number) for unit, _, number in matches if unit)
        yield sum(int(number) for _, name, number in matches if name)

    read()
    return read


def _cpu_statistics() -> list[Path]:
    """Files cpu.stat of the control groups that this process is in, innermost first."""
    groups = [line.split(":", 2) for line in (PROC / "self/cgroup").read_text(encoding="utf-8").splitlines()]
    roots = {"": CGROUPS, **{of: CGROUPS / of for _, of, _ in groups if "cpu" in of.split(",")}}
    paths = []
    for _, controllers, path in groups:
        if controllers in roots:
            inner = roots[controllers] / path.strip("/")
            # A container often sees its own group as the root, although the stated path is that of the host.
            folders = [inner, *inner.parents]
            paths += [folder / "cpu.stat" for folder in folders
                      if folder.is_relative_to(roots[controllers]) and (folder / "cpu.stat").exists()]
    if not paths:
        raise FileNotFoundError
    return paths


def _clock(opened: Opened) -> Values:
    """Mean frequency of the cores that the trial may use; without cpufreq the kernel states only a constant."""
    files = {
        number: opened.file(path) for number in range(os.cpu_count() or 1)
        if (path := CPUS / f"cpu{number}/cpufreq/scaling_cur_freq").exists()
    }
    if not files:
        raise FileNotFoundError

    def read() -> Iterator[float]:
        used = files.keys() & (os.sched_getaffinity(opened.processes.roots[0]) if opened.processes.roots else files)
        yield 1e3 * sum(files[number].number() for number in used) / len(used)

    return read


def _temperature(opened: Opened) -> Values:
    """The highest plausible temperature of the processors' sensors."""
    sensors = ("coretemp", "k10temp", "zenpower", "cpu_thermal")
    files = [
        opened.file(path) for folder in sorted((SYS / "class/hwmon").glob("hwmon*"))
        if (folder / "name").read_text(encoding="utf-8").strip() in sensors for path in folder.glob("temp*_input")
    ]
    if not files:
        raise FileNotFoundError

    def read() -> list[float]:
        temperatures_c = [1e-3 * file.number() for file in files]
        return [max((each for each in temperatures_c if TEMPERATURE_C.holds(each)), default=max(temperatures_c))]

    return read


def _thermal_throttles(opened: Opened) -> Values:
    """How often cores or their package were slowed down because of heat, summed over cores."""
    files = [opened.file(path) for path in sorted(CPUS.glob("cpu[0-9]*/thermal_throttle/*_throttle_count"))]
    if not files:
        raise FileNotFoundError
    return lambda: [sum(file.number() for file in files)]


@dataclass(frozen=True, kw_only=True)
class Group:
    """Fields that are read together."""

    names: tuple[str, ...]
    meaning: Meaning
    tier: Tier
    opened: Callable[[Opened], Values]       # OSError if the system lacks it
    device: int = HOST
    within: Range | None = None


COUNTER, GAUGE = Meaning.COUNTER, Meaning.GAUGE
FAST, MEDIUM, EVENTS, SLOW = Tier.FAST, Tier.MEDIUM, Tier.EVENTS, Tier.SLOW
CORES = Range(high=1e5, of="logical_cores", times=1.1)       # core seconds per second
WHOLE_TIME = Range(high=1.1)

GROUPS = (
    # Of all cores together. Steal is time that a hypervisor gave to others while a core here had work.
    Group(names=("cpu_busy_s", "cpu_steal_s", "cpu_idle_s"), meaning=COUNTER, tier=FAST, opened=_cpu_times,
          within=CORES),
    # Time in which some process of the machine waited for a core, memory or a disk.
    Group(names=("cpu_pressure_s", "memory_pressure_s", "io_pressure_s"), meaning=COUNTER, tier=FAST, opened=_pressure,
          within=WHOLE_TIME),
    Group(names=("swap_in_bytes", "swap_out_bytes"), meaning=COUNTER, tier=EVENTS, opened=_virtual_memory),
    Group(names=("disk_read_bytes", "disk_write_bytes"), meaning=COUNTER, tier=MEDIUM, opened=_disks),
    Group(names=("network_receive_bytes", "network_send_bytes"), meaning=COUNTER, tier=MEDIUM, opened=_network),
    Group(names=("cgroup_throttled_s", "cgroup_throttled_periods"), meaning=COUNTER, tier=FAST, opened=_throttled),
    Group(names=("cpu_time_s", "run_queue_wait_s"), meaning=COUNTER, tier=FAST, device=TRIAL,
          opened=lambda opened: opened.processes.cpu_and_wait_s),
    Group(names=("major_faults",), meaning=COUNTER, tier=FAST, device=TRIAL,
          opened=lambda opened: opened.processes.major_faults),
    Group(names=("memory_available_bytes", "swap_used_bytes"), meaning=GAUGE, tier=MEDIUM, opened=_memory,
          within=BYTES),
    Group(names=("resident_bytes", "peak_resident_bytes"), meaning=GAUGE, tier=MEDIUM, device=TRIAL,
          opened=lambda opened: opened.processes.memory_bytes, within=BYTES),
    Group(names=("cpu_clock_hz",), meaning=GAUGE, tier=MEDIUM, opened=_clock, within=CLOCK_HZ),
    Group(names=("cpu_temperature_c",), meaning=GAUGE, tier=SLOW, opened=_temperature, within=TEMPERATURE_C),
    Group(names=("cpu_thermal_throttles",), meaning=COUNTER, tier=EVENTS, opened=_thermal_throttles),
)

FIELDS = tuple(
    Field(name=name, meaning=group.meaning, tier=group.tier, plausible=group.within)
    for group in GROUPS for name in group.names
)

REASONS: dict[type[Exception], Reason] = {
    FileNotFoundError: Reason.NOT_FOUND, PermissionError: Reason.NO_PERMISSION, ProcessLookupError: Reason.LOST,
}


def reason_of(error: Exception) -> Reason:
    """The reason for an error of the kernel."""
    if isinstance(error, OSError) and error.errno == errno.EOPNOTSUPP:      # pressure statistics are off since boot
        return Reason.NOT_SUPPORTED
    return REASONS.get(type(error), Reason.FAILED)


class Host:
    """This machine, and the trial's processes on it."""

    def __init__(self, wanted: Wanted):
        self.devices = (
            Device(id="host", kind="host", name=platform.node(), facts={"logical_cores": os.cpu_count()}),
            Device(id="trial", kind="process", name="processes of the trial"),
        )
        self._opened = Opened(wanted.processes)
        self._looks = [(group, _opened(group, self._opened)) for group in GROUPS]

    def read(self, tier: Tier) -> Iterator[Reading]:
        if tier is Tier.SLOW:
            self._opened.processes.find()
        field = 0
        for group, look in self._looks:
            if group.tier is tier and (group.device == HOST or self._opened.processes.roots):
                yield from _readings(group, look, field)
            field += len(group.names)

    def watch(self, processes: Sequence[int]) -> None:
        self._opened.processes.watch(processes)

    def close(self) -> None:
        self._opened.close()


def _opened(group: Group, opened: Opened) -> Values | Reason:
    try:
        return group.opened(opened)
    except (OSError, ValueError) as error:
        return reason_of(error)


def _readings(group: Group, look: Values | Reason, field: int) -> Iterator[Reading]:
    begin_ns = time.perf_counter_ns()
    reason, values = (look, []) if isinstance(look, Reason) else _looked(look)
    end_ns = time.perf_counter_ns()
    for number in range(len(group.names)):
        value = values[number] if reason is None else None
        yield Reading(group.device, field + number, begin_ns, end_ns, value, reason)


def _looked(look: Values) -> tuple[Reason | None, list[float]]:
    try:
        return None, list(look())
    except (OSError, ValueError, LookupError) as error:      # a kernel may change the format of a file
        return reason_of(error), []


def open_source(wanted: Wanted) -> Host:
    """This machine; raises Unavailable on systems other than Linux."""
    if not (PROC / "stat").exists():
        raise Unavailable(f"telemetry of the host needs /proc of Linux, which {platform.system()} does not have")
    return Host(wanted)
