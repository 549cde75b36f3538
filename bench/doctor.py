"""What this machine can measure, and what would spoil it: facts, and checks each with its fix."""

from __future__ import annotations

import ctypes
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import psutil

from bench import builds as builds_module
from bench import compatibility, environments, frameworks, hardware, isa, probe, process, system
from bench.builds import Build
from bench.telemetry import sources
from bench.telemetry.sources import Unavailable, Wanted

WATCHED_S = 1.0              # for how long other work on the machine is watched
ANSWER_S = 20.0              # within which a source of telemetry must open: a driver that hangs is a finding, too
BUSY_CORES = 0.1             # of other processes, as in bench.analysis.findings
STEAL = 0.01                 # of the cores' time, as in bench.analysis.telemetry
PRESSURE = 0.10
SPACE_BYTES = 2**30          # of disk, for results and compiled programs
NVIDIA_VENDOR, DISPLAY_CLASS = "0x10de", "0x03"      # of PCI: display controllers, 3D ones among them


class Severity(StrEnum):
    OK = "ok"
    NOISE = "noise"          # makes numbers less sure
    PROBLEM = "problem"      # something that is here cannot be used, or not as it could be
    PREVENTS = "prevents"    # something that was asked for cannot be measured


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing that was looked at."""

    topic: str
    severity: Severity
    text: str
    fix: str | None = None   # what to do; None where all is well, or nothing can be done


@dataclass(frozen=True, kw_only=True)
class Usable:
    """One build, as it was found."""

    build: Build
    python: str | None
    versions: Mapping[str, str | None]           # of the packages that frameworks are known by
    frameworks: tuple[str, ...]
    problem: str | None                          # why it cannot be used; None where it can
    installed: compatibility.Installed | None    # everything in it; None where it does not start

    @property
    def cuda(self) -> str | None:
        return None if self.installed is None else compatibility.cuda(self.installed.versions)

    @property
    def cudnn(self) -> str | None:
        return None if self.installed is None else compatibility.cudnn(self.installed.versions)


@dataclass(frozen=True, kw_only=True)
class Gpus:
    """GPUs that are on the bus, and those that answer."""

    on_bus: int                                  # NVIDIA's
    has_library: bool                            # NVIDIA's driver is installed, working or not
    devices: tuple[sources.Device, ...]          # that telemetry sees
    driver: str | None
    unavailable: Mapping[str, str]               # source of telemetry: why it has none


@dataclass(frozen=True, kw_only=True)
class OtherWork:
    """What ran beside this command while it looked."""

    cores: float | None                          # kept busy; None where the system does not say
    steal: float | None                          # share of the cores' time that a hypervisor gave to others
    processes: tuple[tuple[str, float], ...]     # (name, cores), the busiest first


@dataclass(frozen=True, kw_only=True)
class Examination:
    """All that was found."""

    system: Mapping[str, Any]
    instruction_sets: Mapping[str, bool]         # by level, of this processor
    builds: tuple[Usable, ...]
    gpus: Gpus
    checks: tuple[Check, ...] = field(default=())

    @property
    def can_measure(self) -> bool:
        return not any(check.severity is Severity.PREVENTS for check in self.checks)


def examine(results: Path) -> Examination:
    """Look at everything; takes some seconds. ``results`` is the folder that records would go to.

    Raises UserError for a builds.toml that cannot be understood.
    """
    found, work = usable_builds(), other_work()
    gpus, described = telemetry_devices(), system.described()
    features = hardware.cpu_features()
    levels = {level.value: not isa.FEATURES[level] - features for level in isa.LEVELS}
    checks = [
        *build_checks(found, gpus.driver, compilers()), *gpu_checks(gpus, found), *room_checks(results, described),
        *telemetry_checks(gpus), *noise_checks(described, work),
    ]
    return Examination(
        system=described, instruction_sets=levels, builds=tuple(found), gpus=gpus, checks=tuple(checks)
    )


# Builds -----------------------------------------------------------------------------------------------------------


def usable_builds() -> list[Usable]:
    """Every build of builds.toml and the default one, each asked what it is."""
    return [_usable(build) for build in builds_module.load().values()]


def _usable(build: Build) -> Usable:
    if build.is_managed and not environments.is_finished(build):
        return Usable(
            build=build, python=None, versions={}, frameworks=(), problem="not made yet", installed=None
        )
    facts, problem = probe.facts(build)
    versions = facts.get("packages", {})
    names = tuple(
        name for name in frameworks.NAMES if any(versions.get(d) for d in frameworks.load(name).DISTRIBUTIONS)
    )
    return Usable(
        build=build, python=facts.get("python"), versions=versions, frameworks=names, problem=problem,
        installed=compatibility.installed(build.interpreter, process.environment(build, threads=1)),
    )


def compilers() -> dict[str, bool]:
    """Which of the compilers of the table are here."""
    return {
        name: any(shutil.which(program) for program in filter(None, (os.environ.get(variable), *programs)))
        for name, (variable, programs) in compatibility.COMPILERS.items()
    }


def build_checks(found: Sequence[Usable], driver: str | None, has_compiler: Mapping[str, bool]) -> Iterator[Check]:
    """What each build lacks, and whether its parts go together."""
    for usable in found:
        name = usable.build.name
        if usable.problem == "not made yet":
            yield Check(
                topic="builds", severity=Severity.PROBLEM, text=f"build '{name}' is a recipe that was not made yet",
                fix=f"rigmark builds create {name}",
            )
        elif usable.problem is not None:
            yield Check(
                topic="builds", severity=Severity.PREVENTS, text=f"build '{name}' cannot be used: {usable.problem}",
                fix=f"mend {usable.build.interpreter}, or take it out: rigmark builds remove {name}",
            )
        elif usable.installed is not None:
            yield from _clashes(usable, usable.installed, driver, has_compiler)
    measured = {name for usable in found for name in usable.frameworks} - {"numpy"}
    if not measured:
        yield Check(
            topic="builds", severity=Severity.PREVENTS, text="no build has a framework but NumPy, the oracle",
            fix=f"rigmark builds create torch ({_needs_python('torch')}), or install one beside Rigmark",
        )
    for name in sorted(set(compatibility.PYTHONS) - measured):
        yield Check(
            topic="builds", severity=Severity.OK, text=f"no build has {name}",
            fix=f"to measure it: rigmark builds create {name} ({_needs_python(name)})",
        )


def _needs_python(framework: str) -> str:
    release, python = compatibility.PYTHONS[framework]
    return f"{framework} {release} needs Python {python}"


def _clashes(
    usable: Usable, installed: compatibility.Installed, driver: str | None, has_compiler: Mapping[str, bool]
) -> Iterator[Check]:
    name = usable.build.name
    roots = tuple(d for framework in usable.frameworks for d in frameworks.load(framework).DISTRIBUTIONS)
    for wanted, sentence in compatibility.clashes(installed, roots):
        yield Check(
            topic="builds", severity=Severity.PROBLEM, text=f"build '{name}': {sentence}",
            fix="make the build from another Python" if wanted is None
            else f"{usable.build.interpreter} -m pip install '{wanted}'",
        )
    for need, sentence in compatibility.unmet(installed, has_compiler):
        package = need.needs.removeprefix("a ").lower()
        compiler = f"install {package}: apt install build-essential, or dnf install gcc-c++"
        yield Check(
            topic="builds", severity=Severity.PROBLEM, text=f"build '{name}': {sentence} [{need.source}]",
            fix=compiler if need.needs in has_compiler
            else f"{usable.build.interpreter} -m pip install '{need.needs}'" if not need.needs.startswith("python")
            else f"make the build from another Python ({need.needs.removeprefix('python')})",
        )
    if usable.cuda and driver and compatibility.is_too_old(driver, usable.cuda):
        yield Check(
            topic="builds", severity=Severity.PREVENTS,
            text=f"build '{name}' is for CUDA {usable.cuda}, which needs an NVIDIA driver of "
                 f"{compatibility.driver_needed(usable.cuda)} or newer, and {driver} is loaded",
            fix="install a newer driver, or a build for an older CUDA",
        )


# GPUs and telemetry -----------------------------------------------------------------------------------------------


def telemetry_devices() -> Gpus:
    """The GPUs that any source of telemetry sees, and why each other source has none."""
    devices: list[sources.Device] = []
    unavailable: dict[str, str] = {}
    for name in sources.NAMES:
        try:
            devices += _opened_in_time(name)
        except Unavailable as problem:
            unavailable[name] = str(problem)
    gpus = tuple(device for device in devices if device.kind == "gpu")
    stated = [str(gpu.facts["driver"]) for gpu in gpus if gpu.facts.get("driver")]
    return Gpus(
        on_bus=len(list(nvidia_places())), has_library=_loads("libnvidia-ml.so.1"), devices=gpus,
        driver=next(iter(stated), None) or hardware.nvidia_driver(), unavailable=unavailable,
    )


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def _opened_in_time(name: str) -> list[sources.Device]:
    """Devices of a source; raises Unavailable, also where it does not answer."""
    answer: list[Any] = []

    def ask() -> None:
        try:
            source = sources.load(name).open_source(Wanted())
            answer.append(list(source.devices))
            source.close()
        except Unavailable as problem:
            answer.append(problem)
        except Exception as error:      # whatever a driver's library does must not end the examination
            answer.append(Unavailable(f"{type(error).__name__}: {error}"))

    # A thread of its own, since a driver that hangs cannot be interrupted; as a daemon it does not outlive us.
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(ANSWER_S)
    if not answer:
        raise Unavailable(f"it did not answer within {ANSWER_S:.0f} s; its driver hangs: look in dmesg, then reboot")
    if isinstance(answer[0], Unavailable):
        raise answer[0]
    return list(answer[0])


def nvidia_places() -> Iterator[str]:
    """Addresses on the bus of NVIDIA's GPUs, with a driver or without."""
    for folder in sorted((system.ROOT / "sys/bus/pci/devices").glob("*")):
        where = folder.relative_to(system.ROOT)
        is_nvidia = system.text(f"{where}/vendor") == NVIDIA_VENDOR
        if is_nvidia and (system.text(f"{where}/class") or "").startswith(DISPLAY_CLASS):
            yield folder.name


