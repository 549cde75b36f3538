"""The devices that a case may run on: a kind, found by its name as the file bench/devices/KIND.py, and a number.

A kind's file has constants alone:

``IS_HOST``      whether it is the processor of the host, which has no number and needs no driver
``TELEMETRY``    name of the source in bench.telemetry.sources that sees its devices; None: none does
``VARIABLES``    how the names of those environment variables begin that change results on it, and on no host
``NUMBERING``    variables that make its numbers those of its telemetry, where the user has not set them
``NEVER_RAN``    a sentence where no trial of Rigmark has ever run on one; None where trials have
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from rigmark.bench.errors import UserError, unknown
from rigmark.bench.worker import registry

NAMES: tuple[str, ...] = registry.names(__path__)
WRITTEN = re.compile(r"([a-z_]+)(?::([0-9]{1,4}))?")


def load(kind: str) -> Any:
    """The constants of a kind."""
    return registry.load(__name__, kind)


@dataclass(frozen=True)
class Device:
    """One device of a machine, shown and stored as "cuda:0"; the host's processor is "cpu"."""

    kind: str
    index: int | None = None     # None: there is one of its kind alone, or it was not said

    def __str__(self) -> str:
        return self.kind if self.index is None else f"{self.kind}:{self.index}"

    @property
    def is_host(self) -> bool:
        """False for a kind that this version of Rigmark does not have."""
        return self.kind in NAMES and bool(load(self.kind).IS_HOST)

    @property
    def telemetry(self) -> str | None:
        """The source that sees devices of its kind; None where none does."""
        source: str | None = load(self.kind).TELEMETRY if self.kind in NAMES else None
        return source

    @property
    def first(self) -> int:
        """Its number among those of its kind."""
        return self.index or 0


CPU = Device("cpu")


def parsed(text: str) -> Device:
    """The device that somebody names: "cpu", "cuda:1"; "cuda" is "cuda:0". Raises UserError."""
    match = WRITTEN.fullmatch(text)
    if match is None:
        raise UserError(f"a device is a kind and a number, as cuda:0, not '{text}'; kinds: {', '.join(NAMES)}")
    kind, number = match.groups()
    if kind not in NAMES:
        raise unknown("device", kind, NAMES)
    if load(kind).IS_HOST:
        if number is not None:
            raise UserError(f"'{text}' has a number, and the host has one {kind}; write {kind}")
        return Device(kind)
    return Device(kind, int(number or 0))


def recorded(text: object) -> Device:
    """The device of a record or a quoted table, whose kind may be one that this version does not have."""
    kind, _, number = str(text).partition(":")
    return Device(kind, int(number) if number.isdecimal() else None)


def is_host(text: object) -> bool:
    """Whether the device of a record or a quoted table is its host's processor; False where none is stated."""
    return recorded(text).is_host


def variables() -> tuple[str, ...]:
    """How the names of variables begin that change results on any device but the host."""
    return tuple(dict.fromkeys(prefix for kind in NAMES for prefix in load(kind).VARIABLES))


def numbering() -> Mapping[str, str]:
    """Variables that make the numbers of devices those of their telemetry."""
    return {name: value for kind in NAMES for name, value in load(kind).NUMBERING.items()}


def refusal(framework: str, device: Device, runs_on: Collection[str]) -> str | None:
    """Why a framework whose adapter runs on these kinds has no trial on a device; None where it may have."""
    if device.kind in runs_on:
        return None
    never = load(device.kind).NEVER_RAN if device.kind in NAMES else None
    sentence = f"{framework} does not run on '{device}'; it runs on: {', '.join(runs_on)}"
    return sentence if never is None else f"{sentence}. {never}"
