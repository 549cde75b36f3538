"""What telemetry saw of the machine while the steps of a trial were timed."""

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
TIMED_REGION = "timed"       # the region of a trial whose seconds are the figure


@dataclass(frozen=True, kw_only=True)
class Watched:
    """One device while the steps of a trial were timed; units are those of the fields' names."""

    kind: str
    name: str                                # with its index, where it is a GPU
    product: str                             # without
    is_used: bool | None                     # by the trial; None where that cannot be told
    facts: DeviceFacts
    values: Mapping[str, Gauge]
    unknown: Mapping[str, str]               # field: why
    implausible: Mapping[str, Implausible]   # field: what was said that cannot be, see docs
    lost_s: float | None                     # since the first timed step, when it was found lost to its driver
    is_lost_before: bool                     # in the warm-up
    events: Mapping[str, float]              # share of the time in each clock event
    duration_s: float
    coverage: float | None
    energy_j: float | None
    energy_method: str | None
    energy_bound_j: float | None
    energy_check: EnergyCheck | None         # the other method's energy and bound, where there are two
    module_power_w: float | None             # where its power is told for its whole module alone; None: of itself

    def mean(self, name: str) -> float | None:
        return self._of(name).mean

    def max(self, name: str) -> float | None:
        return self._of(name).max

    def difference(self, name: str) -> float | None:
        return self._of(name).difference

    def share(self, name: str) -> float | None:
        """Seconds that a counter grew by, over the seconds that passed; None where it is not known."""
        seconds = self.difference(name)
        return None if seconds is None or self.duration_s <= 0 else seconds / self.duration_s

    def _of(self, name: str) -> Gauge:
        return self.values.get(name) or Gauge()


@dataclass(frozen=True, kw_only=True)
class Seen:
    """One trial: its timings, and what telemetry says of it."""

    device: Device                                   # it ran on
    timings_s: Sequence[float]
    host_times_s: Sequence[float]
    other_cpu_time_s: float | None
    samples: float | None                            # in all timed steps; None for a limit that has none
    telemetry: Telemetry | None                      # None where it was off
    system: System | None
    nodes: int                                       # machines that it ran on; telemetry is of the first
    watched: tuple[Watched, ...] = field(default=())

    def of_kind(self, kind: str) -> Iterator[Watched]:
        return (device for device in self.watched if device.kind == kind)

    @cached_property                     # every rule asks, of every trial
    def involved(self) -> tuple[Watched, ...]:
        """All devices but GPUs that it did not run on."""
        return (*(device for device in self.watched if device.kind != "gpu"), *self.gpus)

    @property
    def volatile(self) -> Volatile:
        """What may change from trial to trial, as it was when this one started."""
        return Volatile() if self.system is None else self.system.volatile

    @property
    def is_on_battery(self) -> bool | None:
        """When it started; None where there is no battery, or the system does not tell."""
        return self.volatile.on_battery

    @cached_property
    def gpus(self) -> tuple[Watched, ...]:
        """Those that it ran on, or may have run on."""
        if self.device.is_host:
            return ()
        return tuple(gpu for gpu in self.of_kind("gpu") if gpu.is_used is not False)


def seen(trial: Mapping[str, Any]) -> Seen:
    """From a row of the table of trials."""
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
    if isinstance(cell, str):
        return decoder.decode(cell)
    return cell if isinstance(cell, msgspec.Struct) else None


def _watched(block: Telemetry) -> tuple[Watched, ...]:
    regions = {region.name: region for region in reversed(block.regions)}
    timed, warm_up = regions.get(TIMED_REGION), regions.get(WARM_UP_REGION)
    if timed is None:
        return ()
    lost_before = {part.device for part in (warm_up.devices if warm_up else ()) if _lost_s(part) is not None}
    found = []
    for part in timed.devices:
        device = block.devices[part.device]
        is_of_module = device.facts.power_scope == "module"
        energy = _without_power(part) if is_of_module else part
        found.append(Watched(
            kind=device.kind, name=device.label, product=device.name, is_used=device.used, facts=device.facts,
            values=part.values, unknown=part.unknown, implausible=part.implausible, lost_s=_lost_s(part),
            is_lost_before=part.device in lost_before, events=part.event_shares or {},
            duration_s=timed.duration_s, coverage=part.coverage, energy_j=energy.energy_j,
            energy_method=energy.energy_method, energy_bound_j=energy.energy_bound_j,
            energy_check=energy.energy_check,
            module_power_w=part.values.get("power_w", Gauge()).mean if is_of_module else None,
        ))
    return tuple(found)


def _lost_s(part: RegionDevice) -> float | None:
    """Of a device in a region; older records tell no moment, but of which fields it had no reading for that."""
    if part.lost_s is msgspec.UNSET:
        return 0.0 if "lost" in part.unknown.values() else None
    return part.lost_s


def _without_power(part: RegionDevice) -> RegionDevice:
    """Without the energy that was found by power: of a module it is that of the processor and its memory, too."""
    if str(part.energy_method).startswith("power"):
        part = msgspec.structs.replace(part, energy_j=None, energy_method=None, energy_bound_j=None)
    return msgspec.structs.replace(part, energy_check=None)
