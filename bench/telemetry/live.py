"""Live telemetry: the newest reading of every field, for people and dashboards.

Trials do not use it: they have a separate telemetry process.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from rigmark.bench.telemetry import sources
from rigmark.bench.telemetry.sources import Device, Field, Meaning, Reading, Reason, Source, Tier, Unavailable, Wanted


@dataclass(frozen=True, kw_only=True)
class Value:
    """One field of one device."""

    field: Field
    value: float | None          # in the unit of the field's name
    rate: float | None           # of a counter, its growth per second; None before the second reading
    unknown: str | None          # why the value is None

    @property
    def flags(self) -> list[str] | None:
        """The names of the bits that are set; None if the field is not a set of flags, or is not known."""
        if self.field.meaning is not Meaning.BITS or self.value is None:
            return None
        bits, names = int(self.value), self.field.flags
        return [
            names[bit] if bit < len(names) else f"unknown_{1 << bit:#x}" for bit in range(bits.bit_length())
            if bits >> bit & 1
        ]


@dataclass(frozen=True, kw_only=True)
class Now:
    """One device with its newest readings."""

    source: str
    device: Device
    values: tuple[Value, ...]
    age_s: float                 # time since it was read; it grows if the source no longer answers


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """All devices, and the reasons why sources have none."""

    at: str                      # UTC, ISO 8601
    devices: tuple[Now, ...]
    unavailable: Mapping[str, str]

    def plain(self) -> dict[str, Any]:
        """The snapshot for scripts. Names are never changed, more may be added."""
        return {
            "at": self.at, "unavailable": dict(self.unavailable),
            "devices": [
                {
                    "source": now.source, "id": now.device.id, "kind": now.device.kind, "name": now.device.name,
                    "age_s": round(now.age_s, 3),
                    "values": {v.field.name: v.value if v.flags is None else v.flags for v in now.values},
                    "rates": {v.field.name: v.rate for v in now.values if v.field.meaning is Meaning.COUNTER},
                    "unknown": {v.field.name: v.unknown for v in now.values if v.unknown is not None},
                }
                for now in self.devices
            ],
        }


@dataclass
class _Watch:
    """One source with a thread for each of its parts, so that a part that hangs in its driver delays neither the others
    nor the display.
    """

    name: str
    interval_s: float
    stop: threading.Event
    fields: tuple[Field, ...] = ()
    devices: tuple[Device, ...] = ()
    newest: dict[tuple[int, int], Reading] = field(default_factory=dict)
    before: dict[tuple[int, int], Reading] = field(default_factory=dict)
    rounds: list[int] = field(default_factory=list)      # number of reads of each part
    problem: str | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self) -> None:
        try:
            module = sources.load(self.name)
            source = module.open_source(Wanted())
        except Unavailable as problem:
            self.problem = str(problem)
            return
        except Exception as error:       # the library of a vendor is broken
            self.problem = f"{type(error).__name__}: {error}"
            return
        self.fields, self.devices = tuple(module.FIELDS), tuple(source.devices)
        parts = sources.parts(source)
        self.rounds = [0] * len(parts)
        threads = [
            threading.Thread(target=self._keep_reading, args=(number, part), daemon=True, name=self.name)
            for number, part in enumerate(parts)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        source.close()

    def _keep_reading(self, number: int, part: Source) -> None:
        due = time.monotonic()
        try:
            while not self.stop.is_set():
                readings = [reading for tier in Tier for reading in part.read(tier)]
                with self.lock:
                    for reading in readings:
                        key = (reading.device, reading.field)
                        if key in self.newest:
                            self.before[key] = self.newest[key]
                        self.newest[key] = reading
                    self.rounds[number] += 1
                due = max(due + self.interval_s, time.monotonic())
                self.stop.wait(due - time.monotonic())
        except Exception as error:
            self.problem = f"stopped by {type(error).__name__}: {error}"

    def now(self) -> Iterator[Now]:
        with self.lock:
            newest, before = dict(self.newest), dict(self.before)
        for number, device in enumerate(self.devices):
            read = [(key, reading) for key, reading in sorted(newest.items()) if key[0] == number]
            if read:
                yield Now(
                    source=self.name, device=device,
                    values=tuple(
                        _value(self.fields[key[1]], device, reading, before.get(key)) for key, reading in read
                    ),
                    age_s=(time.perf_counter_ns() - max(reading.end_ns for _, reading in read)) * 1e-9,
                )


def _value(of: Field, device: Device, newest: Reading, before: Reading | None) -> Value:
    within = of.plausible if of.meaning is Meaning.GAUGE else None
    if within is not None and newest.value is not None and not within.holds(newest.value, device.facts):
        return Value(field=of, value=None, rate=None, unknown=Reason.IMPLAUSIBLE.value)
    rate = None
    if of.meaning is Meaning.COUNTER and before is not None and newest.value is not None and before.value is not None:
        passed_s = (newest.begin_ns + newest.end_ns - before.begin_ns - before.end_ns) / 2e9
        if passed_s > 0 and newest.value >= before.value:        # less: it was reset, for example with a new driver
            rate = (newest.value - before.value) / passed_s
        if rate is not None and of.plausible is not None and rate > of.plausible.ends(device.facts)[1]:
            return Value(field=of, value=None, rate=None, unknown=Reason.IMPLAUSIBLE.value)
    return Value(
        field=of, value=newest.value, rate=rate, unknown=None if newest.reason is None else newest.reason.value
    )


class Live:
    """Reads every source, or the named ones, periodically. Use it as a context manager."""

    def __init__(self, interval_s: float, names: Iterable[str] = sources.NAMES):
        self.interval_s = interval_s
        self._stop = threading.Event()
        self._watches = [_Watch(name=name, interval_s=interval_s, stop=self._stop) for name in names]
        # Daemon threads, since a thread that hangs in a driver cannot be ended.
        self._threads = [threading.Thread(target=watch.run, daemon=True, name=watch.name) for watch in self._watches]

    def __enter__(self) -> Live:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=2.0)

    def wait(self) -> None:
        """Returns when every source was read twice, so that counters have rates; does not wait for slow sources."""
        until = time.monotonic() + 3 * self.interval_s + 1.0
        while time.monotonic() < until and any(
            watch.problem is None and min(watch.rounds, default=0) < 2 for watch in self._watches
        ):
            time.sleep(min(0.02, self.interval_s / 4))

    def snapshot(self) -> Snapshot:
        """The newest readings of all devices."""
        waiting = {w.name: "has not answered yet" for w in self._watches if not any(w.rounds) and w.problem is None}
        return Snapshot(
            at=datetime.now(UTC).isoformat(timespec="milliseconds"),
            devices=tuple(now for watch in self._watches for now in watch.now()),
            unavailable={**{w.name: w.problem for w in self._watches if w.problem is not None}, **waiting},
        )
