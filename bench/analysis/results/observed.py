"""What telemetry observed while the steps of a trial were timed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import msgspec
import pandas as pd

from rigmark.bench.devices import CPU, Device, recorded
from rigmark.bench.store import stored
from rigmark.bench.store.stored import (
    DeviceFacts,
    EnergyCheck,
    Gauge,
    Implausible,
    RegionDevice,
    System,
    Telemetry,
    Volatile,
)

WARM_UP_REGION = "warm_up"
TIMED_REGION = "timed"       # the region of a trial that gives the figure


@dataclass(frozen=True, kw_only=True)
class Watched:
    """One device while the steps of a trial were timed; units are in the names of the fields."""

    kind: str
    name: str                                # with its index if it is a GPU
    product: str                             # without its index
    is_used: bool | None                     # by the trial; None if not known
    facts: DeviceFacts
    values: Mapping[str, Gauge]
    unknown: Mapping[str, str]               # field -> why it is unknown
    implausible: Mapping[str, Implausible]   # field -> readings: docs/record.schema.json
    lost_s: float | None                     # seconds after the first timed step at which the driver had lost it
    is_lost_before: bool                     # whether it was lost in the warm-up
    events: Mapping[str, float]              # share of the time in each clock event
    duration_s: float
    coverage: float | None
    energy_j: float | None
    energy_method: str | None
    energy_bound_j: float | None
    energy_check: EnergyCheck | None         # energy and bound by the other method, if there are two
    module_power_w: float | None             # if only the power of its whole module is known; None: of the GPU itself

    def mean(self, name: str) -> float | None:
        return self._of(name).mean

    def max(self, name: str) -> float | None:
        return self._of(name).max

    def difference(self, name: str) -> float | None:
        return self._of(name).difference

    def share(self, name: str) -> float | None:
        """Growth of a counter of seconds as a share of the time; None if not known."""
        seconds = self.difference(name)
        return None if seconds is None or self.duration_s <= 0 else seconds / self.duration_s

    def _of(self, name: str) -> Gauge:
        return self.values.get(name) or Gauge()


@dataclass(frozen=True, kw_only=True)
class Seen:
    """One trial: its timings, and its telemetry."""

    device: Device                                   # the device that it ran on
    timings_s: Sequence[float]
    host_times_s: Sequence[float]
    other_cpu_time_s: float | None
    samples: float | None                            # in all timed steps; None for a micro-benchmark without samples
    telemetry: Telemetry | None                      # None if it was off
    system: System | None
    nodes: int                                       # number of machines that it ran on; telemetry is that of the first
    watched: tuple[Watched, ...] = field(default=())

    def of_kind(self, kind: str) -> Iterator[Watched]:
        return (device for device in self.watched if device.kind == kind)

    @cached_property                     # since every rule uses it, for every trial
    def involved(self) -> tuple[Watched, ...]:
        """All devices except GPUs that the trial did not use."""
        return (*(device for device in self.watched if device.kind != "gpu"), *self.gpus)

    @property
    def volatile(self) -> Volatile:
        """The facts that may change from trial to trial, at the start of this one."""
        return Volatile() if self.system is None else self.system.volatile

    @property
    def is_on_battery(self) -> bool | None:
        """Whether it ran on battery when it started; None without a battery, or if not known."""
        return self.volatile.on_battery

    @cached_property
    def gpus(self) -> tuple[Watched, ...]:
        """The GPUs that it used, or may have used."""
        if self.device.is_host:
            return ()
        return tuple(gpu for gpu in self.of_kind("gpu") if gpu.is_used is not False)


def seen(trial: Mapping[str, Any]) -> Seen:
    """The observations of a row of the table of trials."""
    telemetry: Telemetry | None = _read(trial.get("telemetry"), stored.TELEMETRY)
    other, host_times_s = trial.get("other_cpu_time_s"), trial["host_times_s"]
    of_step, steps, devices = (trial.get(name) for name in ("local_batch", "steps_per_timing", "world_size"))
    nodes = trial.get("nodes")
    batch = None if of_step is None else float(of_step) * (devices or 1)
    return Seen(
        device=recorded(trial.get("device", CPU)), timings_s=trial["timings_s"], host_times_s=host_times_s,
        other_cpu_time_s=None if other is None or pd.isna(other) else float(other),
        samples=None if batch is None or steps is None else batch * float(steps) * len(host_times_s),
        telemetry=telemetry, system=_read(trial.get("system"), stored.SYSTEM),
        nodes=1 if nodes is None or pd.isna(nodes) else int(nodes),
        watched=() if telemetry is None else _watched(telemetry),
    )


def _read(cell: Any, decoder: msgspec.json.Decoder[Any]) -> Any:
    """A block of a record, from its text in the table; None where the record has none."""
    if isinstance(cell, msgspec.Struct):
        return cell
    if cell is None or cell is pd.NA or isinstance(cell, float):     # pandas says NaN where a record has none
        return None
    return decoder.decode(cell)


def _watched(block: Telemetry) -> tuple[Watched, ...]:
    regions = {region.name: region for region in reversed(block.regions)}
    timed, warm_up = regions.get(TIMED_REGION), regions.get(WARM_UP_REGION)
    if timed is None:
        return ()
    lost_before = {part.device for part in (warm_up.devices if warm_up else ()) if _lost_s(part) is not None}
    watched = []
    for part in timed.devices:
        device = block.devices[part.device]
        is_of_module = device.facts.power_scope == "module"
        energy = _without_power(part) if is_of_module else part
        watched.append(Watched(
            kind=device.kind, name=device.label, product=device.name, is_used=device.used, facts=device.facts,
            values=part.values, unknown=part.unknown, implausible=part.implausible, lost_s=_lost_s(part),
            is_lost_before=part.device in lost_before, events=part.event_shares or {},
            duration_s=timed.duration_s, coverage=part.coverage, energy_j=energy.energy_j,
            energy_method=energy.energy_method, energy_bound_j=energy.energy_bound_j,
            energy_check=energy.energy_check,
            module_power_w=part.values.get("power_w", Gauge()).mean if is_of_module else None,
        ))
    return tuple(watched)


def _lost_s(part: RegionDevice) -> float | None:
    """When a device was lost in a region; older records state only fields without readings for that reason."""
    if part.lost_s is msgspec.UNSET:
        return 0.0 if "lost" in part.unknown.values() else None
    return part.lost_s


def _without_power(part: RegionDevice) -> RegionDevice:
    """A part without energy by power, which for a module includes its processor and memory."""
    if str(part.energy_method).startswith("power"):
        part = msgspec.structs.replace(part, energy_j=None, energy_method=None, energy_bound_j=None)
    return msgspec.structs.replace(part, energy_check=None)