def gpu_checks(gpus: Gpus, found: Sequence[Usable]) -> Iterator[Check]:
    """Whether GPUs that are here can be used, and run as they can."""
    nvidia = [gpu for gpu in gpus.devices if gpu.facts.get("driver")]
    has_cuda = any(usable.cuda for usable in found)
    why, fix = gpus.unavailable.get("nvml"), "install or mend the driver; nvidia-smi must list every GPU"
    severity = Severity.PREVENTS if has_cuda else Severity.PROBLEM       # of those who measure CPUs it asks nothing
    if gpus.on_bus > len(nvidia):
        yield Check(
            topic="gpus", severity=severity, fix=fix,
            text=f"{gpus.on_bus} NVIDIA GPU{'s are' if gpus.on_bus > 1 else ' is'} on the bus, and telemetry sees "
                 f"{len(nvidia)}: {why or 'the others do not answer'}",
        )
    elif gpus.has_library and why is not None:
        yield Check(topic="gpus", severity=severity, text=why, fix=fix)
    if nvidia and not has_cuda:
        yield Check(
            topic="gpus", severity=Severity.PROBLEM, text="no build has a framework with CUDA, so no GPU is measured",
            fix="rigmark builds create torch",
        )
    for gpu in gpus.devices:
        facts, name = gpu.facts, name_of(gpu)
        limit_w, default_w = facts.get("power_limit_w"), facts.get("power_limit_default_w")
        if limit_w and default_w and limit_w < 0.99 * default_w:
            yield Check(
                topic="gpus", severity=Severity.NOISE,
                text=f"the power limit of {name} is {limit_w:.0f} W, below its own {default_w:.0f} W",
                fix=f"sudo nvidia-smi --id={gpu.id} --power-limit={default_w:.0f}",
            )
        if facts.get("persistence") is False:
            yield Check(
                topic="gpus", severity=Severity.NOISE,
                text=f"persistence mode of {name} is off: its driver starts anew with each process",
                fix="sudo nvidia-smi --persistence-mode=1, or run nvidia-persistenced",
            )
        width, most = facts.get("pcie_link_width"), facts.get("pcie_link_width_max")
        if width and most and width < most:
            yield Check(
                topic="gpus", severity=Severity.PROBLEM, text=f"{name} has {width} of {most} PCIe lanes",
                fix="look at its slot, riser and the firmware's settings",
            )
        if facts.get("compute_mode") == "prohibited":
            yield Check(
                topic="gpus", severity=Severity.PREVENTS, text=f"the compute mode of {name} lets no program use it",
                fix=f"sudo nvidia-smi --id={gpu.id} --compute-mode=DEFAULT",
            )
        if facts.get("mig"):
            yield Check(
                topic="gpus", severity=Severity.NOISE, text=f"{name} is divided (MIG): each part is a device"
            )


