"""Checks of GPUs and telemetry: which GPUs are on the bus, which of them answer, and how they are set up."""

from __future__ import annotations

import ctypes
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rigmark.bench import devices
from rigmark.bench.devices import Device
from rigmark.bench.doctor.builds import Usable
from rigmark.bench.doctor.checks import Check, Severity
from rigmark.bench.host import kernel
from rigmark.bench.machine import hardware
from rigmark.bench.telemetry import sources
from rigmark.bench.telemetry.recorder import Recorder, Recording
from rigmark.bench.telemetry.series import REASONS, Described
from rigmark.bench.telemetry.sources import Reason

ANSWER_S = 15.0              # time for a telemetry source to open; NVML itself waits 10 s for a GPU that hangs
TELL_S = 3.0                 # time after which a message states what is being waited for
NVIDIA_VENDOR, DISPLAY_CLASS = "0x10de", "0x03"      # in PCI: display controllers, including 3D controllers


@dataclass(frozen=True, kw_only=True)
class Gpus:
    """The GPUs on the bus, and those that answer."""

    on_bus: int                                  # number of NVIDIA GPUs
    has_library: bool                            # whether NVIDIA's driver is installed, working or not
    by_source: Mapping[str, tuple[sources.Device, ...]]      # the GPUs that each telemetry source sees
    driver: str | None                           # version of the NVIDIA driver
    unavailable: Mapping[str, str]               # telemetry source -> why it has none
    silent: Mapping[str, Reason] = field(default_factory=dict)   # id of a GPU that does not answer -> LOST or TIMEOUT

    @property
    def devices(self) -> tuple[sources.Device, ...]:
        return tuple(gpu for gpus in self.by_source.values() for gpu in gpus)

    @property
    def nvidia(self) -> tuple[sources.Device, ...]:
        return self.by_source.get("nvml", ())


class Look:
    """The GPUs that telemetry sees, which are read while other checks run.

    They are read in the telemetry process that trials use, because a driver that hangs blocks its whole process, even
    when that one is to end.
    """

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self._recorder = Recorder(Path(self._folder.name))
        self._began_s = time.monotonic()
        self._recorder.start()

    def end(self, tell: Callable[[str], None] = lambda _: None) -> Gpus:
        """The GPUs that any source sees, which of them answer, and why the other sources have none.

        ``tell`` is called with a sentence if that takes longer than usual.
        """
        with self._folder:
            hanging = self._recorder.wait_until_open(self._left_s(TELL_S))
            if hanging and (left_s := self._left_s(ANSWER_S)) > 0:
                tell(f"waiting for {' and '.join(hanging)}, {left_s:.0f} s more at most: a driver that wakes sleeping "
                     "GPUs takes some seconds for each, and one that hangs never answers")
                hanging = self._recorder.wait_until_open(self._left_s(ANSWER_S))
            self._recorder.begin((), Device("cuda", 0))
            self._recorder.marked("steady", 0.0)         # each GPU is read once
            recording = self._recorder.end({})
            self._recorder.close()
        return seen(recording, hanging)

    def _left_s(self, of_s: float) -> float:
        return max(0.0, self._began_s + of_s - time.monotonic())


def seen(recording: Recording, hanging: Sequence[str]) -> Gpus:
    """The GPUs in one recording of all sources except those that hang."""
    by_source: dict[str, tuple[sources.Device, ...]] = {}
    silent: dict[str, Reason] = {}
    for number, source in enumerate(recording.sources):
        by_source[source.name] = tuple(device for device in source.devices if device.kind == "gpu")
        silent |= {device.id: reason for device, reason in _silent(number, source, recording)}
    by_source = {name: gpus for name, gpus in by_source.items() if gpus}
    problem = recording.block["problem"]
    unavailable = recording.block["unavailable"] if recording.sources else dict.fromkeys(sources.NAMES, problem)
    # Drivers of other vendors have versions of their own, which do not matter to CUDA.
    stated = [str(gpu.facts["driver"]) for gpu in by_source.get("nvml", ()) if gpu.facts.get("driver")]
    return Gpus(
        on_bus=len(list(nvidia_places())), has_library=_loads("libnvidia-ml.so.1"), by_source=by_source, silent=silent,
        driver=next(iter(stated), None) or hardware.nvidia_driver(),
        unavailable={**unavailable, **dict.fromkeys(
            hanging, f"it did not answer within {ANSWER_S:.0f} s; its driver hangs: read dmesg, then reboot"
        )},
    )


def _silent(number: int, source: Described, recording: Recording) -> Iterator[tuple[sources.Device, Reason]]:
    """The GPUs of the source with this number that gave no reading, and whether they are lost or hang."""
    of_source = recording.readings[recording.readings["source"] == number]
    for position, device in enumerate(source.devices):
        reasons = {REASONS[code] for code in of_source["reason"][of_source["device"] == position]}
        if device.kind == "gpu" and Reason.LOST in reasons:
            yield device, Reason.LOST
        elif device.kind == "gpu" and reasons <= {Reason.TIMEOUT}:       # also if no read has returned
            yield device, Reason.TIMEOUT


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def nvidia_places() -> Iterator[str]:
    """The bus addresses of all NVIDIA GPUs, with or without a driver."""
    for folder in sorted((kernel.ROOT / "sys/bus/pci/devices").glob("*")):
        where = folder.relative_to(kernel.ROOT)
        is_nvidia = kernel.text(f"{where}/vendor") == NVIDIA_VENDOR
        if is_nvidia and (kernel.text(f"{where}/class") or "").startswith(DISPLAY_CLASS):
            yield folder.name


