"""The system under test: facts that explain a number, in two parts.

``facts`` are constant from trial to trial and after a restart; their hash is the fingerprint. ``volatile`` facts
change all the time. A fact that the system does not state is None. Only files are read, and no device is queried, so
nothing here can hang.
"""

from __future__ import annotations

import hashlib
import json
import platform
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import psutil

from rigmark.bench.host import kernel
from rigmark.bench.host.kernel import text
from rigmark.bench.machine import hardware
from rigmark.bench.telemetry.sources import TEMPERATURE_C
from rigmark.bench.version import __version__

GIB = 2**30

KERNEL_OPTIONS = frozenset({
    "amd_pstate", "cgroup_disable", "clocksource", "default_hugepagesz", "hugepages", "hugepagesz", "idle",
    "intel_idle.max_cstate", "intel_iommu", "intel_pstate", "iommu", "irqaffinity", "isolcpus", "maxcpus", "mem",
    "mitigations", "nohz", "nohz_full", "nosmt", "nospectre_v1", "nospectre_v2", "nopti", "numa_balancing", "preempt",
    "processor.max_cstate", "pti", "rcu_nocbs", "spec_store_bypass_disable", "spectre_v2", "transparent_hugepage",
    "tsc",
})
"""Options of the kernel's command line that change how fast programs run. Others are not read: they may be private."""


def described() -> dict[str, Any]:
    """The system as records store it: {"fingerprint", "facts", "volatile"}."""
    return {"fingerprint": fingerprint(facts()), "facts": facts(), "volatile": volatile()}


def fingerprint(of: Mapping[str, Any]) -> str:
    """The hash of facts that distinguishes two systems."""
    return hashlib.sha256(json.dumps(of, sort_keys=True).encode()).hexdigest()[:12]


@cache
def facts() -> dict[str, Any]:
    """The constant facts, which are read once per process."""
    return {
        "software": {"rigmark": __version__, "python": platform.python_version()},
        "operating_system": {
            "name": _operating_system(), "kernel": platform.release(), "kernel_options": kernel_options(),
            "virtual_machine": virtual_machine(), "container": container(), "clock_source": text(
                "sys/devices/system/clocksource/clocksource0/current_clocksource"),
        },
        "processor": processor(),
        "memory": {
            # In whole GiB, because the kernel reserves slightly different amounts at each boot.
            "bytes": round(hardware.machine().memory_bytes / GIB) * GIB,
            "swap_bytes": round(psutil.swap_memory().total / GIB) * GIB, "huge_pages": hardware.machine().huge_pages,
            "numa_balancing": text("proc/sys/kernel/numa_balancing"),
            "address_randomisation": text("proc/sys/kernel/randomize_va_space"),
        },
        "numa_nodes": numa_nodes(),
        "frequency": {
            "driver": text("sys/devices/system/cpu/cpu0/cpufreq/scaling_driver"), "turbo": turbo(),
            "min_hz": _kilohertz("cpuinfo_min_freq"), "max_hz": _kilohertz("cpuinfo_max_freq"),
        },
        "limits": {
            "cpus": list(hardware.affinity()), "cpu_quota_cores": kernel.cpu_quota_cores(),
            "memory_bytes": kernel.memory_limit_bytes(),
        },
        "gpus": [dict(gpu) for gpu in hardware.nvidia_gpus()],
        "gpu_driver": hardware.nvidia_driver(),
    }


def volatile() -> dict[str, Any]:
    """The facts that change, as they are now."""
    swap = psutil.swap_memory()
    return {
        "load": hardware.load_average(), "free_memory_bytes": psutil.virtual_memory().available,
        "swap_used_bytes": swap.used, "governors": governors(), "energy_preferences": _policies(
            "energy_performance_preference"),
        **battery(), "temperatures_c": temperatures_c(), "cpu_pressure_ratio": pressure("cpu"),
    }


def _operating_system() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    except OSError:
        return platform.system()


def kernel_options() -> list[str] | None:
    """The kernel options that change how fast programs run, sorted; None if the command line cannot be read."""
    line = text("proc/cmdline")
    if line is None:
        return None
    return sorted({option for option in line.split() if option.partition("=")[0] in KERNEL_OPTIONS})


def processor() -> dict[str, Any]:
    """The first processor as Linux describes it; ``flags`` are its features and its known bugs."""
    first: dict[str, str] = {}
    for line in (text("proc/cpuinfo") or "").split("\n\n")[0].splitlines():
        name, _, value = line.partition(":")
        first[name.strip()] = value.strip()
    machine = hardware.machine()
    sockets = set(_each_cpu("topology/physical_package_id"))
    return {
        "name": machine.cpu, "vendor": first.get("vendor_id"), "family": first.get("cpu family"),
        "model": first.get("model"), "stepping": first.get("stepping"), "microcode": first.get("microcode"),
        "flags": sorted({*first.get("flags", first.get("Features", "")).split(), *first.get("bugs", "").split()}),
        "sockets": len(sockets) or None, "cores": machine.cores, "logical_cores": machine.logical_cores,
        "smt": text("sys/devices/system/cpu/smt/control"),
    }


