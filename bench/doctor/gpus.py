"""GPUs and telemetry: what is on the bus, what answers, and what it lacks."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rigmark.bench.doctor.builds import Usable
from rigmark.bench.doctor.checks import Check, Severity
from rigmark.bench.host import kernel
from rigmark.bench.machine import hardware
from rigmark.bench.telemetry import sources
from rigmark.bench.telemetry.sources import Unavailable, Wanted

ANSWER_S = 20.0              # within which a source of telemetry must open: a driver that hangs is a finding, too
NVIDIA_VENDOR, DISPLAY_CLASS = "0x10de", "0x03"      # of PCI: display controllers, 3D ones among them


@dataclass(frozen=True, kw_only=True)
class Gpus:
    """GPUs that are on the bus, and those that answer."""

    on_bus: int                                  # NVIDIA's
    has_library: bool                            # NVIDIA's driver is installed, working or not
    by_source: Mapping[str, tuple[sources.Device, ...]]      # of telemetry that sees them
    driver: str | None                           # NVIDIA's
    unavailable: Mapping[str, str]               # source of telemetry: why it has none

    @property
    def devices(self) -> tuple[sources.Device, ...]:
        return tuple(gpu for gpus in self.by_source.values() for gpu in gpus)

    @property
    def nvidia(self) -> tuple[sources.Device, ...]:
        return self.by_source.get("nvml", ())


def telemetry_devices() -> Gpus:
    """The GPUs that any source of telemetry sees, and why each other source has none."""
    found: dict[str, tuple[sources.Device, ...]] = {}
    unavailable: dict[str, str] = {}
    for name in sources.NAMES:
        try:
            found[name] = tuple(device for device in _opened_in_time(name) if device.kind == "gpu")
        except Unavailable as problem:
            unavailable[name] = str(problem)
    # The drivers of other makers have versions of their own, of which CUDA knows nothing.
    stated = [str(gpu.facts["driver"]) for gpu in found.get("nvml", ()) if gpu.facts.get("driver")]
    return Gpus(
        on_bus=len(list(nvidia_places())), has_library=_loads("libnvidia-ml.so.1"), by_source=found,
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
    for folder in sorted((kernel.ROOT / "sys/bus/pci/devices").glob("*")):
        where = folder.relative_to(kernel.ROOT)
        is_nvidia = kernel.text(f"{where}/vendor") == NVIDIA_VENDOR
        if is_nvidia and (kernel.text(f"{where}/class") or "").startswith(DISPLAY_CLASS):
            yield folder.name


def gpu_checks(gpus: Gpus, found: Sequence[Usable]) -> Iterator[Check]:
    """Whether GPUs that are here can be used, and run as they can."""
    nvidia = gpus.nvidia
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
    has_counters = any((kernel.ROOT / "sys/class/powercap").glob("*/energy_uj"))
    for name, why in gpus.unavailable.items():
        if name == "nvml" and (gpus.on_bus or gpus.has_library):
            continue
        severity = Severity.PROBLEM if name == "rapl" and has_counters else Severity.OK
        yield Check(topic="telemetry", severity=severity, text=f"{name}: {why}")
