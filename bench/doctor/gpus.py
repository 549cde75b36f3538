"""GPUs and telemetry: what is on the bus, what answers, and what it lacks."""

from __future__ import annotations

import ctypes
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rigmark.bench.doctor.builds import Usable
from rigmark.bench.doctor.checks import Check, Severity
from rigmark.bench.host import kernel
from rigmark.bench.machine import hardware
from rigmark.bench.telemetry import sources
from rigmark.bench.telemetry.recorder import Recorder, Recording
from rigmark.bench.telemetry.series import REASONS, Described
from rigmark.bench.telemetry.sources import Reason

ANSWER_S = 15.0              # within which a source of telemetry must open: nvml itself waits 10 s for GPUs that hang
TELL_S = 3.0                 # from the start, after which it is said what is waited for
NVIDIA_VENDOR, DISPLAY_CLASS = "0x10de", "0x03"      # of PCI: display controllers, 3D ones among them


@dataclass(frozen=True, kw_only=True)
class Gpus:
    """GPUs that are on the bus, and those that answer."""

    on_bus: int                                  # NVIDIA's
    has_library: bool                            # NVIDIA's driver is installed, working or not
    by_source: Mapping[str, tuple[sources.Device, ...]]      # of telemetry that sees them
    driver: str | None                           # NVIDIA's
    unavailable: Mapping[str, str]               # source of telemetry: why it has none
    silent: Mapping[str, Reason] = field(default_factory=dict)   # id of a GPU that answers nothing: LOST, or TIMEOUT

    @property
    def devices(self) -> tuple[sources.Device, ...]:
        return tuple(gpu for gpus in self.by_source.values() for gpu in gpus)

    @property
    def nvidia(self) -> tuple[sources.Device, ...]:
        return self.by_source.get("nvml", ())


class Look:
    """What telemetry sees of this machine, found while other things are examined.

    By the sampler that trials have, since a driver that hangs holds up its whole process, even the end of it.
    """

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self._recorder = Recorder(Path(self._folder.name))
        self._began_s = time.monotonic()
        self._recorder.start()

    def end(self, tell: Callable[[str], None] = lambda _: None) -> Gpus:
        """The GPUs that any source sees, which of them answer, and why each other source has none.

        ``tell`` is given a sentence where that takes longer than usual.
        """
        with self._folder:
            hanging = self._recorder.wait_until_open(self._left_s(TELL_S))
            if hanging and (left_s := self._left_s(ANSWER_S)) > 0:
                tell(f"waiting for {' and '.join(hanging)}, {left_s:.0f} s more at most: a driver that wakes sleeping "
                     "GPUs takes some seconds for each, and one that hangs never answers")
                hanging = self._recorder.wait_until_open(left_s)
            self._recorder.begin((), "cuda:0")
            self._recorder.marked("steady", 0.0)         # each GPU is read once
            recording = self._recorder.end({})
            self._recorder.close()
        return seen(recording, hanging)

    def _left_s(self, of_s: float) -> float:
        return max(0.0, self._began_s + of_s - time.monotonic())


def seen(recording: Recording, hanging: Sequence[str]) -> Gpus:
    """From one read of all sources, but for those that hang."""
    found: dict[str, tuple[sources.Device, ...]] = {}
    silent: dict[str, Reason] = {}
    for number, source in enumerate(recording.sources):
        found[source.name] = tuple(device for device in source.devices if device.kind == "gpu")
        silent |= {device.id: reason for device, reason in _silent(number, source, recording)}
    found = {name: gpus for name, gpus in found.items() if gpus}
    problem = recording.block["problem"]
    unavailable = recording.block["unavailable"] if recording.sources else dict.fromkeys(sources.NAMES, problem)
    # The drivers of other makers have versions of their own, of which CUDA knows nothing.
    stated = [str(gpu.facts["driver"]) for gpu in found.get("nvml", ()) if gpu.facts.get("driver")]
    return Gpus(
        on_bus=len(list(nvidia_places())), has_library=_loads("libnvidia-ml.so.1"), by_source=found, silent=silent,
        driver=next(iter(stated), None) or hardware.nvidia_driver(),
        unavailable={**unavailable, **dict.fromkeys(
            hanging, f"it did not answer within {ANSWER_S:.0f} s; its driver hangs: look in dmesg, then reboot"
        )},
    )


def _silent(number: int, source: Described, recording: Recording) -> Iterator[tuple[sources.Device, Reason]]:
    """The GPUs of the source of that number that told nothing, and whether they are lost or hang."""
    of_source = recording.readings[recording.readings["source"] == number]
    for position, device in enumerate(source.devices):
        reasons = {REASONS[code] for code in of_source["reason"][of_source["device"] == position]}
        if device.kind == "gpu" and Reason.LOST in reasons:
            yield device, Reason.LOST
        elif device.kind == "gpu" and reasons <= {Reason.TIMEOUT}:       # also where no read of it has come back
            yield device, Reason.TIMEOUT


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


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
    if gpus.silent:
        yield from _silent_checks(gpus, severity)
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


def _silent_checks(gpus: Gpus, where_all_are: Severity) -> Iterator[Check]:
    """GPUs that are listed and cannot be used; others beside them can."""
    severity = where_all_are if len(gpus.silent) == len(gpus.devices) else Severity.PROBLEM
    for gpu in gpus.devices:
        reason = gpus.silent.get(gpu.id)
        which = str(gpu.facts.get("index", gpu.id))
        reset = f"'sudo nvidia-smi -r -i {which}'" if gpu in gpus.nvidia else "its driver's tools"
        if reason is Reason.LOST:
            yield Check(
                topic="gpus", severity=severity,
                text=f"{_where(gpu)} is lost to its driver, as one that fell off the bus",
                fix="look for Xid in dmesg, look at its slot and power cables, then reboot",
            )
        elif reason is Reason.TIMEOUT:
            yield Check(
                topic="gpus", severity=severity, text=f"{_where(gpu)} does not answer: it, or its driver, hangs",
                fix=f"look for Xid in dmesg, stop what runs on it and reset it with {reset}; if that hangs too, reboot",
            )


def _where(gpu: sources.Device) -> str:
    """Its name and place; those that the driver's files tell where it tells none itself."""
    index, known = gpu.facts.get("index"), hardware.nvidia_gpus()
    if "id" not in gpu.unknown or index is None or index >= len(known):
        return name_of(gpu)
    return f"{known[index]['name'] or gpu.name} (GPU {index}, at {known[index]['bus_id']})"


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
