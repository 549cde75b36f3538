"""What a machine does while a trial runs. One file a source of readings, found by its name.

A source module has

``FIELDS``                the fields it may read, in the order of their numbers
``open_source(wanted)``   -> Source; raises Unavailable with one sentence where this machine has no such thing
``RATE_HZ``               optional: how often its FAST tier is read where nobody asks otherwise; see DEFAULT_RATE_HZ
``visible_gpus``          optional: (environment variables, GPUs) -> ids of those that CUDA numbers 0, 1, ..., if known

A sampler reads it, in a process of its own that has imported no framework: see bench.telemetry.sampler.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from rigmark.bench.worker import registry


class Unavailable(Exception):
    """This machine has no such source, or it cannot be read; the message is a sentence for people."""


class Tier(StrEnum):
    """How often a field is read: by what a read costs, and how fast it changes."""

    FAST = "fast"                # at the asked rate, and at each mark
    MEDIUM = "medium"            # a fifth of that
    EVENTS = "events"            # once a second at most, and at each mark: what happens seldom, and when must be known
    SLOW = "slow"                # once a second at most


class Meaning(StrEnum):
    """What the numbers of a field are."""

    GAUGE = "gauge"              # a value at a moment
    COUNTER = "counter"          # a sum since some beginning, of which differences mean something
    BITS = "bits"                # a set of flags, as one whole number


class Reason(StrEnum):
    """Why a value is unknown."""

    NOT_SUPPORTED = "not_supported"
    NO_PERMISSION = "no_permission"
    NOT_FOUND = "not_found"              # a function that an old driver lacks, a file that this kernel lacks
    LOST = "lost"                        # the device fell off its bus, or is gone
    TIMEOUT = "timeout"
    IMPLAUSIBLE = "implausible"          # it was said, and cannot be: see Range
    FAILED = "failed"                    # any other error


@dataclass(frozen=True, kw_only=True)
class Range:
    """From where to where a sound sensor's values lie, in the unit of its field; of a counter, its growth in a second.

    A sensor that is broken, or a driver that has no reading, was seen to answer 0, 255, or all bits set.
    """

    low: float = 0.0
    high: float
    of: str | None = None                # the fact of the device that sets the upper end, where it is known
    times: float = 1.0                   # how far above it a value may lie

    def ends(self, facts: Mapping[str, Any]) -> tuple[float, float]:
        """(lowest, highest) of a device with these facts."""
        limit = facts.get(self.of) if self.of is not None else None
        return self.low, self.high if not limit else min(self.high, limit * self.times)

    def holds(self, number: float, facts: Mapping[str, Any] = MappingProxyType({})) -> bool:
        low, high = self.ends(facts)
        return low <= number <= high


POWER_W = Range(low=0.1, high=10_000.0)      # what is powered draws some
TEMPERATURE_C = Range(low=1.0, high=150.0)   # above which silicon does not work; 0 is what a missing sensor says
CLOCK_HZ = Range(low=1e6, high=2e10)         # what answers has a clock that runs
RATIO = Range(high=1.0)
BYTES = Range(high=2.0**50)


@dataclass(frozen=True, kw_only=True)
class Field:
    """One thing that is read of a device. The name ends with its SI unit: "power_w", "sm_clock_hz", "busy_ratio"."""

    name: str
    meaning: Meaning
    tier: Tier
    flags: tuple[str, ...] = ()          # names of the bits of BITS, lowest first
    plausible: Range | None = None       # every gauge has one; None of a counter: it may grow by any amount


@dataclass(frozen=True, kw_only=True)
class Device:
    """What readings are of."""

    id: str                              # the same after a reboot: a GPU's UUID, "host", "package-0"
    kind: str                            # "gpu", "host", "package", "process"
    name: str                            # for people
    facts: dict[str, Any] = field(default_factory=dict)          # what does not change while a trial runs
    unknown: dict[str, Reason] = field(default_factory=dict)     # facts that could not be read, and why


class Reading(NamedTuple):
    """One value of one field of one device."""

    device: int                          # position among the source's devices
    field: int                           # position among the source's FIELDS
    begin_ns: int                        # time.perf_counter_ns() before the read
    end_ns: int                          # and after it
    value: float | None                  # in the unit of the field's name
    reason: Reason | None                # why it is None


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What the sampler is told of the trial."""

    gpus: tuple[str, ...] = ()           # UUIDs or PCI bus ids; empty: every GPU
    processes: tuple[int, ...] = ()      # ids of the trial's processes; their children count with them


class Source(Protocol):
    """An open source. What a read cannot know is a Reading with a reason; a read raises nothing.

    One whose devices may hang one by one has ``parts`` too: see below.
    """

    devices: Sequence[Device]

    def read(self, tier: Tier) -> Iterator[Reading]:
        """Every field of that tier, of every device, now."""

    def watch(self, processes: Sequence[int]) -> None:
        """From now on these are the processes of the trial."""

    def close(self) -> None: ...


def parts(source: Source) -> Sequence[Source]:
    """What may be read at the same time, each in a thread of its own; together they read what the source does.

    A part's readings name the device by its position among those of the whole source.
    """
    found: Sequence[Source] = getattr(source, "parts", (source,))
    return found


DEFAULT_RATE_HZ = 10.0
EVERY_MEDIUM = 5             # FAST reads to one of the MEDIUM tier


NAMES: tuple[str, ...] = registry.names(__path__)


def load(name: str) -> Any:
    """The module of a source by its name."""
    return registry.load(__name__, name)
