"""What telemetry saw of the machine while the steps of a trial were timed."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pandas as pd

WARM_UP_REGION = "warm_up"
TIMED_REGION = "timed"       # the region of a trial whose seconds are the figure


@dataclass(frozen=True, kw_only=True)
class Watched:
    """One device while the steps of a trial were timed; units are those of the fields' names."""

    kind: str
    name: str                                # with its index, where it is a GPU
    product: str                             # without
    is_used: bool | None                     # by the trial; None where that cannot be told
    facts: Mapping[str, Any]
    values: Mapping[str, Mapping[str, float | None]]
    unknown: Mapping[str, str]               # field: why
    implausible: Mapping[str, Mapping[str, float]]       # field: what was said that cannot be, see docs
    lost_s: float | None                     # since the first timed step, when it was found lost to its driver
    is_lost_before: bool                     # in the warm-up
    events: Mapping[str, float]              # share of the time in each clock event
    duration_s: float
    coverage: float | None
    energy_j: float | None
    energy_method: str | None
    energy_bound_j: float | None
    energy_check: Mapping[str, Any] | None   # the other method's energy and bound, where there are two
    module_power_w: float | None             # where its power is told for its whole module alone; None: of itself

    def mean(self, name: str) -> float | None:
        return self._of(name, "mean")

    def max(self, name: str) -> float | None:
        return self._of(name, "max")

    def difference(self, name: str) -> float | None:
        return self._of(name, "difference")

    def share(self, name: str) -> float | None:
        """Seconds that a counter grew by, over the seconds that passed; None where it is not known."""
        seconds = self.difference(name)
        return None if seconds is None or self.duration_s <= 0 else seconds / self.duration_s

    def _of(self, name: str, which: str) -> float | None:
        number = (self.values.get(name) or {}).get(which)
        return None if number is None or math.isnan(number) else float(number)


@dataclass(frozen=True, kw_only=True)
class Seen:
    """One trial: its timings, and what telemetry says of it."""

    device: str                                      # it ran on, "cpu" or "cuda:0"
    timings_s: Sequence[float]
    host_times_s: Sequence[float]
    other_cpu_time_s: float | None
    samples: float | None                            # in all timed steps; None for a limit that has none
    telemetry: Mapping[str, Any] | None              # block of its record; None where it was off
    system: Mapping[str, Any] | None                 # block of its record
    nodes: int                                       # machines that it ran on; telemetry is of the first
    watched: tuple[Watched, ...] = field(default=())

    def of_kind(self, kind: str) -> Iterator[Watched]:
        return (device for device in self.watched if device.kind == kind)

    @cached_property                     # every rule asks, of every trial
    def involved(self) -> tuple[Watched, ...]:
        """All devices but GPUs that it did not run on."""
        return (*(device for device in self.watched if device.kind != "gpu"), *self.gpus)

    @property
    def is_on_battery(self) -> bool | None:
        """When it started; None where there is no battery, or the system does not tell."""
        found = (self.system or {}).get("volatile", {}).get("on_battery")
        return found if isinstance(found, bool) else None

    @cached_property
    def gpus(self) -> tuple[Watched, ...]:
        """Those that it ran on, or may have run on."""
        if self.device.startswith("cpu"):
            return ()
        return tuple(gpu for gpu in self.of_kind("gpu") if gpu.is_used is not False)


def seen(trial: Mapping[str, Any]) -> Seen:
    """From a row of the table of trials."""
    block = _plain(trial.get("telemetry"))
    other, host_times_s = trial.get("other_cpu_time_s"), trial["host_times_s"]
    of_step, steps, devices = (trial.get(name) for name in ("local_batch", "steps_per_timing", "world_size"))
    nodes = trial.get("nodes")
    batch = None if of_step is None else float(of_step) * (devices or 1)
    return Seen(
        device=str(trial.get("device", "cpu")), timings_s=trial["timings_s"], host_times_s=host_times_s,
        other_cpu_time_s=None if other is None or pd.isna(other) else float(other),
        samples=None if batch is None or steps is None else batch * float(steps) * len(host_times_s),
        telemetry=block, system=_plain(trial.get("system")), nodes=1 if nodes is None or pd.isna(nodes) else int(nodes),
        watched=() if block is None else _watched(block),
    )


def _plain(stored: Any) -> dict[str, Any] | None:
    if isinstance(stored, str):
        stored = json.loads(stored)
    return stored if isinstance(stored, dict) else None


def _watched(block: Mapping[str, Any]) -> tuple[Watched, ...]:
    timed = next((region for region in block.get("regions") or () if region["name"] == TIMED_REGION), None)
    if timed is None:
        return ()
    warm_up = next((region for region in block["regions"] if region["name"] == WARM_UP_REGION), {"devices": ()})
    lost_before = {part["device"] for part in warm_up["devices"] if _lost_s(part) is not None}
    found = []
    for part in timed["devices"]:
        device = block["devices"][part["device"]]
        is_of_module = (device.get("facts") or {}).get("power_scope") == "module"
        energy = _without_power(part) if is_of_module else part
        found.append(Watched(
            kind=device["kind"], name=_name(device), product=str(device["name"]), is_used=device.get("used"),
            facts=device.get("facts") or {}, values=part.get("values") or {},
            unknown=part.get("unknown") or {}, implausible=part.get("implausible") or {}, lost_s=_lost_s(part),
            is_lost_before=part["device"] in lost_before, events=part.get("event_shares") or {},
            duration_s=timed["duration_s"], coverage=part.get("coverage"), energy_j=energy.get("energy_j"),
            energy_method=energy.get("energy_method"), energy_bound_j=energy.get("energy_bound_j"),
            energy_check=energy.get("energy_check"),
            module_power_w=((part.get("values") or {}).get("power_w") or {}).get("mean") if is_of_module else None,
        ))
    return tuple(found)


def _lost_s(part: Mapping[str, Any]) -> float | None:
    """Of a device in a region; older records tell no moment, but of which fields it had no reading for that."""
    told: float | None = part.get("lost_s", 0.0 if "lost" in (part.get("unknown") or {}).values() else None)
    return told


def _without_power(part: Mapping[str, Any]) -> dict[str, Any]:
    """Without the energy that was found by power: of a module it is that of the processor and its memory, too."""
    is_by_power = str(part.get("energy_method")).startswith("power")
    nothing = dict.fromkeys(("energy_j", "energy_method", "energy_bound_j")) if is_by_power else {}
    return {**part, **nothing, "energy_check": None}


def _name(device: Mapping[str, Any]) -> str:
    """With its index, since a machine's GPUs mostly are of one kind."""
    index = (device.get("facts") or {}).get("index")
    return f"{device['name']} (GPU {index})" if device["kind"] == "gpu" and index is not None else str(device["name"])