def name_of(gpu: sources.Device) -> str:
    """With its index, since a machine's GPUs mostly are of one kind."""
    index = gpu.facts.get("index")
    return gpu.name if index is None else f"{gpu.name} (GPU {index})"


def telemetry_checks(gpus: Gpus) -> Iterator[Check]:
    """Sources that have nothing here; that is a problem where there is something that may not be read.

    For GPUs that are on the bus see ``gpu_checks``.
    """
    has_counters = any((system.ROOT / "sys/class/powercap").glob("*/energy_uj"))
    for name, why in gpus.unavailable.items():
        if name == "nvml" and (gpus.on_bus or gpus.has_library):
            continue
        severity = Severity.PROBLEM if name == "rapl" and has_counters else Severity.OK
        yield Check(topic="telemetry", severity=severity, text=f"{name}: {why}")


# Room ---------------------------------------------------------------------------------------------------------------


def room_checks(results: Path, described: Mapping[str, Any]) -> Iterator[Check]:
    """Where records and compiled programs go, and limits of the control group."""
    folder = next(place for place in (results, *results.absolute().parents) if place.is_dir())
    if not os.access(folder, os.W_OK | os.X_OK):
        yield Check(
            topic="room", severity=Severity.PREVENTS, text=f"no permission to write results to {results}",
            fix="choose another folder with --results",
        )
    for place in dict.fromkeys((folder, Path(tempfile.gettempdir()))):
        free = shutil.disk_usage(place).free
        if free < SPACE_BYTES:
            yield Check(
                topic="room", severity=Severity.PROBLEM, text=f"{free / 2**20:.0f} MiB are free in {place}",
                fix="free some, or choose another place (--results, TMPDIR)",
            )
    facts = described["facts"]
    quota, cores = facts["limits"]["cpu_quota_cores"], len(facts["limits"]["cpus"])
    if quota is not None and quota < cores:
        yield Check(
            topic="room", severity=Severity.NOISE,
            text=f"the control group allows {quota:g} cores' time on {cores} cores: more threads are stopped now "
                 "and then",
            fix=f"--threads {max(1, int(quota))}, or lift the limit (docker --cpus, a pod's cpu limit)",
        )
    limit, total = facts["limits"]["memory_bytes"], facts["memory"]["bytes"]
    if limit is not None and limit < total:
        yield Check(
            topic="room", severity=Severity.OK,
            text=f"the control group allows {limit / 2**30:.1f} of {total / 2**30:.0f} GiB of memory",
            fix="beyond it the kernel kills a trial; lift it (docker --memory) for large models",
        )


