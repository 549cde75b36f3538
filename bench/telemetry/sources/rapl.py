"""Energy of processors and their memory, by the counters that Linux shows under powercap (RAPL, of Intel and AMD).

They are estimates that the processor makes of itself. By default only root may read them, because fine-grained
power readings can reveal secrets (PLATYPUS, CVE-2020-8694).
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rigmark.bench.telemetry.sources import (
    POWER_W,
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

POWERCAP = Path("/sys/class/powercap")
# The limits of a zone are no bound: boards set them to the maximum, or do not enforce them.
ZONE_W = Range(low=POWER_W.low, high=2000.0)
FIELDS = (Field(name="energy_j", meaning=Meaning.COUNTER, tier=Tier.FAST, plausible=ZONE_W),)

PERIOD_S = 0.001     # time between updates of a counter: Intel SDM volume 3B, "Package RAPL Domain", about 1 ms
KINDS = {"package": "package", "dram": "dram", "psys": "platform"}
"""The kind of device by name of a zone. The zones "core" and "uncore" are parts of their package."""


class Zone:
    """One counter, in joules since it was first read; it continues when the counter of the processor wraps around."""

    def __init__(self, folder: Path):
        self._descriptor = os.open(folder / "energy_uj", os.O_RDONLY | os.O_CLOEXEC)
        self._range_uj = int((folder / "max_energy_range_uj").read_text(encoding="ascii"))
        self._last_uj = self._read_uj()
        self._total_uj = 0

    def _read_uj(self) -> int:
        return int(os.pread(self._descriptor, 64, 0))

    def energy_j(self) -> float:
        now_uj = self._read_uj()
        self._total_uj += now_uj - self._last_uj + (self._range_uj if now_uj < self._last_uj else 0)
        self._last_uj = now_uj
        return self._total_uj * 1e-6

    def close(self) -> None:
        os.close(self._descriptor)


class Rapl:
    """The zones of this machine."""

    def __init__(self, folders: Sequence[Path]):
        opened = [(_device(folder), _opened(folder)) for folder in folders]
        self.devices = tuple(device for device, _ in opened)
        self._zones = [zone for _, zone in opened]
        self.can_be_read = any(isinstance(zone, Zone) for zone in self._zones)

    def read(self, tier: Tier) -> Iterator[Reading]:
        if tier is Tier.FAST:
            for number, zone in enumerate(self._zones):
                begin_ns = time.perf_counter_ns()
                value = zone if isinstance(zone, Reason) else _read(zone)
                end_ns = time.perf_counter_ns()
                if isinstance(value, Reason):
                    yield Reading(number, 0, begin_ns, end_ns, None, value)
                else:
                    yield Reading(number, 0, begin_ns, end_ns, value, None)

    def watch(self, processes: Sequence[int]) -> None:
        pass                     # the energy of a package belongs to all processes

    def close(self) -> None:
        for zone in self._zones:
            if isinstance(zone, Zone):
                zone.close()


def _read(zone: Zone) -> float | Reason:
    try:
        return zone.energy_j()
    except (OSError, ValueError):
        return Reason.FAILED


def _opened(folder: Path) -> Zone | Reason:
    try:
        return Zone(folder)
    except PermissionError:
        return Reason.NO_PERMISSION
    except (OSError, ValueError):
        return Reason.FAILED


def _device(folder: Path) -> Device:
    id_ = name = _name(folder)
    if folder.name.count(":") > 1:       # intel-rapl:0:2 is part of intel-rapl:0
        id_ = f"{_name(folder.with_name(folder.name.rpartition(':')[0]))}/{name}"
    facts: dict[str, Any] = {"energy_period_s": PERIOD_S}
    limits_uw = [_number(path) for path in folder.glob("constraint_*_power_limit_uw")]
    known_uw = [limit_uw for limit_uw in limits_uw if limit_uw and POWER_W.holds(limit_uw * 1e-6)]
    if known_uw:
        facts["power_limit_w"] = max(known_uw) * 1e-6        # the short-term limit is the highest
    return Device(
        id=id_, kind=KINDS[name.partition("-")[0]], name=f"RAPL {id_}", facts=facts,
        unknown={} if known_uw else {"power_limit_w": Reason.NOT_FOUND},
    )


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def _name(folder: Path) -> str:
    return (folder / "name").read_text(encoding="ascii").strip()


def open_source(wanted: Wanted) -> Rapl:
    """The zones that can be read; raises Unavailable where there are none."""
    # intel-rapl-mmio shows the same packages again.
    folders = [folder for folder in sorted(POWERCAP.glob("intel-rapl:*")) if _name(folder).partition("-")[0] in KINDS]
    if not folders:
        raise Unavailable(f"this machine has no energy counters of its processors (no zones in {POWERCAP})")
    rapl = Rapl(folders)
    if not rapl.can_be_read:
        raise Unavailable(
            f"no permission to read the energy counters of the processors; as root: 'chmod a+r {POWERCAP}/*/energy_uj'"
        )
    return rapl