def gpu_checks(gpus: Gpus, builds: Sequence[Usable]) -> Iterator[Check]:
    """Whether the GPUs of this machine can be used, and whether they run at full speed."""
    nvidia = gpus.nvidia
    has_cuda = any(usable.cuda for usable in builds)
    why, fix = gpus.unavailable.get("nvml"), "install or repair the driver; nvidia-smi must list every GPU"
    severity = Severity.PREVENTS if has_cuda else Severity.PROBLEM       # who measures CPUs only is not affected
    if gpus.on_bus > len(nvidia):
        yield Check(
            topic="gpus", severity=severity, fix=fix,
            text=f"{gpus.on_bus} NVIDIA GPU{'s are' if gpus.on_bus > 1 else ' is'} on the bus, but telemetry sees "
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
                text=f"persistence mode of {name} is off: its driver starts again with each process",
                fix="sudo nvidia-smi --persistence-mode=1, or run nvidia-persistenced",
            )
        width, most = facts.get("pcie_link_width"), facts.get("pcie_link_width_max")
        if width and most and width < most:
            yield Check(
                topic="gpus", severity=Severity.PROBLEM, text=f"{name} has {width} of {most} PCIe lanes",
                fix="check its slot, its riser and the firmware settings",
            )
        if facts.get("compute_mode") == "prohibited":
            yield Check(
                topic="gpus", severity=Severity.PREVENTS, text=f"the compute mode of {name} forbids any program",
                fix=f"sudo nvidia-smi --id={gpu.id} --compute-mode=DEFAULT",
            )
        if facts.get("mig"):
            yield Check(
                topic="gpus", severity=Severity.NOISE, text=f"{name} is divided into parts (MIG): each part is a device"
            )


def device_checks(gpus: Gpus) -> Iterator[Check]:
    """Kinds of device on which no trial has ever run: a problem where there is one."""
    for kind in devices.NAMES:
        of_kind = devices.load(kind)
        if of_kind.NEVER_RAN is not None:
            severity = Severity.PROBLEM if gpus.by_source.get(of_kind.TELEMETRY) else Severity.OK
            yield Check(topic="devices", severity=severity, text=f"{kind}: {of_kind.NEVER_RAN}")


def _silent_checks(gpus: Gpus, where_all_are: Severity) -> Iterator[Check]:
    """GPUs that are listed but do not answer; that prevents measuring only if none of them answers."""
    severity = where_all_are if len(gpus.silent) == len(gpus.devices) else Severity.PROBLEM
    for gpu in gpus.devices:
        reason = gpus.silent.get(gpu.id)
        which = str(gpu.facts.get("index", gpu.id))
        reset = f"'sudo nvidia-smi -r -i {which}'" if gpu in gpus.nvidia else "its driver's tools"
        if reason is Reason.LOST:
            yield Check(
                topic="gpus", severity=severity,
                text=f"the driver has lost {_where(gpu)}, as if it had fallen off the bus",
                fix="look for Xid in dmesg, check its slot and power cables, then reboot",
            )
        elif reason is Reason.TIMEOUT:
            yield Check(
                topic="gpus", severity=severity, text=f"{_where(gpu)} does not answer: the GPU or its driver hangs",
                fix=f"look for Xid in dmesg, stop its programs and reset it with {reset}; if that hangs too, reboot",
            )


def _where(gpu: sources.Device) -> str:
    """The name and bus address of a GPU, from the driver's files if the GPU itself does not state them."""
    index, known = gpu.facts.get("index"), hardware.nvidia_gpus()
    if "id" not in gpu.unknown or index is None or index >= len(known):
        return name_of(gpu)
    return f"{known[index]['name'] or gpu.name} (GPU {index}, at {known[index]['bus_id']})"


def name_of(gpu: sources.Device) -> str:
    """The name of a GPU with its index, since the GPUs of a machine often have the same name."""
    index = gpu.facts.get("index")
    return gpu.name if index is None else f"{gpu.name} (GPU {index})"


def telemetry_checks(gpus: Gpus) -> Iterator[Check]:
    """Telemetry sources that give nothing here; it is a problem only if there are counters that may not be read.

    GPUs that are on the bus are reported by ``gpu_checks``.
    """
    has_counters = any((kernel.ROOT / "sys/class/powercap").glob("*/energy_uj"))
    for name, why in gpus.unavailable.items():
        if name == "nvml" and (gpus.on_bus or gpus.has_library):
            continue
        severity = Severity.PROBLEM if name == "rapl" and has_counters else Severity.OK
        yield Check(topic="telemetry", severity=severity, text=f"{name}: {why}")