# Noise --------------------------------------------------------------------------------------------------------------


def other_work() -> OtherWork:
    """Watch for a second what else runs; costs almost nothing itself."""
    own = psutil.Process()
    before = {p.pid: _cpu_time_s(p) for p in psutil.process_iter() if p.pid != own.pid}
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
    """(busy, stolen) seconds of all cores since the start."""
    times = psutil.cpu_times()
    if not hasattr(times, "steal"):
        return None
    idle = times.idle + getattr(times, "iowait", 0.0)
    guest = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)     # is within user and nice
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
    """What would make step times differ from one trial to the next."""
    def noise(text: str, fix: str | None) -> Check:
        return Check(topic="noise", severity=Severity.NOISE, text=text, fix=fix)

    facts, now = described["facts"], described["volatile"]
    if work.cores is not None and work.cores > BUSY_CORES:
        names = ", ".join(f"{name} {cores:.1f}" for name, cores in work.processes if cores >= BUSY_CORES / 2)
        yield noise(f"other processes keep {work.cores:.1f} cores busy{f' ({names})' if names else ''}",
                    "stop them, or wait until they end")
    if work.steal is not None and work.steal > STEAL:
        yield noise(f"the hypervisor gives {work.steal:.0%} of the cores' time to others",
                    "measure on hardware of your own, or on a machine with dedicated cores")
    pressure = now["cpu_pressure_ratio"]
    if pressure is not None and pressure > PRESSURE:
        yield noise(f"in the last ten seconds some process waited for a core {pressure:.0%} of the time",
                    "stop other work")
    slow = [name for name in now["governors"] or () if name != "performance"]
    if slow:
        yield noise(f"cores follow the governor '{slow[0]}', which changes their clock with load",
                    "sudo cpupower frequency-set --governor performance")
    if facts["frequency"]["turbo"]:
        yield noise("turbo is on: clocks depend on heat, and on how many cores are busy",
                    "for small differences switch it off: echo 1 | sudo tee "
                    "/sys/devices/system/cpu/intel_pstate/no_turbo (or 0 to cpufreq/boost)")
    if now["on_battery"]:
        yield noise("this machine runs on its battery", "plug it in")
    if now["swap_used_bytes"] > 0:
        yield noise(f"{now['swap_used_bytes'] / 2**20:.0f} MiB are in swap", "free memory, then: sudo swapoff -a && "
                    "sudo swapon -a")
    if facts["processor"]["smt"] == "on":
        cores = facts["processor"]["cores"]
        yield noise("two threads share each core (SMT), so a thread's speed depends on its neighbour's work",
                    f"--threads {cores}" if cores else None)
    if (machine := facts["operating_system"]["virtual_machine"]) is not None:
        yield noise(f"this is a virtual machine ({machine}): neighbours change its speed within hours",
                    "repeat in another hour (--session), and trust differences that come back")
    if len(facts["numa_nodes"]) > 1:
        yield noise(f"memory is divided among {len(facts['numa_nodes'])} nodes: speed depends on where a process runs",
                    "numactl --cpunodebind=0 --membind=0 rigmark run ...")
    if facts["memory"]["numa_balancing"] == "1" and len(facts["numa_nodes"]) > 1:
        yield noise("the kernel moves memory between nodes (numa_balancing)", "sudo sysctl kernel.numa_balancing=0")
    clock = facts["operating_system"]["clock_source"]
    if clock in ("hpet", "acpi_pm", "jiffies"):
        yield noise(f"the kernel's clock is '{clock}', which takes a microsecond or more to read",
                    "look in dmesg why 'tsc' was given up")