def _each_cpu(name: str) -> Iterator[str]:
    for folder in sorted((kernel.ROOT / "sys/devices/system/cpu").glob("cpu[0-9]*")):
        if (value := text(str(folder.relative_to(kernel.ROOT) / name))) is not None:
            yield value


def numa_nodes() -> list[dict[str, Any]]:
    """The cores of each NUMA node ("0-7"), and the distance of its memory from each node."""
    nodes = (kernel.ROOT / "sys/devices/system/node").glob("node[0-9]*")
    folders = sorted(nodes, key=lambda folder: int(folder.name.removeprefix("node")))
    topology = []
    for folder in folders:
        where = folder.relative_to(kernel.ROOT)
        distances = (text(f"{where}/distance") or "").split()
        topology.append({"cpus": text(f"{where}/cpulist"), "distances": [int(distance) for distance in distances]})
    return topology


def virtual_machine() -> str | None:
    """The kind of virtual machine, or "unknown kind"; None on a physical machine."""
    if "hypervisor" not in (text("proc/cpuinfo") or ""):
        return None
    vendor, product = text("sys/class/dmi/id/sys_vendor"), text("sys/class/dmi/id/product_name")
    return " ".join(filter(None, [vendor, product])) or text("sys/hypervisor/type") or "unknown kind"


def container() -> str | None:
    """The kind of container; None if there are no signs of one."""
    if (kernel.ROOT / ".dockerenv").exists():
        return "docker"
    if (kernel.ROOT / "run/.containerenv").exists():
        return "podman"
    return text("run/systemd/container")


def turbo() -> bool | None:
    """Whether the processor may run above its base frequency; None if the system does not state it."""
    for path, on in (
        ("sys/devices/system/cpu/intel_pstate/no_turbo", "0"), ("sys/devices/system/cpu/cpufreq/boost", "1"),
    ):
        if (value := text(path)) is not None:
            return value == on
    return None


def governors() -> list[str] | None:
    """The governors of the cores' frequencies, each once; None if the kernel does not choose frequencies."""
    return _policies("scaling_governor")


def _policies(name: str) -> list[str] | None:
    folders = (kernel.ROOT / "sys/devices/system/cpu/cpufreq").glob("policy[0-9]*")
    policies = {value for folder in folders if (value := text(str(folder.relative_to(kernel.ROOT) / name)))}
    return sorted(policies) or None


def _kilohertz(name: str) -> float | None:
    value = text(f"sys/devices/system/cpu/cpu0/cpufreq/{name}")
    return 1e3 * int(value) if value and value.isdigit() else None


def battery() -> dict[str, Any]:
    """{"on_battery": None if not known, "battery_ratio": charge from 0 to 1, "battery_reason": why one is None}."""
    supplies = sorted((kernel.ROOT / "sys/class/power_supply").glob("*"))
    kinds = {folder: text(str(folder.relative_to(kernel.ROOT) / "type")) for folder in supplies}
    # psutil also counts batteries of mice, keyboards and pens, which are not the machine's.
    own = [folder for folder, kind in kinds.items()
           if kind == "Battery" and text(str(folder.relative_to(kernel.ROOT) / "scope")) != "Device"]
    try:
        state = None if platform.system() == "Linux" and not own else psutil.sensors_battery()
    except (AttributeError, OSError, ValueError):        # not on this system, or not in the form that psutil expects
        state = None
    if state is None:
        reason = "the system states nothing about its battery" if own else "the system shows no battery"
        return {"on_battery": None, "battery_ratio": None, "battery_reason": reason}
    is_plugged = getattr(state, "power_plugged", None)       # None if not known, although its type excludes it
    if is_plugged is None:       # psutil knows only two names of mains adapters; a full battery may be "Not charging"
        mains = [folder.relative_to(kernel.ROOT) for folder, kind in kinds.items() if kind != "Battery"]
        online = [text(f"{folder}/online") for folder in mains]
        is_plugged = True if "1" in online else None
    return {
        "on_battery": None if is_plugged is None else not is_plugged, "battery_ratio": state.percent / 100,
        "battery_reason": "the system does not state whether it is on mains" if is_plugged is None else None,
    }


def temperatures_c() -> dict[str, float] | None:
    """The highest plausible reading of each sensor chip, in °C; None if the system shows none."""
    by_chip = psutil.sensors_temperatures() if hasattr(psutil, "sensors_temperatures") else {}
    sound = {
        chip: [each.current for each in readings if each.current is not None and TEMPERATURE_C.holds(each.current)]
        for chip, readings in by_chip.items()
    }
    return {chip: max(readings) for chip, readings in sound.items() if readings} or None


def pressure(resource: str) -> float | None:
    """Share of the last ten seconds in which some process waited for this resource; None if not stated."""
    match = re.search(r"some avg10=([\d.]+)", text(f"proc/pressure/{resource}") or "")
    return float(match[1]) / 100 if match else None
