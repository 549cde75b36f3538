"""Checks of noise: other work on the machine, and settings of the system that disturb measurements."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import psutil

from rigmark.bench.doctor.checks import Check, Severity

WATCHED_S = 1.0              # for how long other work is observed
BUSY_CORES = 0.1             # used by other processes; as in bench.analysis.results.findings
STEAL = 0.01                 # share of the cores' time; as in bench.analysis.results.telemetry_findings
PRESSURE = 0.10


@dataclass(frozen=True, kw_only=True)
class OtherWork:
    """Work of other processes while this command observed the machine."""

    cores: float | None                          # that were busy; None if the system does not state it
    steal: float | None                          # share of the cores' time that a hypervisor gave to others
    processes: tuple[tuple[str, float], ...]     # (name, cores), the busiest process first


def other_work() -> OtherWork:
    """Observes for WATCHED_S what else runs; uses hardly any CPU time itself."""
    own = psutil.Process()
    ours = {own.pid, *(child.pid for child in own.children(recursive=True))}
    before = {p.pid: _cpu_time_s(p) for p in psutil.process_iter() if p.pid not in ours}
    times, started = _cpu_times(), time.monotonic()
    time.sleep(WATCHED_S)
    passed_s, now = time.monotonic() - started, _cpu_times()
    busy: dict[str, float] = {}
    for other in psutil.process_iter():
        used, was = _cpu_time_s(other), before.get(other.pid)
        if used is not None and was is not None and used > was:
            name = _name(other)
            busy[name] = busy.get(name, 0.0) + (used - was) / passed_s
    steal = None if times is None or now is None else (now[1] - times[1]) / passed_s / (os.cpu_count() or 1)
    return OtherWork(
        cores=None if times is None or now is None else (now[0] - times[0]) / passed_s, steal=steal,
        processes=tuple(sorted(busy.items(), key=lambda each: -each[1])[:3]),
    )


def _cpu_times() -> tuple[float, float] | None:
    """(busy, stolen) seconds of all cores since boot; None if the system does not report stolen time."""
    times = psutil.cpu_times()
    if not hasattr(times, "steal"):
        return None
    idle = times.idle + getattr(times, "iowait", 0.0)
    guest = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)     # included in user and nice
    return sum(times) - idle - guest - times.steal, times.steal


def _cpu_time_s(of: psutil.Process) -> float | None:
    try:
        times = of.cpu_times()
    except psutil.Error:
        return None
    return float(times.user + times.system)


def _name(of: psutil.Process) -> str:
    try:
        return str(of.name())
    except psutil.Error:
        return "a process that ended"


def noise_checks(described: Mapping[str, Any], work: OtherWork) -> Iterator[Check]:
    """What would make step times vary from trial to trial."""
    def noise(text: str, fix: str | None) -> Check:
        return Check(topic="noise", severity=Severity.NOISE, text=text, fix=fix)

    facts, now = described["facts"], described["volatile"]
    if work.cores is not None and work.cores > BUSY_CORES:
        names = ", ".join(f"{name} {cores:.1f}" for name, cores in work.processes if cores >= BUSY_CORES / 2)
        yield noise(f"other processes keep {work.cores:.1f} cores busy{f' ({names})' if names else ''}",
                    "stop them, or wait until they end")
    if work.steal is not None and work.steal > STEAL:
        yield noise(f"the hypervisor gives {work.steal:.0%} of the cores' time to others",
                    "measure on your own hardware, or on a machine with dedicated cores")
    pressure = now["cpu_pressure_ratio"]
    if pressure is not None and pressure > PRESSURE:
        yield noise(f"processes waited for a core in {pressure:.0%} of the last ten seconds",
                    "stop other work")
    slow = [name for name in now["governors"] or () if name != "performance"]
    if slow:
        yield noise(f"cores follow the governor '{slow[0]}', which changes their clock with load",
                    "sudo cpupower frequency-set --governor performance")
    if facts["frequency"]["turbo"]:
        yield noise("turbo is on: clocks depend on temperature, and on how many cores are busy",
                    "to detect small differences switch it off: echo 1 | sudo tee "
                    "/sys/devices/system/cpu/intel_pstate/no_turbo (or 0 to cpufreq/boost)")
    if now["on_battery"]:
        yield noise("this machine runs on battery", "plug it in")
    if now["swap_used_bytes"] > 0:
        yield noise(f"{now['swap_used_bytes'] / 2**20:.0f} MiB are in swap", "free memory, then: sudo swapoff -a && "
                    "sudo swapon -a")
    if facts["processor"]["smt"] == "on":
        cores = facts["processor"]["cores"]
        yield noise("two threads share each core (SMT), so the speed of a thread depends on what the other one does",
                    f"--threads {cores}" if cores else None)
    if (machine := facts["operating_system"]["virtual_machine"]) is not None:
        yield noise(f"this is a virtual machine ({machine}): other machines on its host change its speed within hours",
                    "repeat it hours later with another --session, and trust only differences that occur again")
    if len(facts["numa_nodes"]) > 1:
        yield noise(f"memory is divided among {len(facts['numa_nodes'])} nodes: speed depends on where a process runs",
                    "numactl --cpunodebind=0 --membind=0 rigmark run ...")
    if facts["memory"]["numa_balancing"] == "1" and len(facts["numa_nodes"]) > 1:
        yield noise("the kernel moves memory between nodes (numa_balancing)", "sudo sysctl kernel.numa_balancing=0")
    clock = facts["operating_system"]["clock_source"]
    if clock in ("hpet", "acpi_pm", "jiffies"):
        yield noise(f"the kernel's clock is '{clock}', which takes a microsecond or more to read",
                    "see in dmesg why 'tsc' is not used")