def plain(of: Examination) -> dict[str, Any]:
    """For scripts: names stay, more may be added; None for what is not known."""
    features = hardware.cpu_features()
    return {
        "can_measure": of.can_measure, "machine": hardware.machine().plain(), "system": dict(of.system),
        "instruction_sets": dict(of.instruction_sets),
        "gpus": {
            "on_bus": of.gpus.on_bus, "driver": of.gpus.driver, "unavailable": dict(of.gpus.unavailable),
            "devices": [
                {"id": gpu.id, "name": gpu.name, "facts": gpu.facts, "unknown": gpu.unknown} for gpu in of.gpus.devices
            ],
        },
        "builds": [
            {
                "name": usable.build.name, "interpreter": usable.build.interpreter, "python": usable.python,
                "frameworks": {name: framework_version(usable, name) for name in usable.frameworks},
                "instruction_sets": {
                    name: usable_levels(name, usable.build.isa, features) for name in usable.frameworks
                },
                "cuda": usable.cuda, "cudnn": usable.cudnn, "problem": usable.problem,
            }
            for usable in of.builds
        ],
        "checks": [
            {"topic": check.topic, "severity": check.severity, "text": check.text, "fix": check.fix}
            for check in of.checks
        ],
    }


def framework_version(usable: Usable, framework: str) -> str | None:
    """Version of a framework in a build."""
    return next((v for d in frameworks.load(framework).DISTRIBUTIONS if (v := usable.versions.get(d))), None)


def usable_levels(framework: str, of_build: str, features: frozenset[str]) -> list[str]:
    """The levels of instruction sets that a framework can be held to on a processor with these features.

    A build that is held to a level itself can run that one alone.
    """
    levels = isa.LEVELS if of_build == isa.Isa.NATIVE else (isa.Isa(of_build),)
    return [level for level in levels if isa.refusal(framework, level, "cpu", features) is None]


