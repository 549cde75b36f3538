"""Telemetry sources: one file per source, found by its name.

A source module has

``FIELDS``                the fields that it may read, in the order of their numbers
``open_source(wanted)``   -> Source; raises Unavailable with one sentence if this machine does not have it
``RATE_HZ``               optional: the usual rate of its FAST tier; see DEFAULT_RATE_HZ
``visible_gpus``          optional: (environment variables, GPUs) -> ids of those that CUDA numbers 0, 1, ..., if known

It is read by a separate process that has imported no framework: see bench.telemetry.sampler.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from rigmark.bench.worker import registry


class Unavailable(Exception):
    """This machine does not have the source, or it cannot be read; the message is a sentence for people."""


class Tier(StrEnum):
    """How often a field is read, depending on the cost of a read and on how fast the value changes."""

    FAST = "fast"                # at the rate of the source, and at each mark
    MEDIUM = "medium"            # a fifth of that
    EVENTS = "events"            # at most once per second, and at each mark: for rare events whose time matters
    SLOW = "slow"                # at most once per second


class Meaning(StrEnum):
    """The meaning of the numbers of a field."""

    GAUGE = "gauge"              # a momentary value
    COUNTER = "counter"          # a growing sum, of which only differences have a meaning
    BITS = "bits"                # a set of flags as one integer


class Reason(StrEnum):
    """Why a value is unknown."""

    NOT_SUPPORTED = "not_supported"
    NO_PERMISSION = "no_permission"
    NOT_FOUND = "not_found"              # an old driver lacks the function, or this kernel lacks the file
    LOST = "lost"                        # the device fell off the bus, or was removed
    TIMEOUT = "timeout"
    IMPLAUSIBLE = "implausible"          # a value was stated, but is impossible: see Range
    FAILED = "failed"                    # any other error


@dataclass(frozen=True, kw_only=True)
class Range:
    """The range of plausible values in the unit of the field; of a counter, the range of its growth per second.

    Broken sensors, and drivers without a reading, have been seen to answer 0, 255, or all bits set.
    """

    low: float = 0.0
    high: float
    of: str | None = None                # the fact of the device that sets the upper end, if it is known
    times: float = 1.0                   # factor by which a value may exceed that fact

    def ends(self, facts: Mapping[str, Any]) -> tuple[float, float]:
        """(lowest, highest) plausible value for a device with these facts."""
        limit = facts.get(self.of) if self.of is not None else None
        return self.low, self.high if not limit else min(self.high, limit * self.times)

    def holds(self, number: float, facts: Mapping[str, Any] = MappingProxyType({})) -> bool:
        low, high = self.ends(facts)
        return low <= number <= high


POWER_W = Range(low=0.1, high=10_000.0)      # every powered device draws something
TEMPERATURE_C = Range(low=1.0, high=150.0)   # silicon does not work above; a missing sensor answers 0
CLOCK_HZ = Range(low=1e6, high=2e10)         # a device that answers has a running clock
RATIO = Range(high=1.0)
BYTES = Range(high=2.0**50)


@dataclass(frozen=True, kw_only=True)
class Field:
    """One quantity that is read from a device. Its name ends with the unit: "power_w", "sm_clock_hz", "busy_ratio"."""

    name: str
    meaning: Meaning
    tier: Tier
    flags: tuple[str, ...] = ()          # names of the bits, lowest first, if the meaning is BITS
    plausible: Range | None = None       # every gauge has one; None for a counter that may grow by any amount


@dataclass(frozen=True, kw_only=True)
class Device:
    """The device that readings belong to."""

    id: str                              # does not change at a reboot: the UUID of a GPU, "host", "package-0"
    kind: str                            # "gpu", "host", "package", "process"
    name: str                            # name for people
    facts: dict[str, Any] = field(default_factory=dict)          # facts that are constant during a trial
    unknown: dict[str, Reason] = field(default_factory=dict)     # facts that could not be read, with the reason


class Reading(NamedTuple):
    """One value of one field of one device."""

    device: int                          # position among the devices of the source
    field: int                           # position in FIELDS of the source
    begin_ns: int                        # time.perf_counter_ns() before the read
    end_ns: int                          # the same after the read
    value: float | None                  # in the unit of the field's name
    reason: Reason | None                # why the value is None


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a source needs to know about the trial."""

    gpus: tuple[str, ...] = ()           # UUIDs or PCI bus ids; empty: every GPU
    processes: tuple[int, ...] = ()      # ids of the trial's processes; their children are included


class Source(Protocol):
    """An open source. A read never raises: an unknown value is a Reading with a reason.

    A source whose devices may hang one by one also has ``parts``: see below.
    """

    devices: Sequence[Device]

    def read(self, tier: Tier) -> Iterator[Reading]:
        """Reads every field of that tier of every device now."""

    def watch(self, processes: Sequence[int]) -> None:
        """Sets the processes of the trial."""

    def close(self) -> None: ...


def parts(source: Source) -> Sequence[Source]:
    """The parts of a source that can be read in parallel, each in its own thread; together they read the whole source.

    The readings of a part number devices as the whole source does.
    """
    own_parts: Sequence[Source] = getattr(source, "parts", (source,))
    return own_parts


DEFAULT_RATE_HZ = 10.0
EVERY_MEDIUM = 5             # FAST reads per read of the MEDIUM tier


NAMES: tuple[str, ...] = registry.names(__path__)


def load(name: str) -> Any:
    """The module of the source with this name."""
    return registry.load(__name__, name)
